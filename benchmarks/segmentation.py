"""How well a segmenter finds known silhouettes in posed captures.

usage: python -m benchmarks.segmentation CAPTURES [--segmenter NAME] [--sam-checkpoint WEIGHTS]
           [--views transforms.json] [--set KEY=VALUE]

CAPTURES/.../<name>/ holds posed images with true masks and truth.ply. Prints a Markdown table: IoU of every mask with a
region of interest 40 % larger than the object's bounds, and without one; the table height found; process seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh

from mvgamba_ros.cli._flags import add_config, config_from
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.factories import load_segmenter
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.options import Options
from mvgamba_ros.registry import available
from mvgamba_ros.segmentation.segmenter import Segmenter
from mvgamba_ros.segmentation.support_plane import estimate_support_height
from mvgamba_ros.types import Prompts, View


def measure(segmenter: Segmenter, views: list[View], prompts: Prompts) -> tuple[list[float], float]:
    """IoU per view, 0 where the segmenter refuses, and process seconds; it sees colour and poses alone."""
    bare = [replace(view, mask=None, depth=None) for view in views]
    began = time.process_time()
    try:
        masks = segmenter(bare, prompts).masks
    except ReconstructionError as error:
        print(f"refused: {error.message}", file=sys.stderr)
        masks = [np.zeros(view.image.shape[:2], bool) for view in views]
    seconds = time.process_time() - began
    return [mask_iou(mask, view.mask) for mask, view in zip(masks, views, strict=True)], seconds


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path)
    parser.add_argument("--views", default="transforms.json")
    parser.add_argument("--segmenter", default="classical", choices=available("segmenters"))
    parser.add_argument("--sam-checkpoint", default="", help="weights for segmenter sam")
    add_config(parser)
    arguments = parser.parse_args(argv)
    options = Options(
        segmenter=arguments.segmenter, sam_checkpoint=arguments.sam_checkpoint, config=config_from(arguments)
    )
    config = options.config.segmentation
    print("| object | region: mean | worst | s | no region: mean | worst | s | table height, mm |")
    print("|---|---|---|---|---|---|---|---|")
    segmenter = load_segmenter(options)
    totals: list[list[float]] = []
    for truth in sorted(arguments.captures.rglob("truth.ply")):
        views = read_capture(truth.parent, arguments.views)
        low, high = trimesh.load(truth).bounds
        roi = scaled_box(low, high)
        row: list[float] = []
        for prompts in (Prompts(roi=roi), Prompts()):
            ious, seconds = measure(segmenter, views, prompts)
            row += [float(np.mean(ious)), min(ious), seconds]
        bare = [replace(view, mask=None, depth=None) for view in views]
        height, _ = estimate_support_height(bare, Prompts(roi=roi), config)
        found = "none" if height is None else f"{1e3 * height:.1f}"
        cells = " | ".join(f"{value:.2f}" if k % 3 == 2 else f"{value:.3f}" for k, value in enumerate(row))
        print(f"| {truth.parent.relative_to(arguments.captures)} | {cells} | {found} |", flush=True)
        totals.append(row)
    table = np.array(totals)
    pick = [table[:, 0].mean(), table[:, 1].min(), table[:, 2].mean()]
    pick += [table[:, 3].mean(), table[:, 4].min(), table[:, 5].mean()]
    print("| **all** | " + " | ".join(f"{v:.2f}" if k % 3 == 2 else f"{v:.3f}" for k, v in enumerate(pick)) + " | |")


if __name__ == "__main__":
    main()
