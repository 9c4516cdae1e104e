"""Reconstruct every capture of a folder and write what a scorer needs: OUT/<name>/mesh.ply, cloud.ply, report.json.

usage: python -m benchmarks.capture_meshes CAPTURES OUT [--views FILE] [--method hull] [--masks] [--no-depth] ...

``--roi-scale`` gives the pipeline a region of interest: the truth's bounds times that. It is the only thing here that
reads a truth mesh (truth.ply), as a person who points at the object would; nothing else is told about the object.
Captures without truth.ply are run without a region of interest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvgamba_ros.cli._flags import add_config, add_depth, add_options, add_prompts, options_from
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.results import write_results
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.preview import preview
from mvgamba_ros.types import Box


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", default="transforms.json")
    parser.add_argument("--roi-scale", type=float, help="region of interest, in multiples of the truth's bounds")
    parser.add_argument("--only", nargs="*", help="names of captures")
    add_depth(parser)
    add_prompts(parser, "default: none, or that of --roi-scale")
    add_options(parser)
    add_config(parser)
    args = parser.parse_args(argv)
    chosen = options_from(args, Options)

    print(f"{'capture':18s} mask IoU (least)  quality IoU  colour  coverage  low  seconds  support z")
    for folder in sorted(path.parent for path in args.captures.glob(f"*/{args.views}")):
        if args.only and folder.name not in args.only:
            continue
        roi = region(folder, args.roi_scale) or chosen.prompts.roi
        options = replace(chosen, prompts=replace(chosen.prompts, roi=roi))
        views = read_capture(folder, args.views, depth=args.depth)
        began = time.perf_counter()
        try:
            result = reconstruct(views, options)
        except ReconstructionError as error:
            print(f"{folder.name:18s} {error.code.name}: {error.message}", flush=True)
            continue
        seconds = time.perf_counter() - began
        write_results(args.out / folder.name, result, preview(views, result))
        truths = [view.mask for view in views]
        ious = [mask_iou(mask, truth) for mask, truth in zip(result.masks, truths, strict=True) if truth is not None]
        masks = f"{np.mean(ious):.3f} ({min(ious):.3f})" if ious else "no true masks"
        height = "none" if result.support_height is None else f"{1e3 * result.support_height:.2f} mm"
        quality = result.quality
        print(
            f"{folder.name:18s} {masks:16s}  {quality.silhouette_iou:11.3f}  {quality.color_error:6.3f}  "
            f"{quality.coverage:8.0%}  {'yes' if quality.low else 'no':3s}  {seconds:7.2f}  {height}",
            flush=True,
        )


def region(folder: Path, scale: float | None) -> Box | None:
    """The truth's bounds, each side ``scale`` times as long about the same centre."""
    truth = folder / "truth.ply"
    if scale is None or not truth.exists():
        return None
    vertices = read_mesh(truth).vertices
    return scaled_box(vertices.min(axis=0), vertices.max(axis=0), scale)


if __name__ == "__main__":
    main()
