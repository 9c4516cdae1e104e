"""The kernels against what else there is: python -m benchmarks.kernels

Every ratio is of medians of calls made in turn in this run: machines and their load differ, so milliseconds are for
orientation only. Writes docs/kernels_cost.png, the cost of the scan and of attention against the sequence's length.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvgamba_ros.kernels import native, selective_scan
from mvgamba_ros.kernels.plane import matches, plane_agreement, through_plane
from mvgamba_ros.kernels.pool import pool_views
from mvgamba_ros.kernels.ray_layers import aggregate_views, along_rays
from mvgamba_ros.kernels.ray_types import Layer, Sightlines
from mvgamba_ros.kernels.sightlines import NUM_VIEW_FEATURES, photometric_cost, sample_source_views, silhouette_interval
from mvgamba_ros.model.mamba import Mamba

STATES = 16
SCANS = [(1024, 768), (4096, 1536), (16384, 1536)]  # length, width
BLOCKS = [(1024, 192), (1024, 384), (1024, 768), (4096, 192), (4096, 384), (4096, 768), (16384, 384)]
COST_WIDTH = 512
COST_LENGTHS = [1024, 2048, 4096, 8192, 16384, 32768]
LARGEST_ATTENTION = 8192  # beyond it one call takes minutes on two cores

Calls = dict[str, Callable[[], object]]


def medians(calls: Calls, repeats: int) -> dict[str, float]:
    """Median seconds of each call, all called in turn after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def scan_arguments(length: int, width: int) -> dict[str, Any]:
    """As the block makes them: token-major, B and C columns of one projection, A = -1 .. -states."""

    def tokens(channels: int) -> Tensor:
        return torch.randn(1, length, channels)

    projected = tokens(width // 32 + 2 * STATES)
    B, C = projected[..., -2 * STATES : -STATES], projected[..., -STATES:]
    named = {"u": tokens(width), "delta": tokens(width), "B": B, "C": C, "z": tokens(width)}
    arguments: dict[str, Any] = {name: x.transpose(1, 2) for name, x in named.items()}
    arguments["A"] = -torch.arange(1, STATES + 1, dtype=torch.float32).repeat(width, 1)
    arguments["D"], arguments["delta_bias"] = torch.ones(width), torch.rand(width) - 5
    return arguments


def scan_mambapy(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor):
    """mambapy's parallel scan, as its block calls it."""
    from mambapy.pscan import pscan

    x, dt = u.transpose(1, 2), F.softplus(delta.transpose(1, 2) + delta_bias)
    decay = torch.exp(dt.unsqueeze(-1) * A)
    h = pscan(decay, dt.unsqueeze(-1) * B.transpose(1, 2).unsqueeze(2) * x.unsqueeze(-1))
    y = (h @ C.transpose(1, 2).unsqueeze(-1)).squeeze(-1) + D * x
    return (y * F.silu(z.transpose(1, 2))).transpose(1, 2)


def scan_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor):
    """A sequential torch loop over precomputed decays and inputs, the usual path without a kernel."""
    dt = F.softplus(delta + delta_bias[:, None])
    decay = torch.exp(A[None, :, None, :] * dt[..., None])
    inputs = dt[..., None] * B.transpose(1, 2)[:, None] * u[..., None]
    h = torch.zeros(1, u.shape[1], STATES)
    outputs = []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + inputs[:, :, t]
        outputs.append((h @ C[:, :, t, None]).squeeze(-1))
    return (torch.stack(outputs, dim=-1) + u * D[:, None]) * F.silu(z)


CLAMPED, IN_RANGE, POLYNOMIAL = 0, 1, 2
"""Kinds of exponential, as in ``native/bound.cpp``."""


def exp_loop(count: int, kind: int) -> None:
    library = native.library()
    library.mvgamba_exp_loop.restype = ctypes.c_float
    library.mvgamba_exp_loop(ctypes.c_int64(count), ctypes.c_int64(native.threads()), ctypes.c_int64(kind))


def backward(scan: Callable[..., Any], arguments: dict[str, Tensor], **options: bool) -> None:
    leaves = {name: x.detach().requires_grad_() for name, x in arguments.items()}
    y = scan(**leaves, **options)
    torch.autograd.grad(y, list(leaves.values()), torch.ones_like(y))


def scan_table(shapes: list[tuple[int, int]], repeats: int) -> None:
    print(
        f"\nSelective scan, batch 1, {STATES} states, float32, {native.threads()} threads, {native.instruction_set()}"
    )
    print(
        "| length, width | pass | ours ms | mambapy | torch loop | share of the exp bound (in range) | of all its exps "
        "| recurrence | of polynomial exps |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for length, width in shapes:
        arguments = scan_arguments(length, width)
        ours, theirs = selective_scan(**arguments, delta_softplus=True), scan_mambapy(**arguments)
        assert isinstance(ours, Tensor)
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
        # the recurrence alone: neither softplus nor gate, whose two exps per token and channel are not in the bound
        alone = {name: x for name, x in arguments.items() if name not in ("z", "delta_bias")}
        alone["delta"] = F.softplus(arguments["delta"] + arguments["delta_bias"][:, None])
        count = length * width * STATES
        with torch.no_grad():
            t = medians(
                {
                    "ours": partial(selective_scan, **arguments, delta_softplus=True),
                    "alone": partial(selective_scan, **alone),
                    "bound": partial(exp_loop, count, CLAMPED),
                    "bound in range": partial(exp_loop, count, IN_RANGE),
                    "polynomial": partial(exp_loop, count, POLYNOMIAL),
                },
                5 * repeats,
            )
            slow: Calls = {"mambapy": partial(scan_mambapy, **arguments)}
            if length <= 4096:
                slow["loop"] = partial(scan_loop, **arguments)
            t |= medians(slow, repeats)
        loop = f"{t['loop'] / t['ours']:.1f}x" if "loop" in t else "not run"
        share, narrow = t["bound"] / t["ours"], t["bound in range"] / t["ours"]
        print(
            f"| {length}, {width} | forward | {1e3 * t['ours']:.2f} | {t['mambapy'] / t['ours']:.1f}x | {loop} "
            f"| {share:.0%} ({narrow:.0%}) | {(STATES + 2) / STATES * share:.0%} | {t['bound'] / t['alone']:.0%} "
            f"| {t['polynomial'] / t['ours']:.0%} |",
            flush=True,
        )
        if length > 4096:
            continue
        t = medians(
            {
                "ours": partial(backward, selective_scan, arguments, delta_softplus=True),
                "mambapy": partial(backward, scan_mambapy, arguments),
            },
            repeats,
        )
        ratio = t["mambapy"] / t["ours"]
        print(
            f"| {length}, {width} | forward + backward | {1e3 * t['ours']:.2f} | {ratio:.1f}x | | | | | |", flush=True
        )


def block_table(shapes: list[tuple[int, int]], repeats: int) -> None:
    print("\nMamba block, forward, against its own four matrix products run alone")
    print("| length, width | block ms | products ms | ratio |")
    print("|---|---|---|---|")
    for length, width in shapes:
        block = Mamba(width)
        x, inner = torch.randn(1, length, width), torch.randn(1, length, 2 * width)
        low = torch.randn(1, length, block.dt_rank)

        def products(block=block, x=x, inner=inner, low=low) -> None:
            block.in_proj(x)
            block.x_proj(inner)
            F.linear(low, block.dt_proj.weight)
            block.out_proj(inner)

        with torch.no_grad():
            t = medians({"block": partial(block, x), "products": products}, 5 * repeats)
        ratio = t["block"] / t["products"]
        print(f"| {length}, {width} | {1e3 * t['block']:.2f} | {1e3 * t['products']:.2f} | {ratio:.2f} |", flush=True)


def sightlines_table(repeats: int) -> None:
    """The look-ups of the shipped network for one view of four, and its small networks along the rays: crops of 128
    pixels, 64 x 64 rays, a third of them on the object."""
    views, size, grid, rays = 4, 128, 64, 1300
    turns = torch.linspace(0, 6.28 * (views - 1) / views, views)
    zero, one = torch.zeros(views), torch.ones(views)
    rows = [[turns.cos(), turns.sin(), zero], [zero, zero, one], [-turns.sin(), turns.cos(), zero]]
    M = 3.0 * torch.stack([torch.stack(row, -1) for row in rows], 1)
    o = torch.tensor([0.0, 0.0, 4.0]).expand(views, 3)
    M[:, 2] /= 3.0
    origin = -torch.linalg.solve(M[0], o[0])
    pixels = torch.cat([1.6 * torch.rand(rays, 2) - 0.8, torch.ones(rays, 1)], 1)
    lines = Sightlines(0, M, o, origin, torch.linalg.solve(M[0], pixels.T).T)
    begins, ends = torch.full((rays,), 3.2), torch.full((rays,), 4.8)
    pictures, found = torch.rand(views, size, size, 5), torch.rand(views, grid, grid, 5)
    colors, depths, own = torch.rand(views, grid, grid, 4), 3.5 + torch.rand(rays, 32), torch.rand(rays, 4)
    told, position = torch.rand(views - 1, rays * 32, 16), torch.rand(rays * 32, 6)
    half = told.bfloat16()
    of_bins, of_views, dense = layers((16, 7)), layers((16, NUM_VIEW_FEATURES), (16, 16)), layers((16, 38))
    first, second = layers((16, 16, 3), (2, 16, 3)), layers((16, 16, 3), (16, 16, 3), (1, 16, 3))
    at_bins, of_rays = torch.rand(rays, 7, 16), torch.rand(rays, 2, 16)
    asked = lines, pictures, found, depths.unflatten(1, (2, 16)), own, 0.02
    weighed = of_views, torch.rand(rays, 2, 6, 16), of_rays, *dense, second
    looks: dict[str, Callable[[str], object]] = {
        "silhouette_interval": lambda b: silhouette_interval(
            lines, pictures[..., 4], -1.0, 0.02, begins, ends, 40, backend=b
        ),
        "photometric_cost": lambda b: photometric_cost(lines, colors, begins, ends, own[:, :3], 16, backend=b),
        "sample_source_views": lambda b: sample_source_views(lines, pictures, found, depths, own, 0.02, backend=b),
        "pool_views, float32": lambda b: pool_views(told, position, backend=b),
        "pool_views, bfloat16": lambda b: pool_views(half, position, backend=b),
        "along_rays": lambda b: along_rays(at_bins, of_rays[:, 0], *of_bins, first, backend=b),
        "aggregate_views": lambda b: aggregate_views(*asked, *weighed, backend=b),
    }
    beside_reference(f"{rays} rays of one view and {views - 1} others, {size} pixels a side", looks, "torch", repeats)


def layers(*sizes: tuple[int, ...]) -> list[Layer]:
    """Random ones of weights (outputs, inputs) or (outputs, inputs, taps)."""
    return [(0.2 * torch.randn(*size), torch.randn(size[0])) for size in sizes]


def plane_table(repeats: int) -> None:
    """What the segmenter compares through the support plane: four windows of 224 pixels a side, 64 heights."""
    g = np.random.default_rng(0)
    side, points = 224, 2304
    waves = np.sin(0.1 * np.arange(side))[:, None, None] * np.cos(0.1 * np.arange(side))[None, :, None]
    picture = (50 + 40 * waves + g.normal(0, 2, (side, side, 8))).astype(np.float32)
    seen = [np.ascontiguousarray(np.dstack([picture[..., :3], picture[..., :1] > 0])) for _ in range(4)]
    flat = np.stack([np.concatenate([g.uniform(0, side, (2, points)), np.ones((1, points))]) for _ in range(4)])
    up, heights = g.uniform(-9, 9, (4, 3)) * [1, 1, 0], np.linspace(-1, 1, 64)
    ahead, to_other = np.array([0.0, 0.0, 1.0]), np.array([[1, 0.05, 3], [-0.04, 1, 2], [1e-4, 0, 1]])
    shown = through_plane((side, side), ahead, to_other, picture)[3]
    lab, chance = np.ascontiguousarray(picture[..., :3].transpose(2, 0, 1)), np.zeros((side, side), np.float32)
    compared: dict[str, Callable[[str], object]] = {
        "plane_agreement": lambda b: plane_agreement(seen, flat, up, heights, 10.0, 34, backend=b),
        "through_plane": lambda b: through_plane((side, side), ahead, to_other, picture, backend=b),
        "matches": lambda b: matches(lab, shown[:3], shown[3:6], 7.0, (6, 20), chance, backend=b),
    }
    beside_reference(f"four windows of {side} pixels a side", compared, "OpenCV and numpy", repeats)


def beside_reference(setting: str, calls: dict[str, Callable[[str], object]], theirs: str, repeats: int) -> None:
    """Each of ``calls`` by its native backend and by its reference."""
    print(f"\n| {setting} | ours ms | {theirs} ms | ratio |")
    print("|---|---|---|---|")
    for name, call in calls.items():
        with torch.no_grad():
            t = medians({backend: partial(call, backend) for backend in ("cpu", "reference")}, 10 * repeats)
        ratio = t["reference"] / t["cpu"]
        print(f"| {name} | {1e3 * t['cpu']:.2f} | {1e3 * t['reference']:.2f} | {ratio:.1f}x |", flush=True)


def cost_plot(lengths: list[int], repeats: int, path: Path) -> None:
    """Seconds and counted operations against length: 9 per state, channel and token for the scan (as the paper's table
    counts), 4 L^2 width for attention."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    print(f"\nCost against length, width {COST_WIDTH}")
    print("| length | scan GFLOP | scan ms | attention GFLOP | attention ms |")
    print("|---|---|---|---|---|")
    seconds: dict[str, dict[int, float]] = {"selective scan": {}, "attention": {}}
    for length in lengths:
        arguments = scan_arguments(length, COST_WIDTH)
        qkv = torch.randn(3, 1, 8, length, COST_WIDTH // 8)
        calls: Calls = {"selective scan": partial(selective_scan, **arguments, delta_softplus=True)}
        if length <= LARGEST_ATTENTION:
            calls["attention"] = partial(F.scaled_dot_product_attention, *qkv)
        with torch.no_grad():
            for name, value in medians(calls, repeats).items():
                seconds[name][length] = value
        scan_ops, attention_ops = 9 * length * COST_WIDTH * STATES, 4 * length**2 * COST_WIDTH
        attention = f"{1e3 * seconds['attention'][length]:.1f}" if length in seconds["attention"] else "not run"
        scan = 1e3 * seconds["selective scan"][length]
        print(f"| {length} | {scan_ops / 1e9:.2f} | {scan:.2f} | {attention_ops / 1e9:.2f} | {attention} |", flush=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    left.loglog(lengths, [9 * L * COST_WIDTH * STATES / 1e9 for L in lengths], "o-", label="selective scan")
    left.loglog(lengths, [4 * L**2 * COST_WIDTH / 1e9 for L in lengths], "s-", label="attention")
    left.set_ylabel("GFLOP, counted")
    for name, marker in (("selective scan", "o-"), ("attention", "s-")):
        right.loglog(list(seconds[name]), list(seconds[name].values()), marker, label=name)
    right.set_ylabel("seconds, measured")
    for axes in (left, right):
        axes.set_xlabel("tokens")
        axes.legend()
        axes.grid(alpha=0.3)
    figure.suptitle(f"Width {COST_WIDTH}, {STATES} states, {native.threads()} threads")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest shapes only, no plot, no rasteriser")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path, default=Path("docs/kernels_cost.png"))
    arguments = parser.parse_args()
    scan_table(SCANS[:1] if arguments.quick else SCANS, arguments.repeats)
    block_table(BLOCKS[:3] if arguments.quick else BLOCKS, arguments.repeats)
    sightlines_table(arguments.repeats)
    plane_table(arguments.repeats)
    if not arguments.quick:
        cost_plot(COST_LENGTHS, arguments.repeats, arguments.plot)
        subprocess.run([sys.executable, "-m", "benchmarks.kernels_rasterize"], check=True)


if __name__ == "__main__":
    main()
