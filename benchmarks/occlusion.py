"""What a neighbour in front of the object costs: captures with a box rendered into them, beside the object.

usage: python -m benchmarks.occlusion CAPTURES [--only NAME ...] [--boxes 2] [--views FILE] [--method hull] ...

Of each capture with masks and a scanned truth (truth.ply, standing on z = 0) four reconstructions are scored against
the truth: from whole silhouettes; from what the box leaves of them, taken as whole; the same with ``hidden``
where the box is seen, in those views in which it covers some of the object; and with ``hidden`` wherever the box is
seen, as a segmenter gives it that does not know what is in front. The box stands at a random side of the object, as
high as it to twice as high.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvgamba_ros.cli._flags import add_config, add_options, add_prompts, options_from
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import Mesh, View

WAYS = ("whole", "taken as whole", "covered", "all of it")
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [1, 5, 7], [1, 7, 3], [0, 2, 6], [0, 6, 4],
    ],
    np.int32,
)  # fmt: skip
"""Of a box's triangles, indices of its `CORNERS`."""
LEAST_COVERED = 0.03
"""A box that hides less of the object than this, of the pixels of all its views, is put elsewhere."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path)
    parser.add_argument("--views", default="transforms.json")
    parser.add_argument("--only", nargs="*", help="names of captures")
    parser.add_argument("--boxes", type=int, default=2, help="places of the box that are tried in each capture")
    add_prompts(parser, "default: the truth's bounds, 1.4 times as large, on z = 0")
    add_options(parser)
    add_config(parser)
    args = parser.parse_args(argv)
    chosen = options_from(args, Options)

    print(
        f"{'capture':18s} hidden  "
        + "".join(f"{way:>24s}" for way in WAYS)
        + "\n"
        + 26 * " "
        + 4 * "       mm  F@5mm  low   "
    )
    table: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for folder in sorted(path.parent for path in args.captures.glob(f"*/{args.views}")):
        if (args.only and folder.name not in args.only) or not (folder / "truth.ply").is_file():
            continue
        truth = read_mesh(folder / "truth.ply")
        roi = chosen.prompts.roi or scaled_box(truth.vertices.min(axis=0), truth.vertices.max(axis=0), 1.4)
        options = replace(chosen, use_masks=True, prompts=replace(chosen.prompts, roi=roi, support_height=0.0))
        views = read_capture(folder, args.views)
        for place in range(args.boxes):
            cases = covered_cases(views, truth, np.random.default_rng(place))
            line = f"{folder.name:18s} {hidden_share(cases):6.1%}  "
            for way in WAYS:
                try:
                    result = reconstruct(cases[way], options)
                except ReconstructionError as error:
                    line += f"{error.code.name:>24s}"
                    table[way].append((float("nan"), 0.0))
                    continue
                errors = shape_errors(surface_points(result.mesh), surface_points(truth))
                table[way].append((errors["chamfer_mm"], errors["F@5mm"]))
                low = "low" if result.quality.low else ""
                line += f"{errors['chamfer_mm']:9.2f}  {errors['F@5mm']:5.3f}  {low:3s}   "
            print(line, flush=True)
    print(f"{'mean':18s}         " + "".join("{:9.2f}  {:5.3f}        ".format(*mean(table[way])) for way in WAYS))


def mean(rows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Chamfer in millimetres over those that were not refused, and F-score, of which a refusal has 0."""
    errors, scores = np.array(rows).T
    return float(np.nanmean(errors)), float(scores.mean())


def hidden_share(cases: dict[str, list[View]]) -> float:
    """Of the silhouettes' pixels in all views, those that the box covers."""
    whole, left = (sum(int(view.mask.sum()) for view in cases[way] if view.mask is not None) for way in WAYS[:2])
    return 1.0 - left / whole


def covered_cases(views: Sequence[View], truth: Mesh, rng: np.random.Generator) -> dict[str, list[View]]:
    """``views`` (with masks, without distortion) in each of `WAYS`, of a box that hides some of the object."""
    caster = Raycaster(truth)
    while True:
        box = Raycaster(standing_box(truth, rng))
        cases = {way: [covered(view, caster, box, way) for view in views] for way in WAYS}
        if hidden_share(cases) > LEAST_COVERED and all(
            view.mask is not None and view.mask.any() for view in cases[WAYS[1]]
        ):
            return cases


def standing_box(truth: Mesh, rng: np.random.Generator) -> Mesh:
    """A box on z = 0 beside the object ``truth``, half a centimetre or more from its bounds."""
    low, high = truth.vertices.min(axis=0), truth.vertices.max(axis=0)
    size = (high - low) * rng.uniform([0.5, 0.5, 1.0], [1.0, 1.0, 2.0])
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    away = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    apart = 0.5 * float(np.min((high - low + size)[:2] / np.maximum(np.abs(away[:2]), 1e-9))) + rng.uniform(0.005, 0.03)
    foot = np.array([*(0.5 * (low + high))[:2], 0.0]) + away * apart
    vertices = (CORNERS * size)[FACES.ravel()] + foot
    colors = np.repeat(rng.integers(20, 235, (len(FACES) // 2, 3)), 6, axis=0).astype(np.uint8)
    return Mesh(vertices, np.arange(len(vertices), dtype=np.int32).reshape(-1, 3), colors)


def covered(view: View, truth: Raycaster, box: Raycaster, way: str) -> View:
    """``view`` with the ``box`` in its picture, and what is known of it in this way."""
    assert view.mask is not None
    if way == WAYS[0]:
        return replace(view, depth=None)
    of_box, of_object = (caster.render(view.camera, view.T_world_camera) for caster in (box, truth))
    behind = view.mask & of_object.mask & (of_object.depth < of_box.depth)
    in_front = of_box.mask & ~behind
    image = np.where(in_front[..., None], of_box.color, view.image)
    hidden = None
    if way == WAYS[3] or (way == WAYS[2] and (in_front & view.mask).any()):
        hidden = in_front
    return replace(view, image=image, mask=view.mask & ~in_front, hidden=hidden, depth=None)


if __name__ == "__main__":
    main()
