"""One view alone of each capture, reconstructed and scored: what is seen, and what is guessed behind it.

usage: python -m benchmarks.one_look CAPTURES [CAPTURES ...] [--depth] [--told region|pixel_box|masks] [--looks 0 2] ...

CAPTURES: folders of captures with truth.ply; each of --looks is a run of its own, where a capture has so many views.
The support height is 0, as in captures of this project. The truth is told as a person or a detector would tell it: its
bounds, each side 1.4 times as long (`region`), the bounds of its silhouette and 5 pixels more (`pixel_box`), or its
silhouette alone (`masks`). `seen` and `unseen` are the mean distances to the mesh from what the view sees of the truth
and from the rest. A look that is refused counts as F 0, and in no mean of distances.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from mvgamba_ros.cli._flags import add_config, config_from
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import Mesh, Prompts, View

TOLD = ("region", "pixel_box", "masks")
COLUMNS = ("F@5mm", "chamfer_mm", "seen_mm", "unseen_mm")
BOX_MARGIN = 5
"""Pixels that a person's box leaves around the silhouette."""
HIDDEN = 0.01
"""The view sees a point of the truth before which nothing lies further than this share of its longest side."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path, nargs="+")
    parser.add_argument("--depth", action="store_true", help="with the view's depth; default: colour alone")
    parser.add_argument("--told", choices=TOLD, default="region")
    parser.add_argument("--looks", type=int, nargs="+", default=[0, 2], help="numbers of the views")
    parser.add_argument("--only", nargs="*", help="names of captures")
    add_config(parser)
    args = parser.parse_args(argv)
    config = config_from(args)

    rows = []
    print(f"{'':24s}{''.join(f'{name:>12s}' for name in COLUMNS)}")
    for folder in sorted(path.parent for root in args.captures for path in root.glob("*/truth.ply")):
        if args.only and folder.name not in args.only:
            continue
        views, truth = read_capture(folder), read_mesh(folder / "truth.ply")
        for look in (look for look in args.looks if look < len(views)):
            name = f"{folder.name} {look}"
            try:
                rows.append(score(views[look], truth, args.told, args.depth, config))
            except ReconstructionError as error:
                print(f"{name:24s}{error.code.name}: {error.message}", flush=True)
                rows.append({"F@5mm": 0.0})
                continue
            print(f"{name:24s}{line(rows[-1])}", flush=True)
    means = {column: float(np.mean([row[column] for row in rows if column in row])) for column in COLUMNS}
    print(f"{f'mean of {len(rows)} looks':24s}{line(means)}")


def line(scores: dict[str, float]) -> str:
    return "".join(f"{scores[column]:12.3f}" for column in COLUMNS)


def score(view: View, truth: Mesh, told: str, depth: bool, config: ReconstructionConfig) -> dict[str, float]:
    """By name of `COLUMNS`."""
    look = view if depth else replace(view, depth=None)
    segmenter = "masks" if told == "masks" else Options.segmenter
    options = Options(prompts=prompts(view, truth, told), segmenter=segmenter, refine=False, config=config)
    found, true = surface_points(reconstruct([look], options).mesh), surface_points(truth)
    seen = Raycaster(truth).visible(true, view.T_world_camera[:3, 3], HIDDEN)
    off = 1e3 * np.asarray(cKDTree(found).query(true)[0])
    return {**shape_errors(found, true), "seen_mm": float(off[seen].mean()), "unseen_mm": float(off[~seen].mean())}


def prompts(view: View, truth: Mesh, told: str) -> Prompts:
    """Where the object of ``view`` is, as one of `TOLD`."""
    if told == "region":
        return Prompts(roi=scaled_box(truth.vertices.min(0), truth.vertices.max(0)), support_height=0.0)
    if told == "masks":
        return Prompts(support_height=0.0)
    assert view.mask is not None
    rows, columns = np.nonzero(view.mask)
    low, high = (columns.min() - BOX_MARGIN, rows.min() - BOX_MARGIN), (columns.max() + 1, rows.max() + 1)
    return Prompts(pixel_boxes={0: (*low, high[0] + BOX_MARGIN, high[1] + BOX_MARGIN)}, support_height=0.0)


if __name__ == "__main__":
    main()
