"""Scores of a method on captures with left-out views, and truth where it was scanned, from 2, 4, 8 input views."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.evaluation.evaluation_protocol import HULL_FACES
from mvgamba_ros.evaluation.novel_view import Target, cut_target, picture_scores, show_gaussians, show_mesh
from mvgamba_ros.evaluation.paper_protocol import unit_scores, whole_target
from mvgamba_ros.factories import load_segmenter
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.camera import undistort
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import Mesh, View


@dataclass(frozen=True)
class Case:
    """One capture: ``views`` to choose inputs from, ``targets`` left out, ``truth`` if scanned."""

    name: str
    views: Sequence[View]
    targets: Sequence[Target]
    truth: Mesh | None
    options: Options
    unit: bool = False
    """Whether the shape is scored in the unit cube as well."""


@dataclass(frozen=True)
class Outcome:
    """One reconstruction of a case from ``inputs``, and its coloured hull; ``scores`` by name."""

    inputs: Sequence[View]
    result: Reconstruction
    hull: Reconstruction
    scores: dict[str, float] = field(default_factory=dict)


def find_captures(root: Path) -> list[Path]:
    """``root`` itself or the folders in it that hold left-out views. Raises BAD_CAPTURE where there is none."""
    if not root.exists():
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{root}: does not exist")
    found = [folder for folder in [root, *sorted(root.glob("*/"))] if (folder / "transforms_test.json").is_file()]
    if not found:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE,
            f"{root}: no capture with left-out views here; each needs transforms.json and transforms_test.json",
        )
    return found


def read_case(
    folder: Path, options: Options, roi_from_truth: bool, reader: str = "", whole: int = 0, depth: bool = True
) -> Case:
    """The capture with every view it has for input (transforms_8.json before transforms.json).

    ``roi_from_truth``: where the truth is there, the region of interest is its box, `ROI_SCALE` times as large.
    ``reader``, ``depth``: as of `read_capture`. ``whole``: pixels a side of whole left-out pictures, scored by
    `paper_protocol`; 0: squares around the object. Left-out views without a mask get one from the segmenter, since
    pictures are compared on the object.
    """
    many = "transforms_8.json" if (folder / "transforms_8.json").is_file() else "transforms.json"
    truth = read_mesh(folder / "truth.ply") if (folder / "truth.ply").is_file() else None
    if truth is not None and roi_from_truth:
        roi = scaled_box(truth.vertices.min(0), truth.vertices.max(0))
        options = replace(options, prompts=replace(options.prompts, roi=roi))
    left_out = [undistort(view) for view in read_capture(folder, "transforms_test.json", reader, depth)]
    if any(view.mask is None for view in left_out):
        segmenter = load_segmenter(replace(options, segmenter="classical"))
        masks = segmenter(left_out, options.prompts, lambda stage, fraction: None, lambda: False).masks
        left_out = [replace(view, mask=mask) for view, mask in zip(left_out, masks, strict=True)]
    targets = [whole_target(view, whole) if whole else cut_target(view) for view in left_out]
    return Case(folder.name, read_capture(folder, many, reader, depth), targets, truth, options, unit=bool(whole))


def evaluate(case: Case, count: int) -> Outcome:
    """Reconstruct from ``count`` of the case's views, evenly picked, and score the result. Raises TOO_FEW_VIEWS."""
    if count > len(case.views):
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS, f"{case.name}: {count} input views are wanted, the capture has {len(case.views)}"
        )
    inputs = [case.views[i * len(case.views) // count] for i in range(count)]
    began = time.perf_counter()
    result = reconstruct(inputs, case.options)
    seconds = time.perf_counter() - began
    hull = reconstruct(inputs, replace(case.options, method="hull", max_faces=HULL_FACES))
    scores = {
        "seconds": seconds,
        "silhouette_iou": result.quality.silhouette_iou,
        "depth_views": result.settings["depth_views"],
    }
    if case.truth is not None:
        truth, found = surface_points(case.truth), surface_points(result.mesh)
        scores |= shape_errors(found, truth)
        if case.unit:
            scores |= unit_scores(found, truth)
        of_hull = shape_errors(surface_points(hull.mesh), truth)
        scores |= {f"hull {name}": of_hull[name] for name in ("chamfer_mm", "F@5mm")}
    caster, hull_caster = Raycaster(result.mesh), Raycaster(hull.mesh)
    rows = []
    for target in case.targets:
        shown = show_mesh(caster, target) if result.gaussians is None else show_gaussians(result.gaussians, target)
        row = picture_scores(*shown, target)
        row["mesh iou"] = picture_scores(*show_mesh(caster, target), target)["iou"]
        rows.append(row | {f"hull {k}": v for k, v in picture_scores(*show_mesh(hull_caster, target), target).items()})
    scores |= {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return Outcome(inputs, result, hull, scores)


def mean_scores(outcomes: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over captures, of each score over those that have it."""
    names = dict.fromkeys(name for scores in outcomes for name in scores)
    return {name: float(np.mean([scores[name] for scores in outcomes if name in scores])) for name in names}
