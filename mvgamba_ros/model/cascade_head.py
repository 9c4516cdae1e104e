"""A second, closer look along every ray, around the depths that the first one found.

The first look's bins share out the whole interval of the hull, and colours are compared at their centres alone: where
the hull is thick they are centimetres apart. Here positions lie within two standard deviations of what was found, as
in cascaded plane sweeps (Gu et al., "Cascade Cost Volume for High-Resolution Multi-View Stereo", CVPR 2020), and every
other view is asked two things about each: does your picture look like mine there, and does the point lie on the
surface that *you* found, your first hit or your last exit?
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mvgamba_ros.geometry.torch_rays import means, rows_where
from mvgamba_ros.kernels.ray_layers import aggregate_views
from mvgamba_ros.kernels.ray_types import Sightlines
from mvgamba_ros.kernels.sightlines import NUM_VIEW_FEATURES
from mvgamba_ros.model.cost_volume import Intervals
from mvgamba_ros.model.ray_modules import RayLinear, layer, layers, mean_and_spread
from mvgamba_ros.rendering.crops import CropBatch, projector

REACH = 2.0
"""How far to either side positions lie, standard deviations of the first look."""
LEAST = 0.02
"""... and at least so far, in the cube's unit: of an object of 0.2 m about 2 mm."""
LOCAL, LOCAL_FLOOR = 7, 0.03
"""Side in pixels of the neighbourhood whose mean and contrast are taken out of a picture's grey, and the contrast that
is added so that noise is not blown up."""
AT_POSITION = 6
"""What else is known of a position: where it lies among them, the first look's doubt, where in the hull's interval, how
long that is, the height above the floor, and how far the reach is beyond the doubt."""


@dataclass(frozen=True)
class RefinedDepth:
    """Of R rays: ``logits`` (R, 2, N) over positions evenly spaced within ``reach`` (R, 2) to either side of the first
    look's depth; ``depth`` and ``spread`` (R, 2), their mean and standard deviation. In the cube's unit."""

    logits: Tensor
    reach: Tensor
    depth: Tensor
    spread: Tensor


@dataclass(frozen=True)
class MultiViewFeatures:
    """What views can be asked about points. Nothing in it is learned.

    ``pictures`` (B, V, S, S, 5): red, green, blue, grey less its neighbourhood's over the contrast there, silhouette;
    ``own`` (B, V, G, G, 4): the first four at the rays. ``found`` (B, V, G, G, 5): first hit, last exit, the standard
    deviations of both, and whether the ray is valid. ``M`` (B, V, 3, 3), ``o`` (B, V, 3) as `projector` gives them.
    """

    pictures: Tensor
    own: Tensor
    found: Tensor
    M: Tensor
    o: Tensor

    @classmethod
    def of(cls, batch: CropBatch, rays: Intervals, depth: Tensor, spread: Tensor) -> MultiViewFeatures:
        """``depth`` and ``spread`` (B, V, G, G, 2) as the first look found them."""
        views = batch.alpha.shape[:2]
        rgb = batch.rgb.flatten(0, 1)
        grey = rgb.mean(1, keepdim=True)
        local = grey - _neighbourhood(grey)
        local = local / (_neighbourhood(local.square()).sqrt() + LOCAL_FLOOR)
        pictures = torch.cat([rgb, local, batch.alpha.flatten(0, 1)[:, None]], 1)
        own = means(pictures[:, :4], rays.near.shape[-1])
        pictures, own = (x.permute(0, 2, 3, 1).contiguous().unflatten(0, views) for x in (pictures, own))
        found = torch.cat([depth, spread, rays.valid[..., None].float()], -1)
        return cls(pictures, own, found, *projector(batch))

    def asked_by(self, scene: int, view: int, origin: Tensor, directions: Tensor) -> tuple[Sightlines, Tensor, Tensor]:
        """The rays of ``view`` of ``scene``, from ``origin`` (3,) in ``directions`` (R, 3), and the pictures and depths
        of the scene's views, as `kernels.sightlines.sample_source_views` takes them."""
        lines = Sightlines(view, self.M[scene], self.o[scene], origin, directions)
        return lines, self.pictures[scene], self.found[scene]


def _neighbourhood(x: Tensor) -> Tensor:
    """(..., S, S), the mean of each pixel's `LOCAL` x `LOCAL` neighbours in the picture. By products with a band, of
    columns and of rows: torch's pooling takes ten times as long."""
    at = torch.arange(x.shape[-1], device=x.device)
    band = ((at[:, None] - at).abs() <= LOCAL // 2).to(x.dtype)
    band /= band.sum(1, keepdim=True)
    return band @ x @ band.T


class CascadeHead(nn.Module):
    """Rays and their first depths -> `RefinedDepth`. Before any training it answers the first depths."""

    def __init__(self, features: int, positions: int, width: int = 16) -> None:
        super().__init__()
        self.positions, self.width = positions, width
        self.view = nn.Sequential(RayLinear(NUM_VIEW_FEATURES, width), nn.ReLU(), RayLinear(width, width), nn.ReLU())
        self.ray = nn.Linear(features, 2 * width)
        self.position = RayLinear(2 * width + AT_POSITION, width)
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
        self, features: Tensor, batch: CropBatch, rays: Intervals, depth: Tensor, spread: Tensor
    ) -> RefinedDepth:
        """``features`` (R, C) of the valid rays, in their order; ``depth`` and ``spread`` (B, V, G, G, 2) of all. No
        gradient flows into the last two."""
        share = ((torch.arange(self.positions, device=depth.device) + 0.5) / self.positions) * 2 - 1
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            witnesses = MultiViewFeatures.of(batch, rays, depth, spread)
            above = (rays.origins[..., 2] - batch.floor[:, None])[..., None, None].expand(rays.valid.shape)
            found, own, directions, near, far, above = rows_where(
                rays.valid, witnesses.found, witnesses.own, rays.directions, rays.near, rays.far, above
            )
            first, doubt = found[:, :2], found[:, 2:4]
            near, far, above = (x[:, None, None] for x in (near, far, above))
            reach = (REACH * doubt).clamp(min=LEAST)
            z = first[..., None] + reach[..., None] * share  # (R, 2, N)
            position = torch.stack(
                [
                    share.expand_as(z),
                    (doubt[..., None] / 0.05).clamp(max=4).expand_as(z),
                    ((z - near) / (far - near).clamp(min=1e-6)).clamp(-0.5, 1.5),
                    (far - near).expand_as(z),
                    (above + z * directions[:, 2, None, None]).clamp(-2, 2),
                    (reach / doubt.clamp(min=1e-3)).clamp(max=8)[..., None].expand_as(z) / 4,
                ],
                2,
            )  # (R, 2, 6, N)
            # before it has learned anything: as likely as the first look's mean and spread say
            prior = -0.5 * (reach[..., None] * share / doubt[..., None].clamp(min=5e-3)).square()
        # view by view: what all of them are told of all points at once is larger than the caches
        counts = rays.valid.flatten(0, 1).flatten(1).sum(1).tolist()
        of_rays = self.ray(features).unflatten(1, (2, self.width))
        parts = (x.split(counts) for x in (directions, z, own, position, of_rays))
        told = [
            self._of_view(divmod(i, rays.valid.shape[1]), witnesses, rays, *part)
            for i, part in enumerate(zip(*parts, strict=True))
            if counts[i]
        ]
        logits = (torch.cat(told) if told else depth.new_zeros(0, 2, self.positions)) + prior
        mean, spread = mean_and_spread(logits, share)
        return RefinedDepth(logits, reach, first + reach * mean, reach * spread)

    def _of_view(
        self,
        at: tuple[int, int],
        witnesses: MultiViewFeatures,
        rays: Intervals,
        directions: Tensor,
        depths: Tensor,
        own: Tensor,
        position: Tensor,
        of_rays: Tensor,
    ) -> Tensor:
        """What is learned of ``depths`` (P, 2, N) along the valid rays of view ``at`` (scene, view), (P, 2, N), from
        what the others say of them, ``position`` (P, 2, 6, N), and what is made of the rays' features, (P, 2, width).
        """
        asked = *witnesses.asked_by(*at, rays.origins[at], directions), depths, own, LEAST
        weighed = layers(self.view), position, of_rays, layer(self.position), layers(self.along)
        return aggregate_views(*asked, *weighed).float()[:, :, 0]
