"""The cascade head: depths of the depth head refined on a narrower cost volume around them.

The depth head's bins share out the whole interval of the hull, and colours are compared at their centres alone: where
the hull is thick they are centimetres apart. Here depth hypotheses lie within two standard deviations of the initial
depth, as in cascaded plane sweeps (Gu et al., "Cascade Cost Volume for High-Resolution Multi-View Stereo", CVPR 2020).
Every source view is sampled at each of them by projection onto its epipolar line: photometric difference at the crop's
full resolution, and geometric consistency with the initial depth map of that view (`kernels.ray_types.ViewFeature`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mvgamba_ros.geometry.torch_rays import means, rows_where
from mvgamba_ros.kernels.ray_layers import aggregate_views
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, EpipolarRays, RayMLP, SourceViews
from mvgamba_ros.model.cost_volume import Intervals
from mvgamba_ros.model.ray_modules import RayLinear, ray_mlp, soft_argmax
from mvgamba_ros.model.raygamba_config import RayGambaConfig
from mvgamba_ros.rendering.crops import CropBatch, projector

POSITION_FEATURES = 6
"""Features of a hypothesis: its place among them, the initial depth's sigma, its place in the hull's interval, the
interval's length, its height above the floor, and the half range over sigma."""


@dataclass(frozen=True)
class RefinedDepth:
    """Of R rays: ``logits`` (R, 2, N) over hypotheses evenly spaced within ``half_range`` (R, 2) to either side of the
    initial depth; ``depth`` and ``sigma`` (R, 2), soft-argmax and standard deviation. In the cube's unit."""

    logits: Tensor
    half_range: Tensor
    depth: Tensor
    sigma: Tensor


@dataclass(frozen=True)
class MultiViewFeatures:
    """What is sampled in the source views; nothing in it is learned.

    ``pictures`` (B, V, S, S, 5): red, green, blue, locally normalised grey (less its neighbourhood's mean over the
    contrast there), silhouette; ``reference_colors`` (B, V, G, G, 4): the first four at the rays. ``depth_maps``
    (B, V, G, G, 5): initial depths of the first hit and the last exit, the standard deviations of both, and whether the
    ray is valid. ``M`` (B, V, 3, 3), ``o`` (B, V, 3) as `projector` gives them. ``min_sigma``: added
    to the standard deviations, in the cube's unit.
    """

    pictures: Tensor
    reference_colors: Tensor
    depth_maps: Tensor
    M: Tensor
    o: Tensor
    min_sigma: float

    @classmethod
    def of(
        cls, batch: CropBatch, rays: Intervals, depth: Tensor, sigma: Tensor, config: RayGambaConfig
    ) -> MultiViewFeatures:
        """``depth`` and ``sigma`` (B, V, G, G, 2): of the depth head."""
        views = batch.alpha.shape[:2]
        rgb = batch.rgb.flatten(0, 1)
        grey = rgb.mean(1, keepdim=True)
        window = config.normalisation_window
        local = grey - _neighbourhood(grey, window)
        local = local / (_neighbourhood(local.square(), window).sqrt() + config.normalisation_eps)
        pictures = torch.cat([rgb, local, batch.alpha.flatten(0, 1)[:, None]], 1)
        colors = means(pictures[:, :4], rays.near.shape[-1])
        pictures, colors = (x.permute(0, 2, 3, 1).contiguous().unflatten(0, views) for x in (pictures, colors))
        depth_maps = torch.cat([depth, sigma, rays.valid[..., None].float()], -1)
        return cls(pictures, colors, depth_maps, *projector(batch), config.min_sigma)

    def of_view(self, scene: int, view: int, origin: Tensor, directions: Tensor) -> tuple[EpipolarRays, SourceViews]:
        """The rays of reference view ``view`` of ``scene``, from ``origin`` (3,) in ``directions`` (R, 3), and the
        scene's views, as `kernels.epipolar.sample_source_views` takes them."""
        rays = EpipolarRays(view, self.M[scene], self.o[scene], origin, directions)
        return rays, SourceViews(self.pictures[scene], self.depth_maps[scene], self.min_sigma)


def _neighbourhood(x: Tensor, window: int) -> Tensor:
    """(..., S, S), the mean of each pixel's ``window`` x ``window`` neighbours in the picture.

    By products with a band matrix, of columns and of rows: torch's pooling takes ten times as long."""
    at = torch.arange(x.shape[-1], device=x.device)
    band = ((at[:, None] - at).abs() <= window // 2).to(x.dtype)
    band /= band.sum(1, keepdim=True)
    return band @ x @ band.T


class CascadeHead(nn.Module):
    """Rays and their initial depths -> `RefinedDepth`. Before any training it returns the initial depths."""

    def __init__(self, features: int, config: RayGambaConfig, width: int = 16) -> None:
        super().__init__()
        self.config, self.positions, self.width = config, config.cascade_positions, width
        self.view = nn.Sequential(RayLinear(NUM_VIEW_FEATURES, width), nn.ReLU(), RayLinear(width, width), nn.ReLU())
        self.ray = nn.Linear(features, 2 * width)
        self.position = RayLinear(2 * width + POSITION_FEATURES, width)
        last = nn.Conv1d(width, 1, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.along = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            last,
        )

    def forward(
        self, features: Tensor, batch: CropBatch, rays: Intervals, depth: Tensor, sigma: Tensor
    ) -> RefinedDepth:
        """``features`` (R, C) of the valid rays, in their order; ``depth`` and ``sigma`` (B, V, G, G, 2) of all, by the
        depth head. No gradient flows into the last two."""
        places = ((torch.arange(self.positions, device=depth.device) + 0.5) / self.positions) * 2 - 1
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            multi_view = MultiViewFeatures.of(batch, rays, depth, sigma, self.config)
            above = (rays.origins[..., 2] - batch.floor[:, None])[..., None, None].expand(rays.valid.shape)
            depth_maps, colors, directions, near, far, above = rows_where(
                rays.valid,
                multi_view.depth_maps,
                multi_view.reference_colors,
                rays.directions,
                rays.near,
                rays.far,
                above,
            )
            initial, sigma = depth_maps[:, :2], depth_maps[:, 2:4]
            near, far, above = (x[:, None, None] for x in (near, far, above))
            half_range = (self.config.range_sigmas * sigma).clamp(min=self.config.min_half_range)
            z = initial[..., None] + half_range[..., None] * places  # (R, 2, N)
            position = torch.stack(
                [
                    places.expand_as(z),
                    (sigma[..., None] / 0.05).clamp(max=4).expand_as(z),
                    ((z - near) / (far - near).clamp(min=1e-6)).clamp(-0.5, 1.5),
                    (far - near).expand_as(z),
                    (above + z * directions[:, 2, None, None]).clamp(-2, 2),
                    (half_range / sigma.clamp(min=1e-3)).clamp(max=8)[..., None].expand_as(z) / 4,
                ],
                2,
            )  # (R, 2, POSITION_FEATURES, N)
            # before any training: a Gaussian of the initial depth and its sigma
            prior = -0.5 * (half_range[..., None] * places / sigma[..., None].clamp(min=5e-3)).square()
        # view by view: the features of all points in all views at once are larger than the caches
        counts = rays.valid.flatten(0, 1).flatten(1).sum(1).tolist()
        ray_features = self.ray(features).unflatten(1, (2, self.width))
        parts = (x.split(counts) for x in (directions, z, colors, position, ray_features))
        mlp = ray_mlp(self.position, self.along, self.view)
        learned = [
            _of_view(divmod(i, rays.valid.shape[1]), multi_view, rays, mlp, *part)
            for i, part in enumerate(zip(*parts, strict=True))
            if counts[i]
        ]
        logits = (torch.cat(learned) if learned else depth.new_zeros(0, 2, self.positions)) + prior
        mean, sigma = soft_argmax(logits, places)
        return RefinedDepth(logits, half_range, initial + half_range * mean, half_range * sigma)


def _of_view(
    at: tuple[int, int],
    multi_view: MultiViewFeatures,
    rays: Intervals,
    mlp: RayMLP,
    directions: Tensor,
    depths: Tensor,
    colors: Tensor,
    position: Tensor,
    ray_features: Tensor,
) -> Tensor:
    """Logits (P, 2, N) of the hypotheses ``depths`` (P, 2, N) along the P valid rays of view ``at`` (scene, view), less
    the prior. ``position`` (P, 2, POSITION_FEATURES, N), ``ray_features`` (P, 2, width)."""
    epipolar_rays, sources = multi_view.of_view(*at, rays.origins[at], directions)
    return aggregate_views(epipolar_rays, sources, colors, depths, mlp, position, ray_features).float()[:, :, 0]
