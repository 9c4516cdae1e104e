"""Grasps planned on what is known of an object, executed on the true one: how often does it hold?

usage: python -m benchmarks.grasps CAPTURES [CAPTURES ...] --out FILE.jsonl [--only NAME ...] [--seeds 3] [--top 1]

CAPTURES: folders of captures with truth.ply. Grasps are planned on `truth`; on `ours`, the reconstruction of the
capture's colour pictures with the object's box given; `blind`, the same mesh without what it states of seen and
expected error; on its `hull`; and on `tsdf`, exact depth of the capture's views fused, which has holes where no view
looked. The best --top of each seed are executed in MuJoCo (benchmarks/grasp_execution.py) on the truth's convex parts,
which needs vhacdx: pip install 'mvgamba_ros[convex,sim]'. Where a plan fails, all of its grasps count as not held. FILE
has a line for each grasp; what is in it already is not done again. At the end a table: shares that held, with 95 %
intervals by bootstrap over the plans.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.ndimage import binary_erosion

from benchmarks.grasp_execution import execute
from benchmarks.intervals import bootstrap
from mvgamba_ros.config.grasp_config import GRIPPERS
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.grasps.grasp import Grasp
from mvgamba_ros.grasps.planner import plan_grasps
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.convex_parts import convex_parts
from mvgamba_ros.types import Bool, Mesh, Prompts, View

PARTS = 24
"""Convex parts of the true object, at most."""
VOXEL = 0.002
"""Metres: of the TSDF."""
TRUNCATION = 4.0 * VOXEL


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", metavar="CAPTURES", type=Path, nargs="+")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of captures")
    parser.add_argument("--plans", nargs="+", choices=list(PLANNED_ON), default=list(PLANNED_ON))
    parser.add_argument("--seeds", type=int, default=3, help="plans of each object (%(default)s)")
    parser.add_argument("--top", type=int, default=1, help="grasps of each plan (%(default)s)")
    parser.add_argument("--views", type=int, help="the first so many of each capture (all)")
    parser.add_argument("--gripper", choices=list(GRIPPERS), default="panda")
    args = parser.parse_args(argv)
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.is_file() else []
    done = {(row["object"], row["plan"], row["seed"]) for row in rows}
    folders = sorted(path.parent for root in args.captures for path in root.glob("*/truth.ply"))
    for folder in folders:
        todo = [
            (plan, seed) for plan in args.plans for seed in range(args.seeds) if (folder.name, plan, seed) not in done
        ]
        if not todo or (args.only and folder.name not in args.only):
            continue
        for plan, seed, made in executed(folder, todo, args.gripper, args.top, args.views):
            about = {"object": folder.name, "plan": plan, "seed": seed}
            new = [{**about, "rank": rank, **row} for rank, row in enumerate(made)]
            with args.out.open("a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in new))
            rows += new
            words = ", ".join("held" if row["held"] else row["why"] for row in new)
            print(f"{time.strftime('%H:%M:%S')} {folder.name:24s}{plan:8s}{seed}  {words}", flush=True)
    print(table(rows))


def executed(
    folder: Path, todo: Sequence[tuple[str, int]], gripper_name: str, top: int, views: int | None
) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Plan and seed of ``todo``, with a row for each of its grasps."""
    truth = read_mesh(folder / "truth.ply")
    gripper, support = GRIPPERS[gripper_name], float(truth.vertices[:, 2].min())
    given = [] if {plan for plan, _ in todo} == {"truth"} else list(read_capture(folder))[:views]
    parts = convex_parts(truth, PARTS)
    volume = abs(float(trimesh.Trimesh(truth.vertices, truth.faces).volume))
    meshes: dict[str, Mesh | ReconstructionError] = {}
    for plan, seed in todo:
        if plan not in meshes:
            meshes[plan] = _or_error(lambda plan=plan: PLANNED_ON[plan](truth, given))
        mesh = meshes[plan]
        found: list[Grasp] | ReconstructionError
        if isinstance(mesh, ReconstructionError):
            found = mesh
        else:
            found = _or_error(lambda mesh=mesh, seed=seed: plan_grasps(mesh, gripper, support, top, seed))
        if isinstance(found, ReconstructionError):
            yield plan, seed, [{"held": False, "why": f"no plan: {found.message}", "score": 0.0}] * top
            continue
        made = []
        for grasp in found:
            outcome = execute(parts, volume, gripper, grasp.T_world_grasp, support)
            made.append(
                {"held": outcome.held, "why": outcome.why, "slid_mm": 1e3 * outcome.slid if outcome.held else None}
                | {"score": grasp.score, "robustness": grasp.robustness, "firmness": grasp.firmness}
                | {"seen": grasp.seen, "width_mm": 1e3 * grasp.width, "T": grasp.T_world_grasp.tolist()}
            )
        yield plan, seed, made


def _or_error(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except ReconstructionError as error:
        return error


def _reconstructed(truth: Mesh, given: Sequence[View], method: str) -> Mesh:
    views = [replace(view, depth=None, mask=None) for view in given]
    roi = scaled_box(truth.vertices.min(axis=0), truth.vertices.max(axis=0))
    prompts = Prompts(roi=roi, support_height=float(truth.vertices[:, 2].min()))
    return reconstruct(views, Options(method=method, prompts=prompts, refine=False)).mesh


def _fused(truth: Mesh, given: Sequence[View]) -> Mesh:
    """Exact depth of the capture's views, rendered from the truth, as a TSDF (Curless and Levoy, 1996); open where no
    view looked."""
    from skimage.measure import marching_cubes

    caster = Raycaster(truth)
    low, high = truth.vertices.min(axis=0) - 5 * VOXEL, truth.vertices.max(axis=0) + 5 * VOXEL
    axes = [np.arange(start, stop, VOXEL) for start, stop in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    total, weight = np.zeros(points.shape[:3]), np.zeros(points.shape[:3])
    for view in given:
        depth = caster.render(view.camera, view.T_world_camera).depth
        pixels, z = project(view.camera, view.T_world_camera, points.reshape(-1, 3))
        column, row = np.floor(pixels).astype(int).T
        inside = (z > 0.0) & (column >= 0) & (column < view.camera.width) & (row >= 0) & (row < view.camera.height)
        hit = np.where(inside, depth[np.where(inside, row, 0), np.where(inside, column, 0)], 0.0)
        distance = np.where(hit > 0.0, hit - z, TRUNCATION)  # beside the object a ray sees free space
        known = (inside & (distance > -TRUNCATION)).reshape(total.shape)
        total += known * np.minimum(distance, TRUNCATION).reshape(total.shape)
        weight += known
    volume = total / np.maximum(weight, 1.0)
    vertices, faces, _, _ = marching_cubes(volume, 0.0, mask=_all_corners(weight > 0.0), gradient_direction="descent")
    vertices = low + VOXEL * vertices
    return Mesh(vertices, faces.astype(np.int32), np.full((len(vertices), 3), 160, np.uint8))


def _all_corners(known: Bool) -> Bool:
    """Of each voxel, whether it and its neighbours in the cell below it are all known."""
    return np.asarray(binary_erosion(known, np.ones((2, 2, 2))))


PLANNED_ON: dict[str, Callable[[Mesh, Sequence[View]], Mesh]] = {
    "truth": lambda truth, given: truth,
    "ours": lambda truth, given: _reconstructed(truth, given, "mvgamba"),
    "blind": lambda truth, given: replace(_reconstructed(truth, given, "mvgamba"), seen=None, expected_error_mm=None),
    "hull": lambda truth, given: _reconstructed(truth, given, "hull"),
    "tsdf": _fused,
}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Of each plan the share of best grasps and of all grasps that held, with intervals, in Markdown."""
    lines = ["| planned on | plans | best grasp held | all held |", "|---|---|---|---|"]
    for plan in dict.fromkeys(row["plan"] for row in rows):
        plans: dict[tuple[str, int], list[float]] = {}
        for row in rows:
            if row["plan"] == plan:
                plans.setdefault((row["object"], row["seed"]), []).append(float(row["held"]))
        best, every = [held[0] for held in plans.values()], [float(np.mean(held)) for held in plans.values()]
        lines.append(f"| {plan} | {len(plans)} | {bootstrap(best).percent()} | {bootstrap(every).percent()} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
