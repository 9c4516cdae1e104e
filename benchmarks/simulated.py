"""Captures of the simulated arm's objects, with true masks and shapes, for the other benchmarks.

usage: python -m benchmarks.simulated OUT [--objects cereal ~/scans/mug.glb] [--yaws 0.4 1.7 3.2] [--views 6]

Writes OUT/<object>_<k>/: posed images from the view poses that the demo's arm would drive to, the object turned by the
k-th yaw (radians), views from between those to be left out, true masks of both, and truth.ply. `benchmarks.segmentation
OUT` scores masks on them, `mvgamba eval OUT -o RESULTS` reconstructs them, scores shapes and pictures and draws them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mvgamba_ros.io.capture import write_capture
from mvgamba_ros.io.mesh import write_mesh
from mvgamba_ros.sim.arm import SimulatedArm
from mvgamba_ros.sim.camera import photograph
from mvgamba_ros.sim.objects import OBJECTS
from mvgamba_ros.sim.scene import Scene

LEFT_OUT = 4
"""Views of a second plan, not for input: beside six they look from azimuths of their own, 15 degrees away or more."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS), help="by name, or mesh files (all that ship)")
    parser.add_argument("--yaws", nargs="+", type=float, default=[0.4, 1.7, 3.2], help="radians (%(default)s)")
    parser.add_argument("--views", type=int, default=6, help="of each (%(default)s)")
    args = parser.parse_args(argv)
    for name in args.objects:
        for k, yaw in enumerate(args.yaws):
            arm = SimulatedArm(Scene(object_name=name, object_yaw=yaw))
            folder = args.out / f"{Path(name).stem}_{k}"
            folder.mkdir(parents=True, exist_ok=True)
            write_capture(folder, photograph(arm, args.views))
            write_capture(folder, photograph(arm, LEFT_OUT), "transforms_test.json")
            write_mesh(folder / "truth.ply", arm.object_mesh())
            print(folder, flush=True)


if __name__ == "__main__":
    main()
