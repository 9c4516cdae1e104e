"""The rasteriser in torch operations that a GPU is quick at: each tile of pixels against the Gaussians that touch it.

Projection, conventions and results are those of `rasterize_reference`; as in 3D Gaussian Splatting (Kerbl et al., 2023)
a pixel meets only the Gaussians of its tile. Tiles with about as many Gaussians are blended together, padded to the
most of them, as many at once as memory allows. It runs on any device and needs nothing but torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mvgamba_ros.kernels.rasterize_reference import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, project
from mvgamba_ros.kernels.recompute import recomputed

TILE = 16
"""Side of a tile, pixels."""

_PAIRS_AT_ONCE = 1 << 23
"""Pixel-Gaussian pairs blended at once, of about ten numbers each; a tile with more of them is blended alone."""


def rasterize_tiled(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colour (B, V, H, W, 3), expected depth, median depth and alpha (B, V, H, W); inputs as ``rasterize_reference``.

    Differentiable in all that it is. Sums of gradients over tiles are made by torch, on a GPU in no fixed order.
    """
    given = (means, quats, scales, opacities, colors, T_camera_world, K)
    return scene_by_scene(draw_tiled, given, width, height, background)


def scene_by_scene(
    draw: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]],
    given: Sequence[Tensor],
    width: int,
    height: int,
    background: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What ``draw`` makes of B scenes, stacked; ``given``: what `draw_tiled` takes before the size, (B, ...)."""
    drawn = [draw(*scene, width, height, behind) for *scene, behind in zip(*given, background, strict=True)]
    color, depth, median, alpha = (torch.stack(images) for images in zip(*drawn, strict=True))
    return color, depth, median, alpha


def draw_tiled(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One scene of V views; ``background`` (V, 3)."""
    V, across, down = len(K), -(-width // TILE), -(-height // TILE)
    tiles, splats, members, at, passed = across * down, [], [], [], 1
    for view, (T, camera) in enumerate(zip(T_camera_world, K, strict=True)):
        center, spread, z, kept = project(means, quats, scales, opacities, T, camera, width, height)
        order = torch.argsort(z, stable=True)
        kept = kept[order]
        splats.append(torch.cat([center[order], spread[order], z[order, None], opacities[kept, None], colors[kept]], 1))
        with torch.no_grad():
            member, tile = touched_tiles(center[order], spread[order], opacities[kept], TILE, across, down)
        members.append(member + passed)
        at.append(tile + view * tiles)
        passed += len(kept)
    nothing = means.new_zeros(1, 10)  # a splat that cannot be seen, for what is padded
    nothing[:, 2], nothing[:, 4:6] = 1, 1
    rows, order = torch.cat([nothing, *splats]), torch.cat(at).argsort(stable=True)
    member, counts = torch.cat(members)[order], torch.bincount(torch.cat(at), minlength=V * tiles)
    blended = _blend_all(rows, member, counts, across, tiles, background)
    image = blended.view(V, down, across, TILE, TILE, 6).transpose(2, 3).reshape(V, down * TILE, across * TILE, 6)
    image = image[:, :height, :width]
    return image[..., :3], image[..., 3], image[..., 4].detach(), image[..., 5]


def touched_tiles(
    center: Tensor, spread: Tensor, opacities: Tensor, tile: int, across: int, down: int
) -> tuple[Tensor, Tensor]:
    """Which splat touches which of ``across`` by ``down`` tiles, ``tile`` pixels wide and numbered row by row: (pairs,)
    each, the splats in their order. ``center`` (M, 2) and ``spread`` (M, 3) as `project` has them; opacities (M,)."""
    variance_y, slope, variance_x = spread.unbind(-1)
    variance = torch.stack([variance_x + slope**2 * variance_y, variance_y], dim=-1)
    reach = (2 * torch.log(opacities / ALPHA_MIN)[:, None] * variance).sqrt()
    first, last = ((center - reach) / tile).floor().clamp_min(0), ((center + reach) / tile).floor().clamp_min(-1) + 1
    first, last = (
        torch.stack([x.clamp(max=across), y.clamp(max=down)], -1).long() for x, y in (first.unbind(-1), last.unbind(-1))
    )
    columns, rows = (last - first).clamp_min(0).unbind(-1)
    counts = columns * rows
    member = torch.repeat_interleave(torch.arange(len(center), device=center.device), counts)
    nth = torch.arange(len(member), device=center.device) - (counts.cumsum(0) - counts)[member]
    return member, (first[member, 1] + nth // columns[member]) * across + first[member, 0] + nth % columns[member]


def _blend_all(rows: Tensor, member: Tensor, counts: Tensor, across: int, tiles: int, background: Tensor) -> Tensor:
    """All tiles, (tiles of all views, TILE * TILE, 6): ``rows`` of splats, 0 none; ``member`` (pairs,) of them, tile by
    tile, ``counts`` of each."""
    device = rows.device
    begins = counts.cumsum(0) - counts
    by_count = counts.argsort()
    ys, xs = torch.meshgrid(*2 * [torch.arange(TILE, device=device, dtype=rows.dtype) + 0.5], indexing="ij")
    in_tile = torch.stack([xs.flatten(), ys.flatten()], -1)
    ordered = counts[by_count].tolist()
    parts, begin = [], 0
    while begin < len(ordered):
        # the group's padding is the count of its last tile: as many tiles as that allows
        end = begin + 1
        while end < len(ordered) and (end + 1 - begin) * TILE**2 * max(ordered[end], 1) <= _PAIRS_AT_ONCE:
            end += 1
        group, most = by_count[begin:end], max(ordered[end - 1], 1)
        nth = torch.arange(most, device=device)
        there = nth < counts[group, None]
        where = (begins[group, None] + nth).clamp(max=max(len(member) - 1, 0))
        index = torch.where(there, member[where], 0) if len(member) else torch.zeros_like(where)
        corner = torch.stack([group % tiles % across, group % tiles // across], -1) * TILE
        pixels = in_tile + corner[:, None]
        parts.append(recomputed(_blend, rows, background[group // tiles], index, pixels)[0])
        begin = end
    return torch.cat(parts)[by_count.argsort()]


def _blend(rows: Tensor, background: Tensor, index: Tensor, pixels: Tensor) -> tuple[Tensor]:
    """Colour, depth, median depth, alpha (G, P, 6) at ``pixels`` (G, P, 2) of the splats ``index`` (G, M), nearest
    first, of ``rows`` (N, 10): centre (2), spread (3, as `project` has it), z, opacity, colour (3)."""
    splats = rows.index_select(0, index.flatten()).view(*index.shape, 10)
    x, y, variance_y, slope, variance_x, _, opacity = (v[:, None] for v in splats[..., :7].unbind(-1))
    dx, dy = pixels[..., :1] - x, pixels[..., 1:] - y
    along = dx - slope * dy
    alpha = (opacity * torch.exp(-0.5 * (along * along / variance_x + dy * dy / variance_y))).clamp(max=ALPHA_MAX)
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, 0)
    step = torch.log1p(-alpha)
    passed = step.cumsum(-1)
    before, after = torch.exp(passed - step), torch.exp(passed)
    reached = after > TRANSMITTANCE_MIN
    weight = torch.where(reached, alpha * before, 0)
    sums = weight @ torch.cat([splats[..., 7:], splats[..., 5:6], torch.ones_like(splats[..., :1])], -1)
    color, depth, total = sums[..., :3], sums[..., 3:4], sums[..., 4:]
    seen = total > 0
    depth = torch.where(seen, depth, 0) / torch.where(seen, total, 1)
    halfway = (reached & (before > 0.5) & (after <= 0.5)).to(rows.dtype)
    median = halfway @ splats[..., 5:6].detach()
    return (torch.cat([color + (1 - total) * background[:, None], depth, median, total], -1),)
