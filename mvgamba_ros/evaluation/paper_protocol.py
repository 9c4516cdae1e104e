"""The protocol of papers that reconstruct single objects: whole pictures, shapes in a unit cube, and their figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.evaluation.novel_view import Target
from mvgamba_ros.geometry.camera import crop, resample
from mvgamba_ros.metrics.shape import shape_errors
from mvgamba_ros.types import F64, View

UNIT_LIMIT = 0.01
"""Distance of the F-score in the unit cube, sides of it."""


@dataclass(frozen=True)
class PaperRow:
    """What a paper reports of a method; None where it was not at hand."""

    method: str
    inputs: str
    psnr_db: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    chamfer_unit: float | None = None
    seconds: float | None = None


REPORTED = (
    PaperRow("MVGamba", "4 views", 26.25, 0.881, 0.069, 0.0132, 0.03),
    PaperRow("LGM", "4 views", 24.20, 0.845, 0.112, 0.0198, 0.07),
    PaperRow("MVGamba", "1 picture", 24.82),
)
"""Of Yi et al., "MVGamba", NeurIPS 2024, on Google Scanned Objects, as reported there for LGM as well."""
DIFFERENCES = (
    "The paper's figures are of Google Scanned Objects, from its own test cameras, which are not published; those",
    "above are of the captures given, from their left-out views. Its chamfer distance states neither its scale nor",
    "whether directions are added; here the truth's longest side is 1, and distances are means of both directions.",
    "Its seconds are of an NVIDIA A800 and of the network alone; here they are from pictures to mesh, on this machine.",
    "Its figures of DreamGaussian and Triplane-Gaussian are of one picture, other sides made up: they are in no row.",
)
"""Of the two protocols, as lines."""


def whole_target(view: View, pixels: int) -> Target:
    """A left-out view as a whole, ``pixels`` a side, on white. ``view``: undistorted, with the true mask. Raises
    BAD_CAPTURE for a picture that is not square, EMPTY_SILHOUETTE without a mask."""
    if view.mask is None or not view.mask.any():
        raise ReconstructionError(ErrorCode.EMPTY_SILHOUETTE, f"{view.name}: no object in this left-out view")
    width, height = view.camera.width, view.camera.height
    if width != height:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE,
            f"{view.name}: {width} x {height} pixels; whole pictures are compared where they are square, as "
            "`mvgamba data orbit` renders them",
        )
    camera = crop(view.camera, 0, 0, width, height, pixels, pixels)
    mask, image = resample(view.mask, view.camera, camera), resample(view.image, view.camera, camera)
    picture = np.where(mask[..., None], image.astype(np.float32) / 255, np.float32(1))
    return Target(replace(view, image=image, camera=camera, mask=mask, depth=None, hidden=None), picture)


def unit_scores(found: F64, truth: F64) -> dict[str, float]:
    """`shape_errors` of points (N, 3) and (M, 3) where the longest side of the truth's box is 1: ``chamfer_unit`` and
    ``F@0.01``."""
    side = float(np.ptp(truth, axis=0).max())
    errors = shape_errors(found / side, truth / side)  # its millimetres are thousandths of the side
    return {"chamfer_unit": errors["chamfer_mm"] / 1e3, f"F@{UNIT_LIMIT:g}": errors[f"F@{UNIT_LIMIT * 1e3:.0f}mm"]}


def beside_the_paper(mean: Mapping[str, float], views: int) -> str:
    """A table of ``mean`` scores of ``views`` input views above what the paper reports, and how the two differ."""
    names = ("psnr_db", "ssim", "lpips", "chamfer_unit", "seconds")
    here = [mean.get(name) for name in names]
    reported = [(row.method, row.inputs, [getattr(row, name) for name in names]) for row in REPORTED]
    lines = [f"{'':12s}{'from':>10s}{'PSNR':>8s}{'SSIM':>8s}{'LPIPS':>8s}{'chamfer':>9s}{'s':>7s}"]
    for method, inputs, values in [("here", f"{views} views", here), *reported]:
        cells = ["-" if v is None else f"{v:.{d}f}" for v, d in zip(values, (2, 3, 3, 4, 2), strict=True)]
        widths = (8, 8, 8, 9, 7)
        lines.append(f"{method:12s}{inputs:>10s}" + "".join(f"{c:>{w}s}" for c, w in zip(cells, widths, strict=True)))
    return "\n".join([*lines, *DIFFERENCES])
