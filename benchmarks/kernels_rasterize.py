"""The native rasteriser against a tiled rasteriser in plain torch: python -m benchmarks.kernels_rasterize

Both draw the same scenes in the same run, in turn; the table gives medians, and the ratio is of medians. The baseline
is what one would write in torch for speed: projection, culling and tile lists vectorised, then per tile all its pixels
by all its Gaussians at once, gradients by autograd, with the quickest of a few tile sizes. The two pictures are
compared before anything is timed. Writes docs/rasterizer_cost.png: the time of a view against the pixel-Gaussian pairs
that can be seen in it, as pictures grow and as Gaussians pile up.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.timing import medians
from mvgamba_ros.kernels import native
from mvgamba_ros.kernels.rasterize import rasterize
from mvgamba_ros.kernels.rasterize_reference import ALPHA_MAX, ALPHA_MIN, project
from mvgamba_ros.kernels.rasterize_tiled import touched_tiles

VIEWS = 4
SIZES = [(4096, 128), (16384, 256), (65536, 512)]  # Gaussians, pixels a side
BASELINE_TILES = (8, 16, 32)
COST_PIXELS = (64, 96, 128, 192, 256, 384, 512)
COST_WIDTHS = (1.0, 1.4, 2.0, 2.8, 4.0)
"""Sides of the plot's pictures, and factors on its Gaussians' sizes in a picture of 256 pixels."""
COST_GAUSSIANS = 16384


class Row(NamedTuple):
    """Seconds per call of ``VIEWS`` views; ``pairs`` counts the pixel-Gaussian pairs that can be seen."""

    gaussians: int
    pixels: int
    pairs: int
    forward: float
    forward_backward: float
    baseline_forward: float
    baseline_forward_backward: float
    baseline_tile: int


def trained_like_scene(N: int, pixels: int, seed: int = 0) -> dict[str, Any]:
    """A fitted object: flat Gaussians on a closed surface, about as wide as they lie apart, most of
    them opaque, seen from four sides, the object filling three quarters of the image's width."""
    g = torch.Generator().manual_seed(seed)
    normals = torch.nn.functional.normalize(torch.randn(N, 3, generator=g), dim=-1)
    radius = 0.5 + 0.06 * torch.sin(5 * normals[:, :1] + 1) * torch.cos(4 * normals[:, 1:2])
    spacing = math.sqrt(4 * math.pi * 0.25 / N)
    tangential = spacing * torch.exp(0.4 * torch.randn(N, 2, generator=g)) * 0.7
    # the shortest turn from z to the normal, so that the third axis is the flat one
    quats = torch.stack([1 + normals[:, 2], -normals[:, 1], normals[:, 0], 0.3 * torch.randn(N, generator=g)], dim=-1)
    T = torch.eye(4).repeat(VIEWS, 1, 1)
    for view in range(VIEWS):
        angle = view * math.tau / VIEWS
        c, s = math.cos(angle), math.sin(angle)
        T[view, :3, :3] = torch.tensor([[c, s, 0], [0, 0, -1], [-s, c, 0]])
        T[view, 2, 3] = 2.0
    focal = 0.75 * pixels * 2.0 / 1.0
    K = torch.tensor([[focal, 0, pixels / 2], [0, focal, pixels / 2], [0, 0, 1]]).repeat(VIEWS, 1, 1)
    return {
        "means": normals * radius,
        "quats": quats,
        "scales": torch.cat([tangential, torch.full((N, 1), 0.1 * spacing)], dim=-1),
        "opacities": torch.sigmoid(1.5 + 1.5 * torch.randn(N, generator=g)),
        "colors": torch.rand(N, 3, generator=g),
        "T_camera_world": T,
        "K": K,
        "width": pixels,
        "height": pixels,
    }


def rasterize_tiled_torch(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    tile: int,
) -> tuple[Tensor, Tensor]:
    """Colour (V, H, W, 3) and alpha (V, H, W), tile by tile in plain torch; width and height multiples of ``tile``."""
    across, down = width // tile, height // tile
    ys, xs = torch.meshgrid(torch.arange(tile) + 0.5, torch.arange(tile) + 0.5, indexing="ij")
    in_tile = torch.stack([xs.flatten(), ys.flatten()], dim=-1)
    views = []
    for T, camera in zip(T_camera_world, K, strict=True):
        center, spread, z, kept = project(means, quats, scales, opacities, T, camera, width, height)
        order = torch.argsort(z, stable=True)
        center, spread, z, kept = center[order], spread[order], z[order], kept[order]
        seen_opacities, seen_colors = opacities[kept], colors[kept]
        with torch.no_grad():
            lists = _tile_lists(center, spread, seen_opacities, tile, across, down)
        rows = []
        for index, members in enumerate(lists):
            pixels = in_tile + torch.tensor([index % across * tile, index // across * tile])
            rows.append(_blend(pixels, center[members], spread[members], seen_opacities[members], seen_colors[members]))
        image = torch.stack(rows).reshape(down, across, tile, tile, 4).permute(0, 2, 1, 3, 4)
        views.append(image.reshape(height, width, 4))
    drawn = torch.stack(views)
    return drawn[..., :3], drawn[..., 3]


def _blend(pixels: Tensor, center: Tensor, spread: Tensor, opacities: Tensor, colors: Tensor) -> Tensor:
    """Colour and alpha (P, 4): as few passes over the (P, M) pairs as torch allows, transmittance by a sum of logs.

    It does not stop at a transmittance of 1e-4, which in torch would save nothing.
    """
    variance_y, slope, variance_x = spread.unbind(-1)
    dx, dy = pixels[:, :1] - center[:, 0], pixels[:, 1:] - center[:, 1]
    along = dx - slope * dy
    alpha = opacities * torch.exp(along * along * (-0.5 / variance_x) + dy * dy * (-0.5 / variance_y))
    alpha = (alpha * (alpha >= ALPHA_MIN)).clamp_max(ALPHA_MAX)
    step = torch.log1p(-alpha)
    weight = alpha * torch.exp(torch.cumsum(step, -1) - step)
    return weight @ torch.cat([colors, torch.ones_like(colors[:, :1])], dim=-1)


def _tile_lists(
    center: Tensor, spread: Tensor, opacities: Tensor, tile: int, across: int, down: int
) -> tuple[Tensor, ...]:
    """The splats that touch each tile, in their order."""
    member, at = touched_tiles(center, spread, opacities, tile, across, down)
    order = torch.argsort(at, stable=True)
    return member[order].split(torch.bincount(at, minlength=across * down).tolist())


def seen_pairs(scene: dict[str, Any]) -> int:
    """How many pixel-Gaussian pairs have an alpha of 1/255 or more, in all views: the area of the splats' ellipses."""
    total = 0.0
    for T, K in zip(scene["T_camera_world"], scene["K"], strict=True):
        shape = [scene[name] for name in ("means", "quats", "scales", "opacities")]
        _, spread, _, kept = project(*shape, T, K, scene["width"], scene["height"])
        room = 2 * torch.log(scene["opacities"][kept] / ALPHA_MIN)
        total += float((math.pi * room * (spread[:, 0] * spread[:, 2]).sqrt()).sum())
    return round(total)


def backward(draw: Callable[..., Any], scene: dict[str, Any], weights: Tensor, **options: Any) -> None:
    """Both passes, with the gradients of everything that is learned."""
    names = ["means", "quats", "scales", "opacities", "colors"]
    trained = dict(scene, **{name: scene[name].clone().requires_grad_() for name in names})
    drawn = draw(**trained, **options)
    loss = (drawn[0] * weights[..., :3]).sum() + (drawn[-1] * weights[..., 3]).sum()
    torch.autograd.grad(loss, [trained[name] for name in names])


def forward(draw: Callable[..., Any], scene: dict[str, Any], **options: Any) -> None:
    with torch.no_grad():
        draw(**scene, **options)


def measure(N: int, pixels: int, repeats: int) -> Row:
    """Check that both draw the same picture, then time them. The baseline's tile is the quickest on one view, and its
    turns are fewer where one takes long."""
    scene = trained_like_scene(N, pixels)
    one = {**scene, "T_camera_world": scene["T_camera_world"][:1], "K": scene["K"][:1]}
    with torch.no_grad():
        ours, theirs = rasterize(**scene), rasterize_tiled_torch(**scene, tile=16)
    apart = ((ours.color - theirs[0]).abs().amax(-1) > 1e-2).double().mean()
    if apart > 0.001:
        raise AssertionError(f"{apart:.2%} of the pixels differ from the plain torch rasteriser's")

    weights = torch.randn(VIEWS, pixels, pixels, 4, generator=torch.Generator().manual_seed(1))
    tried = {}
    for t in BASELINE_TILES:
        start = time.perf_counter()
        backward(rasterize_tiled_torch, one, weights[:1], tile=t)
        tried[t] = time.perf_counter() - start
    tile = min(tried, key=lambda t: tried[t])
    times = medians(
        {
            "forward": lambda: forward(rasterize, scene),
            "forward_backward": lambda: backward(rasterize, scene, weights),
            "baseline_forward": lambda: forward(rasterize_tiled_torch, scene, tile=tile),
            "baseline_forward_backward": lambda: backward(rasterize_tiled_torch, scene, weights, tile=tile),
        },
        repeats if tried[tile] < 0.5 else 1,
    )
    return Row(N, pixels, seen_pairs(scene), **times, baseline_tile=tile)


def cost_plot(repeats: int, path: Path) -> None:
    """Seconds of a view against what is to be seen in it; a straight line is a cost that grows with nothing else."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def scenes(pixels: int, wider: float) -> dict[str, Any]:
        scene = trained_like_scene(COST_GAUSSIANS, pixels)
        return {**scene, "scales": scene["scales"] * wider}

    series = {
        "more pixels": [scenes(pixels, 1.0) for pixels in COST_PIXELS],
        "wider Gaussians, 256 pixels": [scenes(256, wider) for wider in COST_WIDTHS],
    }
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True)
    print("\nCost of a view against the pairs seen in it")
    print("| series | million pairs | forward ms | forward + backward ms |")
    print("|---|---|---|---|")
    for (name, drawn), marker in zip(series.items(), ("o-", "s-"), strict=True):
        pairs, passes = [], []
        for scene in drawn:
            weights = torch.ones(VIEWS, scene["height"], scene["width"], 4)
            t = medians(
                {"f": lambda s=scene: forward(rasterize, s), "b": lambda s=scene, w=weights: backward(rasterize, s, w)},
                repeats,
            )
            pairs.append(seen_pairs(scene) / VIEWS)
            passes.append((1e3 * t["f"] / VIEWS, 1e3 * t["b"] / VIEWS))
            print(f"| {name} | {pairs[-1] / 1e6:.2f} | {passes[-1][0]:.2f} | {passes[-1][1]:.2f} |", flush=True)
        for panel, column, title in zip(
            panels, zip(*passes, strict=True), ("forward", "forward + backward"), strict=True
        ):
            panel.loglog(pairs, column, marker, label=name)
            panel.set_title(title)
            panel.set_xlabel("pixel-Gaussian pairs seen")
            panel.set_ylabel("ms per view")
            panel.grid(alpha=0.3)
            panel.legend()
    figure.suptitle(f"{COST_GAUSSIANS} Gaussians, {torch.get_num_threads()} threads")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


HEAD = """\
| Gaussians | image | forward ms/view | torch ms/view | ratio | both passes ms/view | torch ms/view | ratio | ns/pair |
|---|---|---|---|---|---|---|---|---|"""


def line(r: Row) -> str:
    """The row as the docs show it: milliseconds per view, and how many times the baseline takes."""
    f, fb, bf, bfb = (
        1e3 * t / VIEWS for t in (r.forward, r.forward_backward, r.baseline_forward, r.baseline_forward_backward)
    )
    return (
        f"| {r.gaussians} | {r.pixels}^2 | {f:.2f} | {bf:.1f} | {bf / f:.1f}x | {fb:.2f} | {bfb:.1f} | {bfb / fb:.1f}x "
        f"| {1e9 * r.forward_backward / r.pairs:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, default=Path("docs/rasterizer_cost.png"))
    arguments = parser.parse_args()
    print(f"\nRasteriser, {native.instruction_set()}, {torch.get_num_threads()} threads, {VIEWS} views per call")
    print(HEAD)
    for N, pixels in SIZES:
        print(line(measure(N, pixels, arguments.repeats)), flush=True)
    cost_plot(arguments.repeats, arguments.plot)


if __name__ == "__main__":
    main()
