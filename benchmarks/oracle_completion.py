"""One look, or a few, completed by a generator that knows the truth: what alignment and fusion lose of it.

usage: python -m benchmarks.oracle_completion [--objects mug bottle bracket] [--cues depth height] [--looks 1]
           [--made mesh views bent] [--captures FOLDER]

Pictures of 640 x 480 pixels from 45 cm and 35 degrees above, on a white table, depth without noise, true masks; with
--captures, the first views of captures with truth.ply, their own depth, their true masks. `alone`: the reconstructor by
itself; `mesh`: the true shape in the canonical frame; `views`: its ray-cast pictures from the generator's four level
cameras; `bent`: these, each bent by up to 5 of 256 pixels and one showing the object lying on its side. Each cell:
error of the scale in percent, of the place in mm, F@5mm, chamfer distance in mm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvgamba_ros import registry
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import Mesh, Prompts, View

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))  # the tests' oracle and objects

import generated_objects
import oracle

MADE = {"mesh": {"as_mesh": True}, "views": {}, "bent": {"distortion": 5.0, "wrong": 2}}
OBJECTS = {
    "mug": generated_objects.mug,
    "bottle": generated_objects.bottle,
    "bracket": generated_objects.bracket,
}
TURN = 75.0
"""Degrees between the looks at these."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="+", choices=OBJECTS, default=list(OBJECTS))
    parser.add_argument("--captures", type=Path, help="captures with truth.ply, in the objects' place")
    parser.add_argument("--only", nargs="*", help="names of captures")
    parser.add_argument("--cues", nargs="+", choices=("depth", "height"), default=["depth", "height"])
    parser.add_argument("--looks", type=int, default=1)
    parser.add_argument("--made", nargs="+", choices=MADE, default=list(MADE))
    args = parser.parse_args(argv)
    registry.BUILT_IN["generators"]["oracle"] = "oracle:from_options"

    print(f"{'':26s}{''.join(f'{name:>28s}' for name in ('alone', *args.made))}")
    for name, truth, views in scenes(args.objects, args.captures, args.only, args.looks):
        for cue in args.cues:
            looks = [view if cue == "depth" else replace(view, depth=None) for view in views]
            cells = [cell(completed(looks, truth, None), truth, looks[0])]
            cells += [cell(completed(looks, truth, made), truth, looks[0]) for made in args.made]
            print(f"{f'{name}, {cue}':26s}{''.join(f'{text:>28s}' for text in cells)}", flush=True)


def scenes(
    objects: Sequence[str], captures: Path | None, only: Sequence[str] | None, looks: int
) -> Iterator[tuple[str, Mesh, list[View]]]:
    """Names, true shapes and views."""
    if captures is None:
        for name in objects:
            mesh = OBJECTS[name]()
            yield name, mesh, [generated_objects.photograph(mesh, 30.0 + TURN * k) for k in range(looks)]
        return
    for folder in sorted(path.parent for path in captures.glob("*/truth.ply")):
        if not only or folder.name in only:
            yield folder.name, read_mesh(folder / "truth.ply"), read_capture(folder)[:looks]


def completed(views: Sequence[View], truth: Mesh, made: str | None) -> Reconstruction:
    """With what of `MADE` in the generator's place; None: without a generator."""
    options = Options(segmenter="masks", refine=False, prompts=Prompts(support_height=0.0))
    if made is not None:
        largest = max(views, key=lambda view: 0 if view.mask is None else int(view.mask.sum()))
        canonical = oracle.canonical(truth, largest.T_world_camera)
        weights = f"{made} {len(oracle.KNOWN)}"  # a generator is loaded once for each name
        oracle.KNOWN[weights] = oracle.Oracle(canonical, **MADE[made])
        options = replace(options, generator="oracle", generator_weights=weights, complete="always")
    return reconstruct(views, options)


def cell(found: Reconstruction, truth: Mesh, view: View) -> str:
    """Errors, in words."""
    errors = shape_errors(surface_points(found.mesh), surface_points(truth))
    scores = f"F {errors['F@5mm']:.2f} {errors['chamfer_mm']:5.2f}"
    if "completion" not in found.settings:
        return scores
    placed, true = found.settings["completion"]["T_world_canonical"], oracle.true_similarity(truth, view.T_world_camera)
    middle = np.array(placed["t_m"])
    return f"{100 * (placed['scale'] / true.scale - 1):+.1f}% {1e3 * np.linalg.norm(middle - true.t):4.1f} {scores}"


if __name__ == "__main__":
    main()
