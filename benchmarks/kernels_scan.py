"""The selective scan and the Mamba block, timed: tables and the plot of `benchmarks.kernels`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Calls, medians
from mvgamba_ros.kernels import native, selective_scan
from mvgamba_ros.model.mamba import Mamba

STATES = 16
COST_WIDTH = 512
LARGEST_ATTENTION = 8192  # beyond it one call takes minutes on two cores


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
