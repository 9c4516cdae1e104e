"""Depth maps with their uncertainty, and one map's truncated signed distances (TSDF) and weights at points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.types import F64


@dataclass(frozen=True)
class DepthMaps:
    """V depth maps of one size, z-depths in metres along the optical axis.

    ``front`` (V, H, W): where the ray first meets the object; infinity where it meets nothing, NaN where unknown.
    ``back`` (V, H, W) or None: where it leaves the object for good, in the same terms. ``K`` (V, 3, 3) pixels, centres
    at +0.5; ``T_world_camera`` (V, 4, 4) OpenCV optical frames. ``sigma`` (V, H, W, layers) or None: standard
    deviations of front and, where there is one, back, in metres. ``measured``: by a sensor, not inferred. Of these,
    one of little noise outweighs all inferred ones, whose weight, however sure they are, is at most 1; and it says
    nothing of what lies behind it, so that a thin wall keeps its other side.
    """

    front: Tensor
    K: F64
    T_world_camera: F64
    back: Tensor | None = None
    sigma: Tensor | None = None
    measured: bool = False


@dataclass(frozen=True)
class DepthMapView:
    """One depth map and its camera, prepared for projecting points into it."""

    planes: Tensor
    """(C, H, W): front depth (0 where unknown), share of pixels that have one, share of rays that miss, cosine there;
    then the same of the back if given; then the sigmas of both if given."""
    M: Tensor
    """(3, 3) and ``o`` (3,): world to homogeneous image coordinates in [-1, 1], z-depth third."""
    o: Tensor
    layers: int
    """1 with a front depth only, 2 with a back one."""
    measured: bool

    @classmethod
    def of(cls, maps: DepthMaps, v: int) -> DepthMapView:
        """Map number ``v`` of ``maps``."""
        height, width = maps.front.shape[1:]
        to_unit = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
        T = maps.T_world_camera[v]
        M = to_unit @ maps.K[v] @ T[:3, :3].T
        planes = [_depth_planes(maps.front[v], maps.K[v])]
        if maps.back is not None:
            planes.append(_depth_planes(maps.back[v], maps.K[v]))
        if maps.sigma is not None:
            planes.append((maps.sigma[v] * maps.front[v].isfinite()[..., None]).permute(2, 0, 1))
        layers = 1 if maps.back is None else 2
        return cls(torch.cat(planes), _float(M), _float(-M @ T[:3, 3]), layers, maps.measured)

    def on(self, device: torch.device) -> DepthMapView:
        """The same on ``device``."""
        return replace(self, planes=self.planes.to(device), M=self.M.to(device), o=self.o.to(device))

    def integrate(
        self, points: Tensor, truncation: float, config: SurfaceConfig = SurfaceConfig()
    ) -> tuple[Tensor, Tensor]:
        """Truncated signed distance in metres, positive inside, and weight of this map at world ``points`` (P, 3):
        (P,) each; weight 0 where it observes nothing."""
        projected = points @ self.M.T + self.o
        z = projected[:, 2]
        uv = (projected[:, :2] / z.clamp(min=1e-6)[:, None])[None, None]
        smooth = F.grid_sample(self.planes[None], uv, align_corners=False)[0, :, 0]
        nearest = F.grid_sample(self.planes[None, : 4 * self.layers : 4], uv, mode="nearest", align_corners=False)[
            0, :, 0
        ]
        depth, known, misses, cosine = _interpolated(smooth[:4], nearest[0], truncation, config.min_cosine)
        reach = self._reach(smooth, truncation, config)
        behind = z - depth
        # along the ray, not along the normal: a grazing ray observes nothing far behind its first hit
        valid = (behind < reach[0]) & (z > 0)
        distance = (behind * cosine).clamp(-truncation, truncation)
        weight = torch.where(valid, self._weight(known, cosine, self._certainty(smooth, 0, truncation, config)), 0)
        if self.layers > 1:
            depth, known, _, cosine = _interpolated(smooth[4:8], nearest[1], truncation, config.min_cosine)
            before = ((depth - z) * cosine).clamp(-truncation, truncation)
            # past the front surface the back one counts, but only near itself: a ray through a cup's two walls runs
            # through air between them; in a thin wall, whichever leaves less room
            back_valid = (z > 0) & (known > config.min_back_known) & (depth - z < reach[1])
            back_valid &= ~valid | (before < distance)
            distance = torch.where(back_valid, before, distance)
            back_weight = self._weight(known, cosine, self._certainty(smooth, 1, truncation, config))
            if not self.has_sigma:
                back_weight = config.back_weight * back_weight
            weight = torch.where(back_valid, back_weight, weight)
        # the outline runs where half the rays miss: only beyond it is the ray free
        free = torch.where(z > 0, (2 * misses - 1).clamp(min=0), 0)
        total = weight + free
        return (distance * weight - truncation * free) / total.clamp(min=1e-6), total

    @property
    def has_sigma(self) -> bool:
        return len(self.planes) > 4 * self.layers

    def _sigma(self, smooth: Tensor) -> Tensor:
        """Of the layers' depths, (layers, P) metres."""
        return smooth[4 * self.layers :] / smooth[1].clamp(min=1e-6)

    def _weight(self, known: Tensor, cosine: Tensor, certainty: Tensor | float) -> Tensor:
        """Of a depth, (P,): less for one seen at a slant, unless its sigma is the network's, which includes that."""
        return known * certainty**2 * (1.0 if self.has_sigma and not self.measured else cosine.square())

    def _certainty(self, smooth: Tensor, layer: int, truncation: float, config: SurfaceConfig) -> Tensor | float:
        """Of the depths of a layer, (P,): ``truncation`` in reaches, at most 1 unless measured; 1 without a sigma."""
        if not self.has_sigma:
            return 1.0
        if self.measured:
            return truncation / (config.sigma_reach * self._sigma(smooth)[layer]).clamp(min=1e-6)
        return truncation / self._reach(smooth, truncation, config)[layer]

    def _reach(self, smooth: Tensor, truncation: float, config: SurfaceConfig) -> Tensor:
        """How far into the object the front and the back depth are integrated, (layers, P) or (2, 1) metres."""
        if not self.has_sigma:
            return self.o.new_full((2, 1), truncation)
        reach = config.sigma_reach * self._sigma(smooth)
        if self.measured:
            return reach.clamp(config.measured_reach * truncation, truncation)
        return reach.clamp(truncation, config.max_reach * truncation)


def _interpolated(
    smooth: Tensor, nearest: Tensor, truncation: float, min_cosine: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Depth, share known, share that misses, cosine, (P,) each. Depth is never interpolated across an edge of the
    object: where it is further than ``truncation`` from the nearest pixel's, it is that."""
    share = smooth[1].clamp(min=1e-6)
    depth = smooth[0] / share
    depth = torch.where((depth - nearest).abs() < truncation, depth, nearest)
    return depth, smooth[1], smooth[2], (smooth[3] / share).clamp(min_cosine, 1)


def _depth_planes(depth: Tensor, K: F64) -> Tensor:
    """(4, H, W) of depth (H, W): depth (0 where not finite), which rays are known, which miss, cosine (0 where not
    finite)."""
    depth = depth.float()
    known = depth.isfinite()
    filled = torch.where(known, depth, 0)
    return torch.stack([filled, known.float(), depth.isposinf().float(), torch.where(known, _cosine(depth, K), 0)])


def _cosine(depth: Tensor, K: F64) -> Tensor:
    """|cos| between each pixel's ray and the surface, from the depth's differences; 0 beside a ray that misses."""
    height, width = depth.shape
    x = (torch.arange(width) + 0.5 - K[0, 2]).float()
    y = (torch.arange(height) + 0.5 - K[1, 2]).float()[:, None]

    def slope(d: Tensor) -> Tensor:
        """Along the last axis, the larger of the two one-sided differences: depths at an edge are unreliable."""
        step = F.pad(d[:, 1:] - d[:, :-1], (1, 1)).nan_to_num(0.0, posinf=torch.inf, neginf=-torch.inf)
        before, after = step[:, :-1], step[:, 1:]
        return torch.where(before.abs() > after.abs(), before, after)

    along_x, along_y = slope(depth), slope(depth.T).T
    # the normal of z(x, y), in pixels, times the ray (x / fx, y / fy, 1) is -z
    across = (K[0, 0] * along_x) ** 2 + (K[1, 1] * along_y) ** 2 + (depth + x * along_x + y * along_y) ** 2
    ray = (x / K[0, 0]) ** 2 + (y / K[1, 1]) ** 2 + 1
    return (depth * torch.rsqrt(across * ray)).nan_to_num(0.0, 0.0, 0.0)  # an edge against nothing: inf


def _float(array: F64) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))
