"""Your own segmenter and reconstructor: two classes, found by name once the package that registers them is installed.

usage: python examples/05_your_own_method.py

Their contracts are in mvgamba_ros/segmentation/segmenter.py and mvgamba_ros/methods/protocol.py; docs/extend.md has the
package around them. This file puts itself into a folder as pip would, and runs the command with both names.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import trimesh

from mvgamba_ros import Mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.warm_up import ball_views


class Saturated:
    """The object is what has a strong colour: enough in front of a grey table."""

    name = "saturated"

    def __init__(self, options):
        """The class is its own factory. Weights would be loaded here: what is made is kept for the next request."""

    def __call__(self, views, prompts, progress=None, cancelled=None):
        return Silhouettes([cv2.cvtColor(view.image, cv2.COLOR_RGB2HSV)[..., 1] > 120 for view in views])


class Sphere:
    """The ball of the hull's middle and volume; the pipeline paints it, samples it and measures its quality."""

    name = "sphere"

    def __init__(self, options):
        """As above."""

    def __call__(self, views, hull, options, progress, cancelled):
        ball = trimesh.creation.icosphere(3, radius=(0.75 * hull.volume() / np.pi) ** (1 / 3))
        vertices = ball.vertices + hull.bounds().mean(axis=0)
        return Shape(Mesh(vertices, ball.faces.astype(np.int32), np.full((len(vertices), 3), 160, np.uint8)))


def main() -> None:
    """Prints what `mvgamba reconstruct ball -o out --segmenter saturated --method sphere` prints."""
    site = Path(tempfile.mkdtemp(prefix="mvgamba_"))
    (metadata := site / "shapes-1.0.dist-info").mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\n")
    entries = "[mvgamba_ros.segmenters]\nsaturated = shapes:Saturated\n[mvgamba_ros.methods]\nsphere = shapes:Sphere"
    (metadata / "entry_points.txt").write_text(entries)
    (site / "shapes.py").write_text(Path(__file__).read_text())
    write_capture(site / "ball", ball_views())
    paths = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    command = f"reconstruct {site}/ball -o {site}/out --segmenter saturated --method sphere"
    call = [sys.executable, "-m", "mvgamba_ros.cli", *command.split()]
    subprocess.run(call, check=True, env=os.environ | {"PYTHONPATH": paths})


if __name__ == "__main__":
    main()
