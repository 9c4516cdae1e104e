"""The expected distance of a mesh's vertices to the true surface: a log-linear model of what each vertex rests on.

``log(expected error) = weights @ features``, as in a generalised linear model with a logarithmic link (McCullagh and
Nelder, "Generalized Linear Models", 1989). Fitted by benchmarks/expected_error.py, whose likelihood, the exponential
distribution's, makes the mean of the predictions that of the errors, over all and in every group that a feature marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.config.expected_error_config import ExpectedErrorConfig
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.rendering.texture import sample_raster
from mvgamba_ros.rendering.visibility import count_sight
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.surface.map_evidence import map_evidence
from mvgamba_ros.surface.sample import sample_values
from mvgamba_ros.types import F32, F64, Bool, Mesh, PointCloud, View

COLUMNS = {
    "constant": "1",
    "size": "log of the mesh's longest side over 100 mm",
    "guessed": "1 where no view sees the vertex",
    "distance": "of a guessed vertex from the nearest seen one, log(1 + mm)",
    "hollow": "depth below the visual hull's surface, log(1 + mm)",
    "resting": "1 on the support plane, where its height is known",
    "sigma": "log of the standard deviation of the depth maps, mm + 0.1, see `map_evidence`",
    "spread": "log of the depth maps' disagreement with the vertex, mm + 0.1",
    "unmapped": "1 where no map tells of the vertex",
    "no_maps": "1 for a method without depth maps",
    "colors": "log(1 + x / 8), x the disagreement in counts of 255 of the views that see it about its colour",
    "outline_gap": "of the whole mesh: log of how far it ends inside the silhouettes beyond a pixel or so, mm + 1",
    "all_colors": "of the whole mesh: colors of the root mean square",
    "views": "of the whole mesh: 1 over the number of views",
    "parallel": "of the whole mesh: how little the views' directions differ, see `parallelism`",
}
"""The features of a vertex and what they are; 0 where one does not apply."""


@dataclass(frozen=True)
class Evidence:
    """What a mesh rests on. ``sight`` (views, V) from `vertex_sight`; ``hull``, the visual hull it lies in; ``maps``,
    the depth maps it was fused from, none for a method without; ``outline_gap_mm``, mean distance between its outlines
    and the silhouettes'; ``support_height``, world z of the plane it stands on, None where that is not known."""

    views: Sequence[View]
    sight: F32
    hull: DistanceField
    maps: Sequence[DepthMaps]
    outline_gap_mm: float
    support_height: float | None = None


def with_expected_error(
    mesh: Mesh, cloud: PointCloud, evidence: Evidence, config: ExpectedErrorConfig = ExpectedErrorConfig()
) -> tuple[Mesh, PointCloud]:
    """``mesh`` with `seen` and `expected_error_mm`, see `vertex_features` and `expected_errors`, and its ``cloud``, of
    `sample_cloud`, with the latter interpolated."""
    features = vertex_features(mesh, evidence, config)
    largest = 1e3 * float(np.ptp(mesh.vertices, axis=0).max())
    errors = expected_errors(features, largest, config)
    mesh = replace(mesh, seen=count_sight(evidence.sight), expected_error_mm=errors)
    return mesh, replace(cloud, expected_error_mm=sample_values(mesh, errors, len(cloud.points)))


def vertex_features(mesh: Mesh, evidence: Evidence, config: ExpectedErrorConfig = ExpectedErrorConfig()) -> F64:
    """(V, F) features of the vertices, a column for each of `COLUMNS`."""
    size = 1e3 * float(np.ptp(mesh.vertices, axis=0).max())
    table = dict.fromkeys(COLUMNS, np.zeros(len(mesh.vertices)))
    table["constant"] = np.ones(len(mesh.vertices))
    table["size"] = np.full(len(mesh.vertices), np.log(size / 100.0))
    seen = count_sight(evidence.sight) > 0
    table["guessed"] = np.where(seen, 0.0, 1.0)
    table["distance"] = np.log1p(_distance_to_seen(mesh.vertices, seen, size))
    table["hollow"] = np.log1p(1e3 * np.maximum(evidence.hull.sample(mesh.vertices), 0.0))
    if evidence.support_height is not None:
        above = 1e3 * (mesh.vertices[:, 2] - evidence.support_height)
        table["resting"] = np.where(above <= config.contact * size, 1.0, 0.0)
    if evidence.maps:
        found = map_evidence(mesh.vertices, evidence.maps, config.band * size * 1e-3, config)
        table["sigma"] = np.where(found.covered, np.log(1e3 * found.sigma + 0.1), 0.0)
        table["spread"] = np.where(found.covered, np.log(1e3 * found.spread + 0.1), 0.0)
        table["unmapped"] = np.where(found.covered, 0.0, 1.0)
    else:
        table["no_maps"] = np.ones(len(seen))
    spread, several = color_spread(mesh.vertices, evidence.sight, evidence.views, config.max_level)
    table["colors"] = np.log1p(spread / 8.0)
    table["all_colors"] = np.full(len(seen), np.log1p(_rms(spread[several]) / 8.0))
    gap = evidence.outline_gap_mm - config.pixels * pixel_mm(mesh, evidence.views)
    table["outline_gap"] = np.full(len(seen), np.log1p(max(gap, 0.0)))
    table["views"] = np.full(len(seen), 1.0 / len(evidence.views))
    eyes = np.stack([view.T_world_camera[:3, 3] for view in evidence.views])
    table["parallel"] = np.full(len(seen), parallelism(eyes - mesh.vertices.mean(axis=0)))
    return np.stack([table[name] for name in COLUMNS], axis=1)


def pixel_mm(mesh: Mesh, views: Sequence[View]) -> float:
    """What a pixel covers at the mesh's centre, mean over views."""
    center = mesh.vertices.mean(axis=0)
    sizes = [np.linalg.norm(view.T_world_camera[:3, 3] - center) / view.camera.K[0, 0] for view in views]
    return 1e3 * float(np.mean(sizes))


def expected_errors(features: F64, largest_mm: float, config: ExpectedErrorConfig = ExpectedErrorConfig()) -> F32:
    """(V,) mm from ``features`` (V, F); no more than ``largest_mm``, the size of the object."""
    errors = np.exp(np.clip(features @ np.array(config.weights), -20.0, 20.0))
    return np.clip(errors, min(config.least_mm, largest_mm), largest_mm).astype(np.float32)


def mean_expected_error(mesh: Mesh) -> float:
    """Mean of the expected error over the mesh's area, mm; NaN where it was not computed."""
    if mesh.expected_error_mm is None:
        return float("nan")
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return float(np.average(mesh.expected_error_mm[mesh.faces].mean(axis=1), weights=area))


def parallelism(directions: F64) -> float:
    """Of views in ``directions`` (V, 3) from the object, -log(e + 0.02): e, the smallest eigenvalue of the mean of
    I - d d^T over unit directions d, is the squared sine between a direction and the views, the mean over views, where
    that is least. 3.9 for parallel views, which leave the depth along them open; 0.7 for some all around at 45
    degrees."""
    d = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return float(-np.log(np.linalg.eigvalsh(np.eye(3) - d.T @ d / len(d))[0] + 0.02))


def color_spread(
    points: F64, sight: F32, views: Sequence[View], max_level: float = ExpectedErrorConfig.max_level
) -> tuple[F64, Bool]:
    """How much the views that see a point disagree about its colour, (N,): the standard deviation over views, RMS over
    channels, in counts of 255, each view brought to the exposure of the others; 0 where fewer than two see it; and
    which points (N,) two or more see. What is brighter than ``max_level`` in a view is not seen there."""
    weights = np.array(sight)
    samples = []
    for view, cosines in zip(views, weights, strict=True):
        at = np.flatnonzero(cosines)
        pixels, _ = project(view.camera, view.T_world_camera, points[at])
        x, y = (pixels - 0.5).astype(np.float32).T[:, :, None]
        color = sample_raster(view.image, x, y).astype(np.float64) if len(at) else np.zeros((0, 3))
        saturated = (color > max_level).any(axis=1)
        cosines[at[saturated]] = 0.0
        samples.append(color[~saturated])
    weight = np.maximum(weights.sum(axis=0), 1e-9)[:, None]
    exposures = np.ones(len(samples))
    for _ in range(2):  # the mean is of balanced colours only from the second time on
        total = np.zeros((len(points), 3))
        for color, cosines, exposure in zip(samples, weights, exposures, strict=True):
            at = np.flatnonzero(cosines)
            total[at] += cosines[at, None] * color / exposure
        mean = total / weight
        exposures = np.array([_exposure(c, mean[np.flatnonzero(w)]) for c, w in zip(samples, weights, strict=True)])
    squared = np.zeros((len(points), 3))
    for color, cosines, exposure in zip(samples, weights, exposures, strict=True):
        at = np.flatnonzero(cosines)
        difference = color / exposure - mean[at]
        difference -= difference.mean(axis=0) if len(at) else 0.0  # the light's colour
        squared[at] += cosines[at, None] * difference**2
    several = np.count_nonzero(weights, axis=0) > 1
    spread = np.sqrt((squared / weight).mean(axis=1))
    return np.where(several, spread, 0.0), several


def _exposure(colors: F64, mean: F64) -> float:
    """The gain that brings ``mean`` (N, 3) nearest to ``colors`` (N, 3), least squares."""
    return float((colors * mean).sum() + 1.0) / float((mean * mean).sum() + 1.0)


def _distance_to_seen(points: F64, seen: Bool, size: float) -> F64:
    """(N,) mm from each point that is not seen to the nearest that is; ``size`` where none is, 0 where it is seen."""
    distances = np.zeros(len(points))
    if not seen.any():
        return distances + size
    if not seen.all():
        from scipy.spatial import cKDTree

        tree = cKDTree(points[seen], balanced_tree=False, compact_nodes=False)
        distances[~seen] = 1e3 * tree.query(points[~seen])[0]
    return distances


def _rms(values: F64) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
