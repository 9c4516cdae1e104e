"""Captures of the simulated arm's objects, with true masks and shapes, for the other benchmarks.

usage: python -m benchmarks.simulated OUT [--objects cereal ~/scans/mug.glb] [--yaws 0.4 1.7 3.2] [--views 6]
       python -m benchmarks.simulated OUT --procedural 24 [--seed 5] [--yaws 0.7] [--tables light-wood metal] [--mats]

Writes OUT/<object>_<k>/: posed images from the view poses that the demo's arm would drive to, the object turned by the
k-th yaw (radians), tables taken by turns, views from between those to be left out, true masks of both, and truth.ply.
`benchmarks.segmentation OUT` scores masks on them, `mvgamba eval OUT -o RESULTS` reconstructs them, scores shapes and
pictures and draws them.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.sim.objects import OBJECTS
from mvgamba_ros.sim.robot_arm import SimulatedArm
from mvgamba_ros.sim.scene import Scene, tables
from mvgamba_ros.sim.wrist_camera import photograph
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.synthesis.textures import fiducials

SIZES = 0.06, 0.17
"""Longest sides of procedural objects, metres."""
LEFT_OUT = 4
"""Views of a second plan, not for input: beside six they look from azimuths of their own, 15 degrees away or more."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS), help="by name, or mesh files (all that ship)")
    parser.add_argument("--yaws", nargs="+", type=float, default=[0.4, 1.7, 3.2], help="radians (%(default)s)")
    parser.add_argument("--views", type=int, default=6, help="of each (%(default)s)")
    parser.add_argument("--procedural", metavar="N", type=int, default=0, help="N procedural objects instead")
    parser.add_argument("--seed", type=int, default=5, help="of the procedural objects (%(default)s)")
    parser.add_argument("--tables", nargs="+", default=["light-wood"], help=", ".join(tables()))
    parser.add_argument("--mats", action="store_true", help="a sheet of fiducial markers under every object")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    table = itertools.cycle(args.tables)
    names = procedural(args.out, args.procedural, args.seed) if args.procedural else args.objects
    for name in names:
        for k, yaw in enumerate(args.yaws):
            folder = args.out / f"{Path(name).stem}_{k}"
            mat = str(args.out / f"{folder.name}_mat.png") if args.mats else ""
            if mat:
                Image.fromarray(fiducials(rng)).save(mat)
            try:
                arm = SimulatedArm(Scene(object_name=name, object_yaw=yaw, table=next(table), mat=mat))
            except ReconstructionError as error:
                if not args.procedural or error.code is not ErrorCode.BAD_OPTION:
                    raise
                # a ball rolls
                print(f"{folder}: left out: {error.message}", flush=True)
                continue
            folder.mkdir(parents=True, exist_ok=True)
            write_capture(folder, photograph(arm, args.views))
            write_capture(folder, photograph(arm, LEFT_OUT), "transforms_test.json")
            write_mesh(folder / "truth.ply", arm.object_mesh())
            print(folder, flush=True)


def procedural(out: Path, count: int, seed: int) -> list[str]:
    """Writes the first ``count`` procedural objects of ``seed``, as large as a hand, as OUT/<k>_<family>.glb."""
    source, rng = Procedural(seed, count), np.random.default_rng(seed)
    files = []
    for k in range(count):
        mesh = source[k]
        files.append(str(out / f"{k:02d}_{mesh.family}.glb"))
        plain_mesh(mesh, float(rng.uniform(*SIZES))).export(files[-1])
    return files


def plain_mesh(mesh: TexturedMesh, size: float) -> trimesh.Trimesh:
    """``mesh`` on z = 0 with its longest side ``size`` metres, its tiles one below the other in one picture."""
    tiles, side = mesh.textures.shape[:2]
    uv = mesh.uv - np.floor(mesh.uv.min(axis=1, keepdims=True) + 1e-6)  # a face that repeats its tile loses the repeats
    u, v = np.moveaxis(np.clip(uv, 0.5 / side, 1.0 - 0.5 / side), -1, 0)
    v = (mesh.tile[:, None] + v) / tiles
    corners = mesh.vertices[mesh.faces].reshape(-1, 3) * (size / np.ptp(mesh.vertices, axis=0).max())
    low, high = corners.min(axis=0), corners.max(axis=0)
    corners -= [*(low + high)[:2] / 2, low[2]]
    atlas = Image.fromarray(mesh.textures.reshape(tiles * side, side, 3))
    visual = trimesh.visual.TextureVisuals(uv=np.stack([u.ravel(), 1.0 - v.ravel()], 1), image=atlas)
    return trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), visual=visual, process=False)


if __name__ == "__main__":
    main()
