"""A second, closer look along every ray, around the depths that the first one found.

The first look's bins share out the whole interval of the hull, and colours are compared at their centres alone: where
the hull is thick they are centimetres apart. Here positions lie within two standard deviations of what was found, as
in cascaded plane sweeps (Gu et al., "Cascade Cost Volume for High-Resolution Multi-View Stereo", CVPR 2020), and every
other view is asked two things about each: does your picture look like mine there, and does the point lie on the
surface that *you* found, your first hit or your last exit?
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.model.along_rays import AlongRays, mean_and_spread
from mvgamba_ros.model.interval import CropBatch, Intervals, projector

REACH = 2.0
"""How far to either side positions lie, standard deviations of the first look."""
LEAST = 0.02
"""... and at least so far, in the cube's unit: of an object of 0.2 m about 2 mm."""
LOCAL, LOCAL_FLOOR = 7, 0.03
"""Side in pixels of the neighbourhood whose mean and contrast are taken out of a picture's grey, and the contrast that
is added so that noise is not blown up."""
TELLS = 10
"""What a view says of a point, see `Witnesses.ask`."""
AT_POSITION = 6
"""What else is known of a position: where it lies among them, the first look's doubt, where in the hull's interval, how
long that is, the height above the floor, and how far the reach is beyond the doubt."""


@dataclass(frozen=True)
class Closer:
    """Of R rays: ``logits`` (R, 2, N) over positions evenly spaced within ``reach`` (R, 2) to either side of the first
    look's depth; ``depth`` and ``spread`` (R, 2), their mean and standard deviation. In the cube's unit."""

    logits: Tensor
    reach: Tensor
    depth: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Witnesses:
    """What views can be asked about points. Nothing in it is learned.

    ``pictures`` (B, V, 5, S, S): red, green, blue, grey less its neighbourhood's over the contrast there, silhouette;
    ``own`` (B, V, 4, G, G): the first four at the rays. ``found`` (B, V, 5, G, G): first hit, last exit, the standard
    deviations of both, and whether the ray is valid. ``M`` (B, V, 3, 3), ``o`` (B, V, 3) as `projector` gives them.
    """

    pictures: Tensor
    own: Tensor
    found: Tensor
    M: Tensor
    o: Tensor

    @classmethod
    def of(cls, batch: CropBatch, rays: Intervals, depth: Tensor, spread: Tensor) -> Witnesses:
        """``depth`` and ``spread`` (B, V, G, G, 2) as the first look found them."""
        B, V = batch.alpha.shape[:2]
        rgb = batch.rgb.flatten(0, 1)
        grey = rgb.mean(1, keepdim=True)
        local = grey - _neighbourhood(grey)
        local = local / (_neighbourhood(local.square()).sqrt() + LOCAL_FLOOR)
        pictures = torch.cat([rgb, local, batch.alpha.flatten(0, 1)[:, None]], 1)
        own = F.adaptive_avg_pool2d(pictures[:, :4], rays.near.shape[-1])
        found = torch.cat([depth, spread, rays.valid[..., None].float()], -1).permute(0, 1, 4, 2, 3)
        return cls(pictures.unflatten(0, (B, V)), own.unflatten(0, (B, V)), found, *projector(batch))

    def ask(self, scene: int, view: int, points: Tensor, own: Tensor) -> Tensor:
        """What the other views of ``scene`` say of ``points`` (Q, 3) on rays of ``view`` that look like ``own`` (Q, 4).

        -> (W, Q, TELLS), W of them; one that says nothing where there is no other. In order: difference of colour and
        of local grey; how far the point lies behind the view's first hit and behind its last exit, by their doubt,
        with a sign and without; how sure it is of both; whether it knows at all, zero everywhere where not, and its
        silhouette.
        """
        others = [w for w in range(self.own.shape[1]) if w != view]
        if not others:
            return points.new_zeros(1, len(points), TELLS)
        at = torch.baddbmm(self.o[scene, others, None], points.expand(len(others), -1, -1), self.M[scene, others].mT)
        z = at[..., 2].clamp(min=1e-6)
        uv = (at[..., :2] / z[..., None])[:, None]
        look = F.grid_sample(self.pictures[scene, others], uv, align_corners=False)[:, :, 0]  # (W, 5, Q)
        found = F.grid_sample(self.found[scene, others], uv, mode="nearest", align_corners=False)[:, :, 0]
        known = found[:, 4:]
        unlike = (look[:, :4] - own.T).abs()
        doubt = found[:, 2:4] + LEAST
        behind = torch.tanh((z[:, None] - found[:, :2]) / (2 * doubt))
        said = [
            unlike[:, :3].mean(1, keepdim=True),
            unlike[:, 3:].clamp(max=3) / 3,
            behind[:, :1],
            behind[:, :1].abs(),
            behind[:, 1:],
            behind[:, 1:].abs(),
            LEAST / doubt,
            torch.ones_like(known),
        ]
        return torch.cat([torch.cat(said, 1) * known, look[:, 4:]], 1).mT.contiguous()


def _neighbourhood(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, LOCAL, 1, LOCAL // 2, count_include_pad=False)


class SecondLook(nn.Module):
    """Rays and their first depths -> `Closer`. Before any training it answers the first depths."""

    def __init__(self, features: int, positions: int, width: int = 16) -> None:
        super().__init__()
        self.positions, self.width = positions, width
        self.view = nn.Sequential(
            nn.Linear(TELLS, width), nn.ReLU(inplace=True), nn.Linear(width, width), nn.ReLU(inplace=True)
        )
        self.ray = nn.Linear(features, 2 * width)
        self.position = nn.Linear(2 * width + AT_POSITION, width)
        last = nn.Conv1d(width, 1, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.along = AlongRays(
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            last,
        )

    def forward(self, features: Tensor, batch: CropBatch, rays: Intervals, depth: Tensor, spread: Tensor) -> Closer:
        """``features`` (R, C) of the valid rays, in their order; ``depth`` and ``spread`` (B, V, G, G, 2) of all. No
        gradient flows into the last two."""
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            witnesses = Witnesses.of(batch, rays, depth, spread)
        share = ((torch.arange(self.positions, device=depth.device) + 0.5) / self.positions) * 2 - 1
        counts = rays.valid.flatten(0, 1).flatten(1).sum(1).tolist()
        V = rays.valid.shape[1]
        closer = [
            self._of_view(divmod(i, V), witnesses, of_rays, batch, rays, share)
            for i, of_rays in enumerate(self.ray(features).split(counts))
            if len(of_rays)
        ]
        if not closer:
            return Closer(depth.new_zeros(0, 2, self.positions), *depth.new_zeros(3, 0, 2))
        return Closer(*(torch.cat([getattr(c, f.name) for c in closer]) for f in fields(Closer)))

    def _of_view(
        self,
        at: tuple[int, int],
        witnesses: Witnesses,
        of_rays: Tensor,
        batch: CropBatch,
        rays: Intervals,
        share: Tensor,
    ) -> Closer:
        """The valid rays of view ``at`` (scene, view), of whose features ``of_rays`` (P, 2 * width) is made."""
        with torch.no_grad(), torch.autocast(of_rays.device.type, enabled=False):
            pick = rays.valid[at]
            found = witnesses.found[at][:, pick].T  # (P, 5)
            first, doubt = found[:, :2], found[:, 2:4]
            reach = (REACH * doubt).clamp(min=LEAST)
            z = first[..., None] + reach[..., None] * share  # (P, 2, N)
            points = rays.origins[at] + z[..., None] * rays.directions[at][pick][:, None, None]
            own = witnesses.own[at][:, pick].T.repeat_interleave(2 * len(share), 0)
            said = witnesses.ask(*at, points.reshape(-1, 3), own)
            near, far = rays.near[at][pick][:, None, None], rays.far[at][pick][:, None, None]
            position = torch.stack(
                [
                    share.expand_as(z),
                    (doubt[..., None] / 0.05).clamp(max=4).expand_as(z),
                    ((z - near) / (far - near).clamp(min=1e-6)).clamp(-0.5, 1.5),
                    (far - near).expand_as(z),
                    (points[..., 2] - batch.floor[at[0]]).clamp(-2, 2),
                    (reach / doubt.clamp(min=1e-3)).clamp(max=8)[..., None].expand_as(z) / 4,
                ],
                -1,
            )
            # before it has learned anything: as likely as the first look's mean and spread say
            prior = -0.5 * (reach[..., None] * share / doubt[..., None].clamp(min=5e-3)).square()
        told = self.view(said)
        told = torch.cat([told.mean(0), told.amax(0)], -1).view(*z.shape, -1)
        x = self.position(torch.cat([told, position.to(told.dtype)], -1))
        x = x.add_(of_rays.view(len(z), 2, 1, self.width)).flatten(0, 1)
        logits = self.along(x).float().view(z.shape) + prior
        mean, spread = mean_and_spread(logits, share)
        return Closer(logits, reach, first + reach * mean, reach * spread)
