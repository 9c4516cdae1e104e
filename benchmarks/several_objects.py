"""A table with several objects: how many are found, and how well each is reconstructed, beside the first one alone.

usage: python -m benchmarks.several_objects [--scenes 6] [--objects 6] [--seed 7] [--given] [--segmenter NAME] ...

Procedural tabletop scenes, objects 5 to 15 cm apart in materials as they come, exact poses, views all around. Of each
scene every object is sought and reconstructed (with ``--given`` their regions are given, 1.4 times the objects'), and
scored against the true mesh whose middle is nearest. The time is that of the whole scene over that of its first
object alone with its region given; it counts processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.cli._flags import add_config, add_options, options_from
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.scene_objects import FINDER, reconstruct_scene
from mvgamba_ros.synthesis.tabletop import tabletop_scene
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.types import Mesh


def rig_of(objects: int, views: int) -> TabletopRig:
    """Tables on which nothing is special but the number of objects."""
    none = dict.fromkeys(
        ("thin", "twin", "touching", "near", "leaning", "stacked", "transparent", "translucent", "table_colour", "pale",
         "black", "board", "tray", "bin", "pool", "shadow_edge", "stripes", "arm", "hovering", "cut_off", "blurred"),
        0.0,
    )  # fmt: skip
    counts = (*[0.0] * (objects - 1), 1.0)
    seen = {"views": views, "width": 640, "height": 480, "elevation_deg": (25.0, 60.0), "spread_deg": (300.0, 360.0)}
    return replace(TabletopRig(), counts=counts, exact=1.0, **none, **seen)  # type: ignore[arg-type]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--objects", type=int, default=6)
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--given", action="store_true", help="each object's region is given")
    parser.set_defaults(roi=[], support_height=None)  # what `add_prompts` would ask for is known of every object
    add_options(parser)
    add_config(parser)
    args = parser.parse_args(argv)
    options = options_from(args, Options)
    if not args.given and options.segmenter == Options().segmenter:
        options = replace(options, segmenter=FINDER)
    rig = rig_of(args.objects, args.views)
    scores, there, answers, ratios = [], 0, 0, []
    for index in range(args.scenes):
        scene = tabletop_scene(args.seed, index, rig)
        truths = [Mesh(mesh.vertices, mesh.faces, np.zeros_like(mesh.vertices, np.uint8)) for mesh in scene.shapes]
        views = [replace(view, depth=None) for view in scene.views]
        regions = [scaled_box(*bounds) for bounds in scene.bounds]
        began = time.process_time()
        reconstruct_scene(views, options, regions[:1])
        one = time.process_time() - began
        began = time.process_time()
        found = [o.result for o in reconstruct_scene(views, options, regions if args.given else None)]
        ratios.append((time.process_time() - began) / one)
        results = [result for result in found if result is not None]
        row = [_best(truth, results) for truth in truths]
        scores += row
        there, answers = there + len(truths), answers + len(found)
        print(
            f"scene {index}: {len(truths)} objects, {len(found)} found, {len(results)} reconstructed, F@5mm "
            + " ".join(f"{score:.2f}" for score in row)
            + f", {ratios[-1]:.1f} x the time of one",
            flush=True,
        )
    print(
        f"{sum(score > 0 for score in scores)} of {there} objects found ({answers} answers), median F@5mm "
        f"{np.median(scores):.3f}, mean {np.mean(scores):.3f}, {np.mean(ratios):.1f} x the time of one"
    )


def _best(truth: Mesh, results: Sequence[Reconstruction]) -> float:
    """F at 5 mm of the result whose middle is nearest to the truth's; 0 where that lies beside the truth."""
    low, high = truth.vertices.min(axis=0), truth.vertices.max(axis=0)
    middles = [(r.mesh.vertices.min(axis=0) + r.mesh.vertices.max(axis=0)) / 2 for r in results]
    away = [float(np.linalg.norm(middle - (low + high) / 2)) for middle in middles]
    if not away or min(away) > np.linalg.norm(high - low) / 2:
        return 0.0
    nearest = results[int(np.argmin(away))].mesh
    return shape_errors(surface_points(nearest), surface_points(truth))["F@5mm"]


if __name__ == "__main__":
    main()
