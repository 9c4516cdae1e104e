"""The chamfer distance that a shape is expected to have from the true one: what its vertices rest on and all parts of
its quality in one number.

A log-linear model: a generalised linear model with a logarithmic link (McCullagh and Nelder, "Generalized Linear
Models", 1989). Fitted by `python -m benchmarks.trust_fit` to procedural objects, photographed and damaged. Tried beside
the features and of no use once these were in: coverage, completeness, the number of views, the size, grey pictures,
silhouette IoU and colour error, residuals of depth and poses, and standard deviations of the pose correction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.expected_chamfer_config import ExpectedChamferConfig
from mvgamba_ros.config.expected_error_config import ExpectedErrorConfig
from mvgamba_ros.reconstruction import Quality
from mvgamba_ros.surface.expected_error import mean_expected_error, pixel_mm
from mvgamba_ros.types import F32, Mesh, PointCloud, View

COLUMNS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "constant": ("1", lambda x: ""),
    "vertices": (
        "log of the mean of the vertices' own expectations, mm",
        lambda x: f"its vertices, by what they rest on, are {math.exp(x):.1f} mm off",
    ),
    "photo": (
        "log(1 + x), x what photo_residual_mm is beyond `ExpectedErrorConfig.pixels`, mm; 0 where that is not known",
        lambda x: f"pictures of the surface are {math.expm1(x):.1f} mm and a pixel apart between views",
    ),
    "plain": ("1 where photo_residual_mm is not known", lambda x: "it has no texture to compare between views"),
    "unsupported": (
        "unsupported_outline, 0 where all masks were given",
        lambda x: f"{x:.0%} of the outlines are not seen as edges in the pictures",
    ),
    "gap": (
        "log(1 + outline_gap_mm)",
        lambda x: f"it ends {math.expm1(x):.1f} mm inside the silhouettes",
    ),
}
"""The features: what they are, and what a value that raises the expectation means in words."""


def with_expected_chamfer(
    mesh: Mesh,
    cloud: PointCloud,
    quality: Quality,
    views: Sequence[View],
    places: int,
    config: ReconstructionConfig,
    with_depths: bool = True,
) -> tuple[Mesh, PointCloud, Quality]:
    """``quality`` with the expected chamfer distance of a ``mesh`` from `with_expected_error` as its
    `expected_error_mm`, and with its reason where that is above `QualityConfig.max_expected_error_mm` and the ``views``
    are from enough different ``places``; mesh and ``cloud`` with their expected errors scaled to that mean.

    ``with_depths``: the method handed over the depth maps behind the mesh. Of one that did not, little is known: its
    expected error is large, and no reason.
    """
    features = shape_features(mesh, quality, views, config.expected_error)
    expected = expected_chamfer(features, config.expected_chamfer)
    scale = np.float32(expected / math.exp(features["vertices"]))
    limit, reasons = config.quality.max_expected_error_mm, quality.reasons
    if with_depths and expected > limit and places >= config.quality.min_places:
        reasons = *reasons, chamfer_reason(features, limit, config.expected_chamfer)
    return (
        replace(mesh, expected_error_mm=_scaled(mesh.expected_error_mm, scale)),
        replace(cloud, expected_error_mm=_scaled(cloud.expected_error_mm, scale)),
        replace(quality, expected_error_mm=expected, low=bool(reasons), reasons=reasons),
    )


def shape_features(
    mesh: Mesh, quality: Quality, views: Sequence[View], config: ExpectedErrorConfig = ExpectedErrorConfig()
) -> Mapping[str, float]:
    """The features of a shape, by name of `COLUMNS`."""
    photo, unsupported = quality.photo_residual_mm, quality.unsupported_outline
    return {
        "constant": 1.0,
        "vertices": math.log(mean_expected_error(mesh)),
        "photo": 0.0 if math.isnan(photo) else math.log1p(max(photo - config.pixels * pixel_mm(mesh, views), 0.0)),
        "plain": float(math.isnan(photo)),
        "unsupported": 0.0 if math.isnan(unsupported) else unsupported,
        "gap": 0.0 if math.isnan(quality.outline_gap_mm) else math.log1p(quality.outline_gap_mm),
    }


def expected_chamfer(features: Mapping[str, float], config: ExpectedChamferConfig = ExpectedChamferConfig()) -> float:
    """Millimetres: the geometric mean over shapes of such features."""
    log = sum(weight * features[name] for name, weight in zip(COLUMNS, config.weights, strict=True))
    return math.exp(min(max(log, -20.0), 20.0))


def chamfer_reason(
    features: Mapping[str, float],
    limit: float,
    config: ExpectedChamferConfig = ExpectedChamferConfig(),
) -> str:
    """Why the expectation is above ``limit`` mm: the features that raise it above a usual good shape's, the most first,
    with their values; and what to do against the first."""
    rise = {
        name: weight * (features[name] - usual)
        for name, weight, usual in zip(COLUMNS, config.weights, config.usual, strict=True)
    }
    most = sorted((name for name in rise if rise[name] > 0.0), key=lambda name: -rise[name])
    parts = "; ".join(COLUMNS[name][1](features[name]) for name in most)
    remedy = "check poses, intrinsics and masks, and that the object stood still, or add views"
    if most[:1] == ["vertices"]:
        remedy = "add views, from heights and sides that have none yet, or depth"
    return (
        f"the shape is expected to be {expected_chamfer(features, config):.1f} mm off (at most {limit:g} accepted): "
        f"{parts}; {remedy}"
    )


def _scaled(errors: F32 | None, scale: np.float32) -> F32 | None:
    return None if errors is None else np.asarray(errors * scale, np.float32)
