"""Reconstruct the object in a folder of posed images, and write what a robot needs.

usage: python examples/01_reconstruct_a_folder.py [CAPTURE] [OUT]

CAPTURE holds a transforms.json, as nerfstudio and instant-ngp write it, and its images; the poses must be metric. None
given, four pictures of a made-up ball on a table are taken. `mvgamba reconstruct CAPTURE -o OUT` does the same.
"""

import sys
import tempfile
from pathlib import Path

from mvgamba_ros import read_capture, reconstruct
from mvgamba_ros.io.results import write_results
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.preview import preview
from mvgamba_ros.warm_up import ball_views


def main(capture: str = "", out: str = "") -> None:
    """Prints the size of the object, how far to trust it, and the files written."""
    folder = Path(tempfile.mkdtemp(prefix="mvgamba_"))
    if not capture:
        write_capture(folder / "ball", ball_views())
    views = read_capture(capture or folder / "ball")
    result = reconstruct(views)

    sides = " x ".join(f"{1e3 * side:.0f}" for side in result.box.size)
    print(f"{sides} mm, {len(result.mesh.faces)} faces from {len(views)} views")
    print(f"silhouette IoU {result.quality.silhouette_iou:.3f}, {'low' if result.quality.low else 'good'}")
    for path in write_results(out or folder / "out", result, preview(views, result)):
        print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
