"""RayGamba, the network that the package ships: MVGamba with one pair of Gaussians per ray, small enough for a CPU.

What it keeps of MVGamba (Yi et al., NeurIPS 2024): posed views with Pluecker rays become patch tokens, Mamba blocks
run over one long sequence of all views' tokens, each token decodes to Gaussians, positions are a soft-argmax over bins,
rotations mix 32 canonical quaternions (RotNet). What it changes, and why:

- Any number of views at any pose: nothing is tied to a view's index; scan orders are computed from the tokens kept.
- Only patches that touch the object become tokens: half the sequence, and the background costs nothing.
- Silhouettes and the hull's near and far depth are inputs, and the depth bins lie on the pixel's ray between them.
- Two Gaussians per ray, at its first hit on the surface and at its last exit: together they bound the shape, seen and
  unseen, in every view.
- A cascade head refines every depth on a cost volume close around it (`model.cascade_head`).

Glossary: the letters in shapes, and what the papers call the same (Mamba: Gu and Dao, 2023; 3DGS: Kerbl et al., 2023):

    B        scenes of a batch                                                     Mamba: B
    V        views of a scene, 1 to `RayGambaConfig.max_views`                     MVGamba: always 4
    S        side of a crop in pixels, `RayGambaConfig.size`                       MVGamba: 448
    T        tokens along a side of a crop, S / patch                              MVGamba: 32
    L        tokens kept of a scene: the length of the sequence                    Mamba, MVGamba: L
    width    channels of a token, of the residual stream                           Mamba: D
    d_state  states of each channel in the selective scan                          Mamba: N
    G        rays along a side of a crop, S / stride
    R        valid rays of all scenes and views: those that meet the visual hull
    N        depth hypotheses of a ray: ``bins`` of the depth head, ``cascade_positions`` of the cascade head
    C        channels of whatever it stands with
    means, quats, scales, opacities, colors   of two Gaussians a ray               3DGS: mu, q, s, alpha, c
    K, T_cube_camera                          of a crop; its Pluecker rays are (o x d, d)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.geometry.torch_rays import means
from mvgamba_ros.model.cascade_head import CascadeHead
from mvgamba_ros.model.cost_volume import Intervals, hull_intervals, plane_sweep_cost_volume, view_ranks
from mvgamba_ros.model.depth_head import DepthBinHead
from mvgamba_ros.model.mamba import Block, RMSNorm, init_residual_scale
from mvgamba_ros.model.ray_modules import soft_argmax
from mvgamba_ros.model.raygamba_config import RayGambaConfig
from mvgamba_ros.model.raygamba_output import RayGambaOutput, on_grid
from mvgamba_ros.model.rotnet import RotNet
from mvgamba_ros.rendering.crops import CropBatch


class Stem(nn.Module):
    """Three strided convolutions. Crops (B * V, C, S, S) and inputs of the rays (B * V, C', G, G) -> skip connection
    (B * V, skip, G, G) and tokens (B * V, width, T, T)."""

    def __init__(self, config: RayGambaConfig, channels: int, grid_channels: int) -> None:
        super().__init__()
        s = config.skip
        self.to_grid = nn.Sequential(nn.Conv2d(channels, s, 4, config.stride, 1), nn.ReLU(inplace=True))
        self.mix = nn.Sequential(nn.Conv2d(s + grid_channels, s, 3, padding=1), nn.ReLU(inplace=True))
        self.halve = nn.Sequential(nn.Conv2d(s, 2 * s, 4, 2, 1), nn.ReLU(inplace=True))
        rest = config.patch // (2 * config.stride)
        self.to_tokens = nn.Conv2d(2 * s, config.width, rest, rest)

    def forward(self, crops: Tensor, at_grid: Tensor) -> tuple[Tensor, Tensor]:
        skip = self.mix(torch.cat([self.to_grid(crops), at_grid], 1))
        return skip, self.to_tokens(self.halve(skip))


def _stacked(channels: Sequence[Tensor]) -> Tensor:
    """(N, *, H, W) each -> (N, C, H, W), a pixel's channels next to each other: convolutions are faster so, and its
    `_rows` are a view."""
    return torch.cat([x.permute(0, 2, 3, 1) for x in channels], -1).permute(0, 3, 1, 2)


def _rows(pictures: Tensor) -> Tensor:
    """(N, C, H, W) -> (N * H * W, C), without a copy where the channels lie next to each other."""
    return pictures.permute(0, 2, 3, 1).reshape(-1, pictures.shape[1])


class RayGamba(nn.Module):
    """`CropBatch` -> `RayGambaOutput`. Any number of views; scenes of one batch share it."""

    def __init__(self, config: RayGambaConfig) -> None:
        super().__init__()
        self.config = config
        c, s = config, config.skip
        self.grid = c.grid
        self.tokens = c.size // c.patch
        crop_channels = 3 + 1 + 6
        grid_channels = 4 + 2 * c.bins
        self.stem = Stem(c, crop_channels, grid_channels)
        blocks = [Block(c.width, c.d_state) for _ in c.orders]
        init_residual_scale(blocks)
        self.blocks = nn.ModuleList(blocks)
        self.norm = RMSNorm(c.width)
        up = c.patch // c.stride
        # the decoder works ray by ray, on the object's rays only: all context has come through the tokens and the stem
        self.to_grid = nn.Linear(c.width, up * up * s)
        self.decoder = nn.Sequential(
            nn.Linear(2 * s + grid_channels, 3 * s),
            nn.ReLU(inplace=True),
            nn.Linear(3 * s, 3 * s),
            nn.ReLU(inplace=True),
        )
        self.depth_head = DepthBinHead(3 * s, c.bins)
        self.cascade_head = CascadeHead(3 * s, c) if c.cascade_positions else None
        self.rotation_head = nn.Linear(3 * s, 2 * 32)
        self.rotation = RotNet()
        self.attribute_head = nn.Linear(3 * s, 2 * (3 + 1 + 3))
        # natural size, the pixel's own colour and almost solid: a good start for every object
        for parameter in self.attribute_head.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, batch: CropBatch, rays: Intervals | None = None, cost_volume: Tensor | None = None
    ) -> RayGambaOutput:
        """``rays`` and ``cost_volume`` are `hull_intervals` and `plane_sweep_cost_volume` of ``batch`` at the grid, for
        callers that have them: nothing in them is learned.

        Products run in bfloat16 inside `torch.autocast`; geometry, the residual stream and all outputs stay float32.
        """
        with torch.autocast(batch.rgb.device.type, enabled=False):
            rays = hull_intervals(batch, self.config) if rays is None else rays
            at_grid = self._grid_inputs(batch, rays, cost_volume)
            crops = self._crop_inputs(batch, rays)
        B, V = batch.alpha.shape[:2]
        skip, tokens = self.stem(crops, at_grid)
        x = _rows(tokens.float()).view(B, -1, self.config.width)
        keep = F.max_pool2d(rays.valid.float(), self.config.patch // self.config.stride).flatten(1) > 0
        ranks = view_ranks(rays) if self.config.rank_views else torch.arange(V, device=x.device).expand(B, V)
        x = self._scan(x, keep, ranks)
        # from here on the valid rays alone, a row each
        picked = rays.valid.flatten().nonzero()[:, 0]
        from_grid = _rows(at_grid).index_select(0, picked)
        dense = self._at_rays(self.to_grid(self.norm(x)), picked)
        features = self.decoder(torch.cat([dense, _rows(skip).index_select(0, picked), from_grid], 1))
        return self._decode(features, from_grid[:, 4:].unflatten(1, (2, -1)), picked, batch, rays)

    def _at_rays(self, dense: Tensor, picked: Tensor) -> Tensor:
        """Features of the rays ``picked`` (R,) from those of their tokens, ``dense`` (B, V * T * T, skip * up * up):
        `F.pixel_shuffle` and a choice of pixels, in one. -> (R, skip)"""
        G, T, up = self.grid, self.tokens, self.config.patch // self.config.stride
        view, y, x = picked // (G * G), picked // G % G, picked % G
        token, inner = (view * T + y // up) * T + x // up, y % up * up + x % up
        rows = dense.view(-1, self.config.skip, up * up).transpose(1, 2).reshape(-1, self.config.skip)
        return rows.index_select(0, token * up * up + inner)

    def _crop_inputs(self, batch: CropBatch, rays: Intervals) -> Tensor:
        """(B * V, 10, S, S): RGB, silhouette and Pluecker rays (o x d, d) at full crop resolution."""
        d = F.normalize(rays.directions, dim=-1).flatten(0, 1).flatten(1, 2).transpose(1, 2)  # (B * V, 3, G * G)
        x, y, z = rays.origins.flatten(0, 1).unbind(1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        cross = [zero, -z, y, z, zero, -x, -y, x, zero]  # the matrix of o x d; below it the identity
        same = [one, zero, zero, zero, one, zero, zero, zero, one]
        plucker = (torch.stack([*cross, *same], 1).view(-1, 6, 3) @ d).unflatten(2, (self.grid, self.grid))
        plucker = F.interpolate(plucker, scale_factor=self.config.stride, mode="bilinear", align_corners=False)
        return _stacked([batch.rgb.flatten(0, 1), batch.alpha.flatten(0, 1)[:, None], plucker])

    def _grid_inputs(self, batch: CropBatch, rays: Intervals, cost_volume: Tensor | None) -> Tensor:
        """(B * V, 4 + 2 * bins, G, G): hull interval relative to the cube's centre, its width, the ray's validity, and
        the cost volume."""
        c = self.config
        centre = rays.origins.norm(dim=-1)[..., None, None]
        valid = rays.valid.float()
        B, V, G, _ = rays.near.shape
        if c.use_interval:
            interval = torch.stack([rays.near - centre, rays.far - centre, rays.far - rays.near], 2) * valid[:, :, None]
        else:
            interval = rays.near.new_zeros(B, V, 3, G, G)
        if not c.use_consistency:
            cost_volume = rays.near.new_zeros(B, V, 2 * c.bins, G, G)
        elif cost_volume is None:
            cost_volume = plane_sweep_cost_volume(batch, rays, c.bins)
        return _stacked([x.flatten(0, 1) for x in (interval, valid[:, :, None], cost_volume)])

    def _scan(self, x: Tensor, keep: Tensor, ranks: Tensor) -> Tensor:
        """Run the blocks over the kept tokens of (B, V * T * T, width), each in its own order."""
        B, N, width = x.shape
        length = max(int(keep.sum(1).max()), 1)
        kept = (~keep).byte().argsort(dim=1, stable=True)[:, :length]  # padding at the end, where a scene keeps fewer
        first = N * torch.arange(B, device=x.device)[:, None]
        rows = (kept + first).flatten()
        padding = ~keep.flatten()[rows, None]
        x = x.flatten(0, 1).index_select(0, rows).masked_fill(padding, 0)

        orders = {name: self._order(name, kept, keep, ranks) for name in set(self.config.orders)}
        places = {name: order.argsort(1) for name, order in orders.items()}
        here = torch.arange(length, device=x.device).expand(B, length)
        start = length * torch.arange(B, device=x.device)[:, None]
        for block, name in zip(self.blocks, self.config.orders, strict=True):
            # from the order before to this one: whole rows by one index each, one for every element costs more
            x = x.index_select(0, (here.gather(1, orders[name]) + start).flatten())
            x = block(x.view(B, length, width)).flatten(0, 1)
            here = places[name]
        x = x.index_select(0, (here + start).flatten()).masked_fill(padding, 0)
        return x.new_zeros(B * N, width).index_copy_(0, rows, x).view(B, N, width)

    def _order(self, name: str, kept: Tensor, keep: Tensor, ranks: Tensor) -> Tensor:
        """(B, L): which of the tokens ``kept`` (B, L) comes first, second, ... in the named order; padding, which is
        not in ``keep`` (B, V * T * T), last, after all real tokens of a causal scan."""
        T, views = self.tokens, ranks.shape[1]
        v, y, x = ranks.gather(1, kept // (T * T)), kept // T % T, kept % T
        base, _, reverse = name.partition("_")
        key = {"rows": (v * T + y) * T + x, "columns": (v * T + x) * T + y, "across": (y * T + x) * views + v}[base]
        key = -key if reverse else key
        return torch.where(keep.gather(1, kept), key, views * T * T).argsort(1)

    def _decode(
        self, features: Tensor, cost: Tensor, picked: Tensor, batch: CropBatch, rays: Intervals
    ) -> RayGambaOutput:
        """``features`` (R, C) and photometric ``cost`` (R, 2, bins) of rays ``picked`` (R,) of all (B * V * G * G)."""
        c = self.config
        view = picked // self.grid**2

        def of_ray(per_ray: Tensor) -> Tensor:
            return per_ray.flatten(0, 3).index_select(0, picked)

        def of_view(per_view: Tensor) -> Tensor:
            return per_view.flatten(0, 1).index_select(0, view)

        share = (torch.arange(c.bins, device=features.device) + 0.5) / c.bins
        near, interval = of_ray(rays.near)[:, None], of_ray(rays.far - rays.near)[:, None]
        z = (near + interval * share)[:, None]
        points = of_view(rays.origins)[..., None] + z * of_ray(rays.directions)[..., None]  # (R, 3, bins)
        above = points[:, 2:] - of_view(batch.floor[:, None].expand(rays.near.shape[:2]))[:, None, None]
        at_bins = [cost, points, interval[..., None].expand(-1, -1, c.bins), above.clamp(-2, 2)]
        logits = self.depth_head(features, torch.cat(at_bins, 1)).float()
        mean, sigma = soft_argmax(logits, share)
        depth, sigma = near + interval * mean, interval * sigma

        def at_grid(x: Tensor) -> Tensor:
            return on_grid(x, picked, rays)

        initial_depth = at_grid(depth)
        refined = None
        if self.cascade_head is not None:
            refined = self.cascade_head(features, batch, rays, initial_depth, at_grid(sigma))
            depth, sigma = refined.depth, refined.sigma
        attributes = self.attribute_head(features).float().unflatten(-1, (2, 7))
        # a Gaussian's natural size is its share of the image: the grid's pitch at its depth
        focal = of_view(batch.K[..., 0, 0])[:, None]
        scales = 0.7 * (depth * c.stride / focal)[..., None] * torch.exp(attributes[..., :3].clamp(-2, 1.5))
        pixels = _rows(means(batch.rgb.flatten(0, 1), c.grid)).index_select(0, picked)
        colors = (pixels[:, None] + attributes[..., 4:7].tanh()).clamp(0, 1)
        turns = self.rotation_head(features).float().unflatten(-1, (2, 32))
        with torch.autocast(turns.device.type, enabled=False):
            quats = self.rotation(turns)

        return RayGambaOutput(
            rays=rays,
            depth_logits=at_grid(logits),
            initial_depth=initial_depth,
            depth=at_grid(depth),
            sigma=at_grid(sigma),
            scales=at_grid(scales),
            quats=at_grid(quats),
            opacities=at_grid(torch.sigmoid(attributes[..., 3] + 2.0)),
            colors=at_grid(colors),
            K=batch.K,
            cascade_logits=None if refined is None else at_grid(refined.logits),
            cascade_half_range=None if refined is None else at_grid(refined.half_range),
        )
