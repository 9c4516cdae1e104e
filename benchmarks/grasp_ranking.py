"""What the ranking of grasps is worth where meshes are wrong: the first grasp of several rankings, executed.

usage: python -m benchmarks.grasp_ranking --out FILE.jsonl [--objects 26] [--seed 91]

Procedural household objects of 5 to 12 cm are seen by few views that err: each by one with depth, and by two or three
in colour (`SEEN`). Of each reconstruction the first grasp by each of `RANKINGS` is executed in MuJoCo as by
`benchmarks.grasps`, but by an arm that is off as the plan expects it, equally for all rankings. Objects that it does
not hold where their true mesh is known are left out. Where a plan fails, its grasp counts as not held. FILE has a line
for each grasp; objects in it are not done again. At the end a table, with 95 % intervals by bootstrap over the objects;
differences are paired. A second one has how often the first grasp by `score` held, by its robustness. Needs vhacdx: pip
install 'mvgamba_ros[convex,sim]'.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from benchmarks.grasp_execution import execute
from benchmarks.grasps import PARTS
from benchmarks.intervals import bootstrap
from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.evaluation.damage import CONDITIONS
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.grasps.grasp import Grasp
from mvgamba_ros.grasps.perturbation import pose_noise
from mvgamba_ros.grasps.planner import plan_grasps
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.surface.convex_parts import convex_parts
from mvgamba_ros.synthesis.household import Household
from mvgamba_ros.synthesis.robot_captures import OrbitRig, RobotCapture, robot_capture
from mvgamba_ros.types import F64, Mesh, Prompts

RIG = OrbitRig(views=4, crowded=0.0, side=(0.05, 0.12))
"""Views 90 degrees apart, of which the first are taken; objects that a gripper of 8 cm often spans."""
SEEN = (
    ((1, "stereo_ordinary_robot"),),
    ((2, "pose_noise_2mm_0.3deg"), (2, "pose_noise_5mm"), (3, "pose_noise_5mm")),
)
"""How many views, and which of `CONDITIONS` they suffer; of each row one, by turns over the objects."""
GRIPPER, CONFIG = Gripper(), GraspConfig()
AS_IT_IS = replace(CONFIG, shapes=1, poses=1, position_sigma=0.0, rotation_sigma=0.0, tried=CONFIG.screened)
"""No trials: every pose that holds the mesh as it is has the robustness 1."""

STEPS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Of the robustness, in the second table."""


def any_of(grasps: Sequence[Grasp], random: np.random.Generator) -> Grasp:
    """One of them, all equally likely."""
    return grasps[int(random.integers(len(grasps)))]


@dataclass(frozen=True)
class Ranking:
    """``words`` of the table; how much of the expected ``error`` counts; by which ``config`` is planned; which of the
    grasps, the best first, is ``taken``, by a draw."""

    words: str
    taken: Callable[[Sequence[Grasp], np.random.Generator], Grasp] = lambda grasps, random: grasps[0]
    error: float = 1.0
    config: GraspConfig = CONFIG


RANKINGS = {
    "score": Ranking("robustness x firmness (`score`)"),
    "sight": Ranking(
        "the same, halved where a contact was not seen",
        lambda grasps, random: max(grasps, key=lambda grasp: grasp.score * (1.0 + grasp.seen)),
    ),
    "robustness": Ranking(
        "robustness alone", lambda grasps, random: max(grasps, key=lambda grasp: (grasp.robustness, grasp.score))
    ),
    "half": Ranking("robustness x firmness, with half of the expected error", error=0.5),
    "blind": Ranking("robustness x firmness, with none of it", error=0.0),
    "firmness": Ranking("firmness alone, no trials", error=0.0, config=AS_IT_IS),
    "any": Ranking(
        "any that holds the mesh as it is, by more than a point",
        lambda grasps, random: any_of([grasp for grasp in grasps if grasp.score > 0.0] or grasps, random),
        error=0.0,
        config=AS_IT_IS,
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    parser.add_argument("--objects", type=int, default=26, help="drawn; not all can be held (%(default)s)")
    parser.add_argument("--seed", type=int, default=91, help="of the objects (%(default)s)")
    args = parser.parse_args(argv)
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.is_file() else []
    done = {row["object"] for row in rows}
    for index in range(args.objects):
        if index in done:
            continue
        new = list(executed(robot_capture(args.seed, index, RIG, Household), index))
        with args.out.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in new))
        rows += new
        words = ", ".join(f"{row['ranking']} {row['views']}: {'held' if row['held'] else row['why']}" for row in new)
        print(f"{time.strftime('%H:%M:%S')} {new[0]['name']}  {words}", flush=True)
    print(f"{table(rows)}\n\n{calibration(rows)}")


def executed(capture: RobotCapture, index: int) -> Iterator[dict[str, Any]]:
    """A row for each grasp: of the true mesh, and where that holds, of each ranking for what each set of views shows.
    ``views`` is 0 in the first."""
    truth = capture.truth
    about: dict[str, Any] = {"object": index, "name": capture.name, "views": 0, "ranking": "truth"}
    grasps = planned(truth, 0.0, CONFIG)
    if isinstance(grasps, str):
        yield about | {"held": False, "why": grasps}
        return
    parts = convex_parts(truth, PARTS)
    volume = sum(abs(float(trimesh.Trimesh(*part).volume)) for part in parts)

    def outcome(T_world_grasp: F64) -> dict[str, Any]:
        result = execute(parts, volume, GRIPPER, T_world_grasp, 0.0)
        return {"held": result.held, "why": result.why}

    row = outcome(grasps[0].T_world_grasp @ arm_error(capture.name))
    yield about | row
    if not row["held"]:
        return
    for views, condition in (by_turns[index % len(by_turns)] for by_turns in SEEN):
        mesh = reconstructed(capture, views, condition)
        noise = arm_error(f"{capture.name} {condition}")
        plans: dict[tuple[float, GraspConfig], list[Grasp] | str] = {}
        outcomes: dict[bytes, dict[str, Any]] = {}
        for name, ranking in RANKINGS.items():
            about |= {"views": views, "condition": condition, "ranking": name}
            by = ranking.error, ranking.config
            if by not in plans:
                plans[by] = mesh if isinstance(mesh, str) else planned(mesh, *by)
            grasps = plans[by]
            if isinstance(grasps, str):
                yield about | {"held": False, "why": grasps}
                continue
            grasp = ranking.taken(grasps, np.random.default_rng(0))
            key = grasp.T_world_grasp.tobytes()
            if key not in outcomes:
                outcomes[key] = outcome(grasp.T_world_grasp @ noise)
            scores = {"robustness": grasp.robustness, "firmness": grasp.firmness, "seen": grasp.seen}
            yield about | outcomes[key] | scores | {"T": grasp.T_world_grasp.tolist()}


def reconstructed(capture: RobotCapture, views: int, condition: str) -> Mesh | str:
    """Of the first ``views`` under ``condition``, the object's box given; why not, where it is refused."""
    fault = CONDITIONS[condition]
    given = [replace(view, mask=None) for view in capture.views[:views]]
    given = given if fault.depth else [replace(view, depth=None) for view in given]
    given = fault.fault(given, np.random.default_rng(zlib.crc32(f"{capture.name} {condition}".encode())))
    roi = scaled_box(capture.truth.vertices.min(axis=0), capture.truth.vertices.max(axis=0))
    try:
        return reconstruct(given, Options(prompts=Prompts(roi=roi, support_height=0.0), refine=False)).mesh
    except ReconstructionError as error:
        return f"no mesh: {error.message}"


def planned(mesh: Mesh, error: float, config: GraspConfig) -> list[Grasp] | str:
    """All grasps, the best first, where ``error`` times its expected error counts; why there is none."""
    if mesh.expected_error_mm is not None:
        mesh = replace(mesh, expected_error_mm=np.float32(error) * mesh.expected_error_mm)
    try:
        return plan_grasps(mesh, GRIPPER, 0.0, config.tried, config=config)
    except ReconstructionError as refused:
        return f"no plan: {refused.message}"


def arm_error(name: str) -> F64:
    """(4, 4) how far the gripper is off, in its own frame, as the plan expects it; the same for the same ``name``."""
    turn, shift = pose_noise(CONFIG, 1, np.random.default_rng(zlib.crc32(name.encode())))
    return rigid(turn[0], shift[0])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Of each ranking the share that held, by the number of views and of all; and how much more that is than by the
    first ranking; in Markdown."""
    counts = sorted({row["views"] for row in rows} - {0})
    if not counts:
        return "No object is held where its true mesh is known: draw more (--objects)."
    lines = [
        f"| ranked by | {' | '.join(f'views: {n}' for n in counts)} | all | more than by `score` |",
        f"|---|{'---|' * len(counts)}---|---|",
    ]
    held = {
        name: {(row["object"], row["views"]): float(row["held"]) for row in rows if row["ranking"] == name}
        for name in RANKINGS
    }
    for name, ranking in RANKINGS.items():
        cells = [
            f"{sum(of):.0f} of {len(of)}"
            for of in ([value for (_, n), value in held[name].items() if n == count] for count in counts)
        ]
        objects = [number for number, _ in held[name]]
        share = bootstrap(list(held[name].values()), objects).percent()
        against = [value - held["score"][key] for key, value in held[name].items()]
        difference = "" if name == "score" else bootstrap(against, objects).percent("+")
        lines.append(f"| {ranking.words} | {' | '.join(cells)} | {share} | {difference} |")
    return "\n".join(lines)


def calibration(rows: Sequence[dict[str, Any]]) -> str:
    """Of the first grasps by `score`, how many held by their robustness, in Markdown."""
    lines = ["| robustness | held |", "|---|---|"]
    found = [row for row in rows if row["ranking"] == "score" and "robustness" in row]
    for low, high in pairwise(STEPS):
        of = [row["held"] for row in found if low < row["robustness"] <= high or low == row["robustness"] == 0.0]
        lines.append(f"| {low:g} to {high:g} | {sum(of)} of {len(of)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
