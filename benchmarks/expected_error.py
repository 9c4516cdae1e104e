"""Fit the model of a mesh's expected error to procedural objects, and show how well it is calibrated on others.

usage: python -m benchmarks.expected_error data/error [--objects 64] [--ridge 1e-3] [--workers 2]

Renders the objects into the folder first, where they are missing. Each is reconstructed several times, as a robot might
see it: from 1 to 8 views, all around or from one side, by the methods mvgamba and hull, with its true silhouettes or
rough ones, with true poses, with one error that all poses share (hand-eye), with one of each pose's own or of one view
only, or with the pose of the view before. The truth of a vertex is its distance to the true surface, from the points
stored with the object and their normals. Two thirds of the objects, chosen by their number, are fitted to; the table is
of the others. It compares, in ten bins of equally many vertices, the mean expected error with the mean true one, and
gives Spearman's rank correlation between a mesh's expected and true mean.

The model: log(expected error) = weights @ features, see mvgamba_ros/surface/expected_error.py. The weights minimise the
negative log-likelihood of an exponential distribution, sum(error / expected + log(expected)), and a ridge. Whatever the
true distribution, that makes the mean prediction right wherever a feature marks a group (McCullagh and Nelder,
"Generalized Linear Models", 1989). Every mesh weighs the same; within it a vertex weighs by its share of the area.
Tried beside the model's features and without weight once these were in: the size of a pixel at the vertex, its best
cosine, how many views see it, how far it faces away from all. Printed last are the weights, as they stand in
mvgamba_ros/config/expected_error_config.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr

from benchmarks.held_out import as_view
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.surface import expected_error
from mvgamba_ros.surface.expected_error import COLUMNS
from mvgamba_ros.synthesis.data_format import INPUT_VIEWS
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.shards import DataRecipe, Shards, write_shards
from mvgamba_ros.synthesis.sources import open_source
from mvgamba_ros.types import F64, Bool, Mesh, Prompts, View

RECIPE = DataRecipe(seed=2201, count=64, per_shard=8, points=30_000, rig=CameraRig(views=INPUT_VIEWS, size=224))
"""Objects of a seed that nothing else was fitted to, with points close enough to stand for the surface."""
CROPPED = ReconstructionConfig(
    views=ViewsConfig(resized_tolerance=0.0, principal_point_margin=-100.0, min_field_of_view=1.0)
)
"""Stored views are crops, whose principal points may lie anywhere and whose angles are small."""
NEIGHBOURS = 4
"""Of the stored points, so many nearest to a vertex are taken for pieces of the surface."""

SIGNS: dict[str, tuple[float | None, float | None]] = {"constant": (None, None), "resting": (None, 0.0)}
"""Least and greatest weight of features that do not add to the error. Of all others, more means a larger error, which
keeps the model sensible far from what it was fitted to."""


@dataclass(frozen=True)
class Rows:
    """A mesh's vertices: ``features`` (V, F), true ``error`` (V,) mm, ``area`` (V,) as shares that sum to 1; ``object``
    is its number, ``case`` what was done to it."""

    features: F64
    error: F64
    area: F64
    object: int
    case: str


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the objects")
    parser.add_argument("--objects", type=int, default=64)
    parser.add_argument("--ridge", type=float, default=1e-3, help="penalty on squared weights, but the constant's")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    args = parser.parse_args(argv)

    recipe = replace(RECIPE, count=args.objects)
    write_shards(args.data, open_source(recipe.source, recipe.seed, recipe.count), recipe, args.workers)
    shards = Shards(args.data)
    rows: list[Rows] = []
    for index in range(len(shards)):
        rows += collect(shards[index], index)
        print(f"object {index}: {len(rows)} meshes", flush=True)
    known = [row for row in rows if row.object % 3]
    weights = fit(known, args.ridge)
    report([row for row in rows if not row.object % 3], weights)
    print("weights = (" + ", ".join(f"{w:.3f}" for w in weights) + ")")


def collect(item: Mapping[str, NDArray[Any]], index: int) -> Iterator[Rows]:
    """The vertices of an object of `Shards`, reconstructed from damaged views; what is refused is left out."""
    points, normals = (np.asarray(item[name], np.float64) for name in ("points", "normals"))
    support = float(item["support_height"])
    prompts = Prompts(support_height=None if np.isnan(support) else support)
    for case, views, method in damaged([as_view(item, i) for i in range(INPUT_VIEWS)], index):
        options = Options(method=method, segmenter="masks", refine=False, prompts=prompts, config=CROPPED)
        try:
            features, mesh = measured_features(views, options)
        except ReconstructionError:
            continue
        largest = 1e3 * float(np.ptp(mesh.vertices, axis=0).max())  # nor is more ever expected
        errors = np.minimum(true_errors(mesh.vertices, points, normals), largest)
        yield Rows(features, errors, vertex_areas(mesh), index, case)


def damaged(views: Sequence[View], index: int) -> Iterator[tuple[str, list[View], str]]:
    """Name, views and method of each reconstruction of object ``index``."""
    rng = np.random.default_rng((22, index))
    counts = (1, 2, 3, 4, 4, 5, 6, 8)

    def some() -> list[View]:
        return [views[i] for i in rng.permutation(len(views))[: int(rng.choice(counts))]]

    yield "clean", [views[i] for i in rng.permutation(len(views))[:4]], "mvgamba"
    yield "clean", some(), "mvgamba"
    yield "hull", some(), "hull"
    yield "masks", [with_rough_mask(view, rng) for view in some()], "mvgamba"
    for name, shared, own in (("hand-eye", 1.0, 0.0), ("poses", 0.0, 1.0), ("robot", 0.7, 0.3)):
        mm = float(np.exp(rng.uniform(np.log(0.5), np.log(12.0))))
        yield name, with_pose_errors(some(), shared * mm, own * mm, rng), "mvgamba"
    yield "poses hull", with_pose_errors(some(), 0.5 * mm, 0.5 * mm, rng), "hull"
    yield "one side", from_one_side(views, int(rng.integers(2, 5)), rng), "mvgamba"
    first, *others = some()
    yield "one view", [*others, *with_pose_errors([first], 0.0, float(rng.uniform(5.0, 40.0)), rng)], "mvgamba"
    taken = some()
    late = [taken[k - 1].T_world_camera for k in range(len(taken))]
    yield "late", [replace(view, T_world_camera=T) for view, T in zip(taken, late, strict=True)], "mvgamba"


def from_one_side(views: Sequence[View], count: int, rng: np.random.Generator) -> list[View]:
    """A view and those next to it in direction, so that the other side of the object is a guess."""
    towards = np.stack([view.T_world_camera[:3, 2] for view in views])
    nearest = np.argsort(-towards @ towards[int(rng.integers(len(views)))])
    return [views[i] for i in nearest[:count]]


def with_pose_errors(views: Sequence[View], shared_mm: float, own_mm: float, rng: np.random.Generator) -> list[View]:
    """Views whose poses are off, in the camera's frame, by one error of a size given and by one of each view's own
    (normal, of RMS size given): a tenth of a degree goes with each mm."""

    def error(mm: float) -> F64:
        turn = Rotation.from_rotvec(np.radians(0.1 * mm) * rng.normal(size=3) / np.sqrt(3))
        return rigid(turn.as_matrix(), 1e-3 * mm * rng.normal(size=3) / np.sqrt(3))

    common = error(shared_mm)
    return [replace(view, T_world_camera=view.T_world_camera @ common @ error(own_mm)) for view in views]


def with_rough_mask(view: View, rng: np.random.Generator) -> View:
    """Its silhouette grown or shrunk by up to three pixels, and wavering by about one."""
    assert view.mask is not None
    outside, inside = (cv2.distanceTransform(m.astype(np.uint8), cv2.DIST_L2, 5) for m in (~view.mask, view.mask))
    noise = cv2.GaussianBlur(rng.normal(size=view.mask.shape), (0, 0), 6.0)
    mask: Bool = inside - outside + rng.uniform(-3.0, 3.0) + noise / noise.std() > 0.0
    return replace(view, mask=mask)


def measured_features(views: Sequence[View], options: Options) -> tuple[F64, Mesh]:
    """The features of every vertex, and the mesh, of a reconstruction. Raises what `reconstruct` raises."""
    with patch.object(expected_error, "expected_errors", wraps=expected_error.expected_errors) as spy:
        mesh = reconstruct(views, options).mesh
    features: F64 = spy.call_args.args[0]
    return features, mesh


def true_errors(vertices: F64, points: F64, normals: F64) -> F64:
    """Distances (V,) in mm of vertices (V, 3) to a surface known by ``points`` (N, 3) with ``normals`` (N, 3): each
    point stands for a disc as wide as the points lie apart."""
    tree = cKDTree(points)
    radius = float(np.median(tree.query(points[:2000], k=2)[0][:, 1])) * np.sqrt(2.0)
    nearest = tree.query(vertices, k=NEIGHBOURS)[1]
    offset = vertices[:, None] - points[nearest]
    along = np.einsum("nkd,nkd->nk", offset, normals[nearest])
    across = np.sqrt(np.maximum((offset**2).sum(axis=2) - along**2, 0.0))
    distances: F64 = np.hypot(along, np.maximum(across - radius, 0.0)).min(axis=1)
    return 1e3 * distances


def vertex_areas(mesh: Mesh) -> F64:
    """Shares (V,) of the mesh's area, a third of each face's for each of its corners."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    shares = np.bincount(mesh.faces.ravel(), np.repeat(area, 3), minlength=len(mesh.vertices))
    return shares / shares.sum()


def fit(rows: Sequence[Rows], ridge: float) -> F64:
    """Weights (F,) of the model, each of the sign that `SIGNS` allows: the least of a convex function."""
    features = np.concatenate([row.features for row in rows])
    error = np.concatenate([row.error for row in rows])
    share = np.concatenate([row.area for row in rows]) / len(rows)
    penalty = np.where(np.array(list(COLUMNS)) == "constant", 0.0, ridge)

    def loss(weights: F64) -> tuple[float, F64]:
        logs = features @ weights
        ratio = error * np.exp(-logs)
        value = share @ (ratio + logs) + 0.5 * penalty @ weights**2
        return float(value), features.T @ (share * (1.0 - ratio)) + penalty * weights

    start = np.zeros(features.shape[1])
    start[0] = np.log(share @ error)
    bounds = [SIGNS.get(name, (0.0, None)) for name in COLUMNS]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000})
    weights: F64 = found.x
    return weights


def report(rows: Sequence[Rows], weights: F64) -> None:
    """Print how expected and true errors compare on meshes that were not fitted to."""
    expected = [np.exp(row.features @ weights) for row in rows]
    one, true = np.concatenate(expected), np.concatenate([row.error for row in rows])
    share = np.concatenate([row.area for row in rows])
    guessed = np.concatenate([row.features[:, list(COLUMNS).index("guessed")] for row in rows]) > 0

    def line(name: str, chosen: Any) -> None:
        print(
            f"{name:24s}{int(np.count_nonzero(chosen)):10d}{np.average(one[chosen], weights=share[chosen]):12.2f}"
            f"{np.average(true[chosen], weights=share[chosen]):10.2f}{spearmanr(one[chosen], true[chosen])[0]:10.2f}"
        )

    print(f"{'vertices':24s}{'count':>10s}{'expected mm':>12s}{'true mm':>10s}{'rank':>10s}")
    line("all", np.ones(len(one), np.bool_))
    line("seen", ~guessed)
    line("guessed", guessed)
    order = np.argsort(one)
    for k, part in enumerate(np.array_split(order, 10)):
        line(f"expected, tenth {k + 1}", part)
    print(f"{'meshes':24s}{'count':>10s}{'expected mm':>12s}{'true mm':>10s}{'rank':>10s}")
    means = np.array([(r.area @ e, r.area @ r.error) for r, e in zip(rows, expected, strict=True)])
    cases = np.array([row.case for row in rows])
    for case in ("all", *dict.fromkeys(cases)):
        x, y = means[(cases == case) | (case == "all")].T
        print(f"{case:24s}{len(x):10d}{x.mean():12.2f}{y.mean():10.2f}{spearmanr(x, y)[0]:10.2f}")
    for name, weight in zip(COLUMNS, weights, strict=True):
        print(f"{name:24s}{weight:10.3f}")


if __name__ == "__main__":
    main()
