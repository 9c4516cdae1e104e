"""Where a camera should look from next (next-best-view planning): the poses from which most would be seen of what is
unseen or unsure.

With a reconstruction, an information gain over its surface (Isler et al., "An information gain formulation for active
volumetric 3D reconstruction", ICRA 2016), with the expected error of each point in place of a voxel's entropy. The
error of a point that views see is taken to fall as that of a mean of independent measurements. Views are chosen one
after the other, each given those before: such a gain is submodular, so the greedy choice is within 1 - 1/e of the best
(Nemhauser et al., 1978). Without a reconstruction, by the directions that no view covers yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.view_coverage import covered, directions_from, upper_directions
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.visibility import point_cosines, visible_cosines
from mvgamba_ros.types import F64, Bool, Camera, View


@dataclass(frozen=True)
class NextBestView:
    """How next views are searched."""

    candidates: int = bounded(256, 8, 4096)
    """Directions over the upper half sphere that are tried, 8 degrees apart. Set by hand: a view 4 degrees off shows
    the same."""
    points: int = bounded(1500, 50, 100_000)
    """Points of the surface that are compared, at most. Set by hand: a point stands for 0.07 % of it."""
    prior: float = bounded(0.1, 1e-3, 10.0)
    """What is known of a point that no view sees, in views that see it head-on: a first view then takes seven tenths of
    its expected error, a second one a quarter of the rest. Chosen on procedural objects (benchmarks/next_best_view.py,
    seed 11) by the share of the surface that two more views see: 76.3 % at 0.02 and 0.1, 75.2 % at 1."""
    min_angle: float = bounded(12.0, 0.0, 90.0)
    """A further view differs from all before by this angle around the object, degrees. As `ViewSelection.min_angle`."""


@dataclass(frozen=True)
class NextViews:
    """Poses to take next, the best first: ``T_world_camera`` (N, 4, 4); ``gains`` (N,), the share of what is unseen or
    unsure that each and those before it would show, [0, 1]."""

    T_world_camera: F64
    gains: F64


def poses_around(
    centre: F64, distance: float, elevation_deg: tuple[float, float], config: NextBestView = NextBestView()
) -> F64:
    """``T_world_camera`` (N, 4, 4) on a sphere of ``distance`` metres about ``centre`` (3,), the world's z up: optical
    axes through the centre, the image's x axis level, elevations between the two."""
    low, high = (math.sin(math.radians(angle)) for angle in elevation_deg)
    away = upper_directions(config.candidates)
    if low < 0.0:
        away = np.concatenate([away, away * [1.0, 1.0, -1.0]])
    away = away[(away[:, 2] >= low) & (away[:, 2] <= high)]
    return np.array([look_at(centre + distance * d, centre) for d in away]).reshape(-1, 4, 4)


def reachable(
    poses: F64, centre: F64, held: F64, min_distance: float, floor: float | None, config: NextBestView = NextBestView()
) -> F64:
    """Those of ``poses`` (N, 4, 4) that are no view from where one of ``held`` (V, 4, 4) was taken, ``min_distance``
    metres and `min_angle` around ``centre``, and above the plane z = ``floor``."""
    eyes, taken = poses[:, :3, 3], held[:, :3, 3]
    kept = np.ones(len(poses), np.bool_) if floor is None else eyes[:, 2] > floor
    kept &= (np.linalg.norm(eyes[:, None] - taken, axis=2) >= min_distance).all(axis=1)
    cosines = directions_from(centre, eyes) @ directions_from(centre, taken).T
    kept &= (cosines < math.cos(math.radians(config.min_angle))).all(axis=1) | (len(held) == 0)
    return np.asarray(poses[kept], np.float64)


def views_of_the_unsure(
    result: Reconstruction,
    camera: Camera,
    candidates: F64,
    held: F64,
    count: int,
    config: NextBestView = NextBestView(),
) -> NextViews:
    """The best ``count`` of the poses ``candidates`` (N, 4, 4) to see what ``result`` is unsure of.

    ``camera``: that of the views to come, undistorted. ``held`` (V, 4, 4): poses of views taken since, that ``result``
    was not made from. ``result`` has the expected errors that `mvgamba_ros.reconstruct` gives.
    """
    cloud = result.cloud
    assert cloud.seen is not None and cloud.expected_error_mm is not None
    take = np.unique(np.linspace(0, len(cloud.points) - 1, config.points).round().astype(int))
    points, normals = cloud.points[take], cloud.normals[take].astype(np.float64)
    errors, views = cloud.expected_error_mm[take].astype(np.float64), cloud.seen[take].astype(np.float64)
    caster = Raycaster(result.mesh)

    def sight(poses: F64) -> F64:
        return np.array([_sight(points, normals, camera, T, caster) for T in poses]).reshape(-1, len(points))

    centre = result.box.T_world_box[:3, 3]
    known = config.prior + views + sight(held).sum(axis=0)
    errors = errors * np.sqrt((config.prior + views) / known)

    def left(sights: F64) -> F64:
        return np.sqrt(known / (known + sights)) @ errors / errors.sum()

    return _greedy(candidates, sight(candidates), left, _others(candidates, centre, config), count)


def views_of_the_uncovered(
    centre: F64, candidates: F64, held: F64, count: int, config: NextBestView = NextBestView()
) -> NextViews:
    """The best ``count`` of the poses ``candidates`` (N, 4, 4) to cover the directions around ``centre`` (3,) that no
    pose of ``held`` (V, 4, 4) covers, see `mvgamba_ros.geometry.view_coverage`; fewer where all are covered before."""
    directions = upper_directions()
    taken = covered(directions_from(centre, held[:, :3, 3]), directions).any(axis=0)
    shown = covered(directions_from(centre, candidates[:, :3, 3]), directions[~taken])

    def left(sights: F64) -> F64:
        return 1.0 - np.minimum(sights, 1.0).mean(axis=-1)

    if taken.all():
        return NextViews(np.empty((0, 4, 4)), np.empty(0))
    return _greedy(candidates, shown.astype(np.float64), left, _others(candidates, centre, config), count)


def _others(poses: F64, centre: F64, config: NextBestView) -> Bool:
    """(N, N): which of ``poses`` (N, 4, 4) differ by `min_angle` around ``centre`` (3,)."""
    away = directions_from(centre, poses[:, :3, 3])
    apart: Bool = away @ away.T < math.cos(math.radians(config.min_angle))
    return apart


def _greedy(candidates: F64, sights: F64, left: Callable[[F64], F64], others: Bool, count: int) -> NextViews:
    """Candidates (N, 4, 4) one after the other, each the one after which least is ``left`` of what its ``sights``
    (N, P) add to those before, and that is among the ``others`` (N, N) of them; until nothing is gained."""
    chosen: list[int] = []
    gains: list[float] = []
    free = np.ones(len(candidates), np.bool_)
    total = np.zeros(sights.shape[1])
    while len(chosen) < count and free.any():
        after = np.where(free, left(total + sights), np.inf)
        best = int(after.argmin())
        gain = 1.0 - float(after[best])
        if gain <= (gains[-1] if gains else 0.0) + 1e-9:
            break
        chosen.append(best)
        gains.append(gain)
        free &= others[best]
        total = total + sights[best]
    return NextViews(candidates[chosen], np.array(gains))


def _sight(points: F64, normals: F64, camera: Camera, T_world_camera: F64, caster: Raycaster) -> F64:
    """How well a camera sees each point: the cosine to its normal, 0 where it is hidden or out of the picture."""
    view = View(np.empty((0, 0, 3), np.uint8), camera, T_world_camera)
    cosines = point_cosines(points, normals, T_world_camera[:3, 3])
    return visible_cosines(points, cosines, view, caster, TextureConfig()).astype(np.float64)


def fitting_distance(radius: float, camera: Camera) -> float:
    """From how far away a sphere of ``radius`` metres fills the picture of the undistorted ``camera``, metres."""
    half = min(camera.width / camera.K[0, 0], camera.height / camera.K[1, 1]) / 2.0
    return radius / math.sin(math.atan(half))
