"""Coherence of silhouettes: the ray of an outline's point must meet every other view's silhouette.

An outline's ray touches the object, so at that point it lies inside all silhouettes; a ray that misses what the others
allow shows that a pose is wrong (Hernandez, Schmitt, Cipolla, "Silhouette coherence for camera calibration under
circular motion", PAMI 2007). The residual is one-sided: the largest value along the ray of the least signed distance,
in pixels, to the other outlines, where it is negative. It needs no texture, and says nothing where the rays do meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.config.pose_refinement_config import SilhouetteCoherenceConfig
from mvgamba_ros.geometry.camera import HALF_PIXEL
from mvgamba_ros.geometry.occlusion import beside_hidden
from mvgamba_ros.geometry.raster import signed_distance
from mvgamba_ros.geometry.rays import PARALLEL, axes_intersection
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.pose_refinement.normal_equations import NormalEquations
from mvgamba_ros.pose_refinement.twists import point_motion, ray_motion
from mvgamba_ros.types import F32, F64, Bool, View


@dataclass(frozen=True)
class OutlineResiduals:
    """``view`` (N,) index, ``pixels`` (N,) by which each outline ray misses the other silhouettes, 0 or less, and
    ``against`` (N,) the view whose silhouette it misses most."""

    view: F64
    pixels: F64
    against: F64

    @property
    def root_mean_square(self) -> float:
        """Over all rays, pixels; NaN without any."""
        return float(np.sqrt((self.pixels**2).mean())) if len(self.pixels) else float("nan")


class SilhouetteCoherence:
    """The silhouettes ``masks`` (H, W) of V views: whose outlines are their own where nothing is hidden."""

    def __init__(self, views: Sequence[View], masks: Sequence[Bool], config: SilhouetteCoherenceConfig) -> None:
        self.config = config
        self.K = [view.camera.K - HALF_PIXEL for view in views]
        hidden = [mask & False if view.hidden is None else view.hidden for view, mask in zip(views, masks, strict=True)]
        self.distances = [signed_distance(mask | covered) for mask, covered in zip(masks, hidden, strict=True)]
        self.slopes = [_slopes(distance) for distance in self.distances]
        points = min(config.outline_points, max(config.min_outline_points, config.all_points // len(masks)))
        self.outlines = [
            _outline_points(mask, points, beside_hidden(view)) for view, mask in zip(views, masks, strict=True)
        ]
        self.independent = min(1.0, config.independent * config.outline_points / points)
        self.middles = [np.argwhere(mask).mean(axis=0)[::-1] for mask in masks]
        self.extents = [float(np.sqrt(mask.sum())) for mask in masks]

    def linearise(self, T_world_camera: F64, y: F64) -> tuple[NormalEquations, OutlineResiduals]:
        """The measurement at poses ``T_world_camera`` (V, 4, 4), those of the corrections ``y`` (6 V + 2,): of the
        focal lengths it says nothing, as masks that are all too large would pass for longer ones."""
        config, count = self.config, len(self.K)
        intrinsics = [K * _focal(float(np.exp(y[-1]))) for K in self.K]
        H, gradient = np.zeros((len(y), len(y))), np.zeros(len(y))
        center, radius = self._sphere(T_world_camera, intrinsics)
        which, missed, against = [], [], []
        steps = np.linspace(-radius, radius, config.ray_samples)
        for i in range(count):
            outline, T, K = self.outlines[i], T_world_camera[i], intrinsics[i]
            if not len(outline) or center is None:
                continue
            rays = np.column_stack([(outline - K[:2, 2]) / K.diagonal()[:2], np.ones(len(outline))])
            directions = rays @ T[:3, :3].T
            # from the point of each ray that is nearest to the object's middle
            along = ((center - T[:3, 3]) @ directions.T) / (directions**2).sum(axis=1)
            depths = along[:, None] + steps / np.linalg.norm(directions, axis=1)[:, None]
            points = T[:3, 3] + depths[..., None] * directions[:, None]
            partners = self._partners(i, T_world_camera)
            distances = np.stack([self._sample(j, T_world_camera[j], intrinsics[j], points) for j in partners])
            least = distances.min(axis=0)
            best = least.argmax(axis=1)
            rows = np.arange(len(outline))
            residual = least[rows, best] + config.tolerance
            which.append(np.full(len(rows), i))
            missed.append(np.minimum(residual, 0.0))
            against.append(np.array(partners)[distances[:, rows, best].argmin(axis=0)])
            wrong = np.flatnonzero(residual < 0.0)
            if not len(wrong):
                continue
            touched = points[wrong, best[wrong]]
            near = np.exp(-(distances[:, wrong, best[wrong]] - least[wrong, best[wrong]]) / config.softness)
            near /= near.sum(axis=0)
            J = np.zeros((len(wrong), len(y)))
            own = ray_motion(T, touched)
            for share, j in zip(near, partners, strict=True):
                slope, to_world = self._gradient(j, T_world_camera[j], intrinsics[j], touched)
                other = point_motion(T_world_camera[j], touched)
                J[:, 6 * j : 6 * j + 6] = np.einsum("n,nk,nkl->nl", share, slope, other)
                J[:, 6 * i : 6 * i + 6] += np.einsum("n,nk,nkl->nl", share, slope @ to_world, own)
            r = residual[wrong]
            weights = self.independent / config.sigma**2 / (1.0 + (r / config.outlier) ** 2) ** 2
            H += J.T @ (weights[:, None] * J)
            gradient += J.T @ (weights * r)
        found = OutlineResiduals(*(np.concatenate([*part, []]) for part in (which, missed, against)))
        return NormalEquations.at(y, H, gradient), found

    def _partners(self, index: int, T_world_camera: F64) -> list[int]:
        """The other views, or `SilhouetteCoherenceConfig.partners` of them from the nearest in direction to the
        farthest."""
        most, axes = self.config.partners, T_world_camera[:, :3, 2]
        others = [j for j in range(len(axes)) if j != index]
        if len(others) <= most:
            return others
        ordered = sorted(others, key=lambda j: -float(axes[j] @ axes[index]))
        return sorted(ordered[k] for k in np.linspace(0, len(ordered) - 1, most).astype(int).tolist())

    def _sphere(self, T_world_camera: F64, intrinsics: Sequence[F64]) -> tuple[F64 | None, float]:
        """Center (3,) and radius, metres, of a ball that holds the object; no center where the rays through the
        silhouettes' middles are parallel."""
        directions = []
        for K, T, middle in zip(intrinsics, T_world_camera, self.middles, strict=True):
            ray = T[:3, :3] @ [*((middle - K[:2, 2]) / K.diagonal()[:2]), 1.0]
            directions.append(ray / np.linalg.norm(ray))
        center = axes_intersection([T[:3, 3] for T in T_world_camera], directions, PARALLEL)
        if center is None:
            return None, 0.0
        sizes = [
            extent * float(np.linalg.norm(T[:3, 3] - center)) / float(np.sqrt(K[0, 0] * K[1, 1]))
            for K, T, extent in zip(intrinsics, T_world_camera, self.extents, strict=True)
        ]
        return center, 1.5 * max(sizes)

    def _sample(self, j: int, T_world_camera: F64, K: F64, points: F64) -> F64:
        """Signed distance in pixels to outline ``j`` at world points (..., 3)."""
        in_camera = transform(inverse(T_world_camera), points)
        z = np.maximum(in_camera[..., 2], 1e-6)
        u = (K[0, 0] * in_camera[..., 0] / z + K[0, 2]).astype(np.float32)
        v = (K[1, 1] * in_camera[..., 1] / z + K[1, 2]).astype(np.float32)
        value: F32 = cv2.remap(self.distances[j], u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore
        return value.astype(np.float64)

    def _gradient(self, j: int, T_world_camera: F64, K: F64, points: F64) -> tuple[F64, F64]:
        """(N, 3) derivative of the signed distance to outline ``j`` with a point's place in its camera's frame, and
        (3, 3) that frame's rotation from the world's."""
        rotation = inverse(T_world_camera)[:3, :3]
        x, y, z = transform(inverse(T_world_camera), points).T
        u, v = (K[0, 0] * x / z + K[0, 2]).astype(np.float32), (K[1, 1] * y / z + K[1, 2]).astype(np.float32)
        slope_u, slope_v = (
            cv2.remap(slope, u[None], v[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
            for slope in self.slopes[j]
        )
        in_u, in_v = slope_u * K[0, 0] / z, slope_v * K[1, 1] / z
        return np.stack([in_u, in_v, -(in_u * x + in_v * y) / z], axis=1), rotation


def _focal(factor: float) -> F64:
    """What intrinsics K (3, 3) are multiplied by, each by its own, for longer focal lengths."""
    return np.ones((3, 3)) + (factor - 1.0) * np.diag([1.0, 1.0, 0.0])


def _slopes(distance: F32) -> tuple[F32, F32]:
    """Derivatives along x and y."""
    along_x, along_y = np.zeros_like(distance), np.zeros_like(distance)
    along_x[:, 1:-1] = 0.5 * (distance[:, 2:] - distance[:, :-2])
    along_y[1:-1] = 0.5 * (distance[2:] - distance[:-2])
    return along_x, along_y


def _outline_points(mask: Bool, count: int, not_own: Bool) -> F64:
    """Up to ``count`` points (N, 2) x, y spread over the outlines of ``mask``, without those on the picture's border,
    where the object is cut off, and where the outline is ``not_own`` (H, W)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate([contour[:, 0] for contour in contours]).astype(np.float64)
    height, width = mask.shape
    inside = (points[:, 0] > 1) & (points[:, 1] > 1) & (points[:, 0] < width - 2) & (points[:, 1] < height - 2)
    x, y = points.astype(np.int64).T
    points = points[inside & ~not_own[y, x]]
    return points[np.linspace(0, len(points) - 1, min(count, len(points))).astype(int)]
