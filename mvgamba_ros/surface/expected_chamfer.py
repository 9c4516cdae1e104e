"""The chamfer distance that a shape is expected to have from the true one, from all parts of its quality.

A log-linear model: a generalised linear model with a logarithmic link (McCullagh and Nelder, "Generalized Linear
Models", 1989). No part alone tells: an outline gap of 2 mm is much from four views and usual from eight, which carve
more. Fitted by `python -m benchmarks.trust_fit` to procedural objects, photographed and damaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from mvgamba_ros.config.expected_chamfer_config import ExpectedChamferConfig
from mvgamba_ros.reconstruction import Quality

COLUMNS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "constant": ("1", lambda x: ""),
    "gap": (
        "log of outline_gap_mm + 0.1",
        lambda x: f"it ends {math.exp(x) - 0.1:.1f} mm inside the silhouettes, so the views contradict each other",
    ),
    "photo": (
        "log of photo_residual_mm, of at least 0.1; 0 where that is not known",
        lambda x: f"pictures of the surface are {math.exp(x):.1f} mm apart between views",
    ),
    "plain": ("1 where photo_residual_mm is not known", lambda x: "it has no texture to compare between views"),
    "faint": (
        "faint_outline, 0 where no mask was found",
        lambda x: f"{x:.0%} of the outlines are not seen as edges in the pictures",
    ),
    "views": ("log of the number of views / 4", lambda x: f"there are {4 * math.exp(x):.0f} views"),
    "unseen": ("1 - coverage", lambda x: f"no view sees {x:.0%} of it"),
}
"""The features: what they are, and what a value that raises the expectation means in words."""


def shape_features(quality: Quality, views: int) -> Mapping[str, float]:
    """The features of a shape, by name of `COLUMNS`, made from so many ``views``."""
    photo = quality.photo_residual_mm
    return {
        "constant": 1.0,
        "gap": math.log(quality.outline_gap_mm + 0.1),
        "photo": 0.0 if math.isnan(photo) else math.log(max(photo, 0.1)),
        "plain": float(math.isnan(photo)),
        "faint": 0.0 if math.isnan(quality.faint_outline) else quality.faint_outline,
        "views": math.log(views / 4),
        "unseen": 1.0 - quality.coverage,
    }


def expected_chamfer(features: Mapping[str, float], config: ExpectedChamferConfig = ExpectedChamferConfig()) -> float:
    """Millimetres: the geometric mean over shapes of such features."""
    log = sum(weight * features[name] for name, weight in zip(COLUMNS, config.weights, strict=True))
    return math.exp(min(max(log, -20.0), 20.0))


def chamfer_reason(features: Mapping[str, float], config: ExpectedChamferConfig = ExpectedChamferConfig()) -> str:
    """Why the expectation is high: the features that raise it most above a usual good shape's, with their values."""
    rise = {
        name: weight * (features[name] - usual)
        for name, weight, usual in zip(COLUMNS, config.weights, config.usual, strict=True)
    }
    most = sorted((name for name in rise if rise[name] > 0.0), key=lambda name: -rise[name])[: config.named]
    parts = "; ".join(COLUMNS[name][1](features[name]) for name in most)
    return (
        f"the shape is expected to be {expected_chamfer(features, config):.1f} mm off (at most {config.max_mm:g} "
        f"accepted): {parts}; check poses, intrinsics and masks, and that the object stood still, or add views"
    )
