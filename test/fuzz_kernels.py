"""Fuzz target of the native kernels: random calls of every one, and what must hold of each.

    python test/fuzz_kernels.py [--seconds 60] [--seed 0]

Sizes from none to a few vectors; numbers that are ordinary, huge, subnormal, infinite and NaN; memory in any order and
with any strides; wrong dtypes and shapes. A call answers, or raises ValueError or MemoryError. What it answers does not
depend on how its arguments lie in memory, nor on what else is in memory (it is the same the second time, to the bit),
and it leaves its arguments as they are. Beyond an argument's borders nothing may be read or written:
`make fuzz-kernels` runs this under the address and undefined-behaviour sanitizers. One seed, one call: the message of a
failure names it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from mvgamba_ros.kernels.conv import causal_conv1d
from mvgamba_ros.kernels.epipolar import photometric_cost, sample_source_views, silhouette_interval
from mvgamba_ros.kernels.homography import match_colors, plane_sweep, warp_by_homography
from mvgamba_ros.kernels.pool import pool_views
from mvgamba_ros.kernels.rasterize import rasterize
from mvgamba_ros.kernels.ray_layers import aggregate_views, along_rays
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, EpipolarRays, Layer, RayMLP, SourceViews
from mvgamba_ros.kernels.scan import selective_scan

SIZES = (0, 1, 1, 2, 3, 4, 5, 8, 15, 16, 17, 33)
ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 3.4e38, 1e-40, 16777216.0, 2147483648.0)
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def size(g: Generator, least: int = 0) -> int:
    return max(int(g.choice(SIZES)), least)


def numbers(g: Generator, *shape: int, dtype: Any = np.float32) -> Any:
    """An array, some of whose numbers may be odd, rarely of another shape or dtype than asked for, in some layout."""
    if g.random() < 0.01:
        shape = tuple(max(0, n + int(g.integers(-1, 2))) for n in shape)
    x = g.normal(0, g.choice([0.1, 1.0, 50.0]), shape)
    if g.random() < 0.3:
        odd = g.random(shape) < g.choice([0.02, 0.5, 1.0])
        x = np.where(odd, g.choice(ODD, shape), x)
    with np.errstate(all="ignore"):
        x = x.astype(g.choice([np.float64, np.float16, np.int32, np.bool_]) if g.random() < 0.01 else dtype)
    return in_some_layout(g, x)


def in_some_layout(g: Generator, x: Any) -> Any:
    """The same numbers, perhaps in another order in memory or with gaps between them."""
    kind = g.integers(0, 6)
    if kind == 1 and x.ndim > 1:
        return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    if kind == 2 and x.ndim > 1:
        return np.asfortranarray(x)
    if kind == 3 and x.ndim:
        gaps = np.full((*x.shape[:-1], 3 * x.shape[-1]), 7, x.dtype)
        gaps[..., 1::3] = x
        return gaps[..., 1::3]
    if kind == 4 and x.ndim:
        return np.ascontiguousarray(x[::-1])[::-1]
    return x


def tensor(g: Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    x = numbers(g, *shape)
    x = np.ascontiguousarray(x) if any(stride < 0 for stride in x.strides) else x
    made = torch.from_numpy(x)
    return made.to(dtype) if dtype != torch.float32 else made


def scan(g: Generator) -> Call:
    batch, width, length, states = (size(g) for _ in range(4))
    inputs = [tensor(g, batch, width, length) for _ in range(2)]
    matrices = [tensor(g, width, states), *(tensor(g, batch, states, length) for _ in range(2))]
    others = [tensor(g, *s) if g.random() < 0.7 else None for s in ((width,), (batch, width, length), (width,))]
    return selective_scan, (*inputs, *matrices, *others), {"delta_softplus": bool(g.random() < 0.5)}


def conv(g: Generator) -> Call:
    width, bias = size(g), g.random() < 0.7
    x = tensor(g, size(g), size(g), width)
    return causal_conv1d, (x, tensor(g, width, size(g)), tensor(g, width) if bias else None, bool(g.random() < 0.5)), {}


def pool(g: Generator) -> Call:
    points, dtype = size(g), torch.float32 if g.random() < 0.5 else torch.bfloat16
    return pool_views, (tensor(g, size(g), points, size(g), dtype=dtype), tensor(g, points, size(g))), {}


def rays_of(g: Generator) -> tuple[EpipolarRays, int, int]:
    views, rays = max(1, min(size(g), 5)), size(g)
    view = int(g.integers(0, views)) if g.random() < 0.98 else views
    return (
        EpipolarRays(view, tensor(g, views, 3, 3), tensor(g, views, 3), tensor(g, 3), tensor(g, rays, 3)),
        views,
        rays,
    )


def silhouettes(g: Generator) -> Call:
    rays, views, count = rays_of(g)
    side, steps = size(g), int(g.integers(0, 66))
    floor, softness = (float(x) for x in numbers(g, 2).ravel()[:1].repeat(2))
    alpha = tensor(g, views, side, side)
    return silhouette_interval, (rays, alpha, floor, softness, tensor(g, count), tensor(g, count), steps), {}


def costs(g: Generator) -> Call:
    rays, views, count = rays_of(g)
    side = size(g)
    lengths = tensor(g, count), tensor(g, count), tensor(g, count, 3)
    return photometric_cost, (rays, tensor(g, views, side, side, 4), *lengths, size(g)), {}


def sources_of(g: Generator, views: int) -> SourceViews:
    side, grid = size(g), size(g)
    return SourceViews(tensor(g, views, side, side, 5), tensor(g, views, grid, grid, 5), float(g.choice([0.0, 0.01])))


def samples(g: Generator) -> Call:
    rays, views, count = rays_of(g)
    return sample_source_views, (rays, sources_of(g, views), tensor(g, count, 4), tensor(g, count, size(g))), {}


def layer(g: Generator, outputs: int, inputs: int, *taps: int) -> Layer:
    return tensor(g, outputs, inputs, *taps), tensor(g, outputs)


def network(g: Generator, inputs: int, *view_layers: Layer) -> tuple[RayMLP, int]:
    """A network, and how many outputs its first layer has."""
    first, middle, last = (size(g, least=int(g.random() < 0.95)) for _ in range(3))
    taps = [int(g.choice([1, 3, 5, 9])) for _ in range(2)]
    convolutions = (layer(g, middle, first, taps[0]), layer(g, last, middle, taps[1]))
    return RayMLP(layer(g, first, inputs), convolutions[: int(g.integers(0, 3))], view_layers), first


def along(g: Generator) -> Call:
    rays, inputs = size(g), size(g)
    mlp, first = network(g, inputs)
    return along_rays, (tensor(g, rays, inputs, size(g)), tensor(g, rays, first), mlp), {}


def aggregate(g: Generator) -> Call:
    rays, views, count = rays_of(g)
    rows, positions, others, pooled = (size(g) for _ in range(4))
    layers = [layer(g, pooled, NUM_VIEW_FEATURES)] if g.random() < 0.8 else []
    mlp, first = network(g, 2 * (pooled if layers else NUM_VIEW_FEATURES) + others, *layers)
    given = rays, sources_of(g, views), tensor(g, count, 4), tensor(g, count, rows, positions), mlp
    features = tensor(g, count, rows, others, positions), tensor(g, count, rows, first)
    return aggregate_views, (*given, *features), {}


def sweep(g: Generator) -> Call:
    views, points = min(size(g), 4), size(g) * size(g)
    pictures = [numbers(g, size(g), size(g), 4) for _ in range(views)]
    planes = numbers(g, views, 3, points, dtype=np.float64), numbers(g, views, 3, dtype=np.float64)
    heights = numbers(g, size(g), dtype=np.float64)
    return plane_sweep, (pictures, *planes, heights, float(g.choice([0.0, 30.0])), int(g.integers(-1, 30))), {}


def warp(g: Generator) -> Call:
    homography = numbers(g, 3, 3, dtype=np.float64)
    if homography.shape == (3, 3) and g.random() < 0.7:
        homography = np.eye(3) + 1e-3 * homography
    return warp_by_homography, ((size(g), size(g)), numbers(g, 3), homography, numbers(g, size(g), size(g), 8)), {}


def matches(g: Generator) -> Call:
    height, width = size(g), size(g)
    lab, lower, upper = (numbers(g, 3, height, width) for _ in range(3))
    offsets = [int(x) for x in g.choice([0, 1, 2, -3, 17, 60, -1000, 10**7, 2**62, -(2**63)], int(g.integers(0, 4)))]
    return match_colors, (lab, lower, upper, float(g.uniform(0, 60)), offsets, numbers(g, height, width)), {}


def gaussians(g: Generator) -> Call:
    scenes, views, count = min(size(g), 2), min(size(g), 3), size(g)
    widths, heights = int(g.choice([0, 1, 31, 32, 65])), int(g.choice([1, 8, 33]))
    shapes = ((scenes, count, 3), (scenes, count, 4), (scenes, count, 3), (scenes, count), (scenes, count, 3))
    means, quats, scales, opacities, colors = (tensor(g, *shape) for shape in shapes)
    if means.shape[-1] == 3 and g.random() < 0.7:  # in view, and of a size that is
        means = means * 0.3 + torch.tensor([0.0, 0.0, 2.0], dtype=means.dtype)
        scales, opacities = 0.05 * scales, (0.5 + 0.5 * opacities)
    T, K = torch.eye(4).expand(scenes, views, 4, 4), torch.tensor([[30.0, 0, 16], [0, 30, 16], [0, 0, 1]])
    K = K.expand(scenes, views, 3, 3)
    if g.random() < 0.2:
        T, K = tensor(g, scenes, views, 4, 4), tensor(g, scenes, views, 3, 3)
    return rasterize, (means, quats, scales, opacities, colors, T, K, widths, heights), {}


KINDS = (scan, conv, pool, silhouettes, costs, samples, along, aggregate, sweep, warp, matches, gaussians)
DIFFERENTIABLE = (selective_scan, causal_conv1d, pool_views, rasterize)


def mapped(x: Any, change: Callable[[Any], Any]) -> Any:
    """``x`` with ``change`` of every tensor and array in it."""
    if isinstance(x, (Tensor, np.ndarray)):
        return change(x)
    if isinstance(x, (EpipolarRays, SourceViews, RayMLP)):
        return type(x)(**{name: mapped(value, change) for name, value in vars(x).items()})
    return type(x)(mapped(item, change) for item in x) if type(x) in (tuple, list) else x


def dense(x: Any) -> Any:
    """A copy in the usual order."""
    return x.detach().clone(memory_format=torch.contiguous_format) if isinstance(x, Tensor) else x.copy(order="C")


def flat(x: Any) -> list[Any]:
    """Every tensor and array in ``x``, as arrays of bits (a NaN is like any other)."""
    found: list[Any] = []
    mapped(tuple(x) if isinstance(x, tuple) else (x,), lambda y: found.append(y) or y)
    arrays = [y.detach().float().numpy() if isinstance(y, Tensor) else y for y in found]
    return [np.where(np.isnan(y), np.float32(0.5), y) if y.dtype.kind == "f" else y for y in arrays]


def same(a: Any, b: Any) -> bool:
    return all(x.shape == y.shape and np.array_equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


def answer(call: Call, arguments: Any, gradients: bool) -> Any:
    """What a call answers, or the class of what it raises; with its gradients, where it has some."""
    function, _, options = call
    leaves: list[Tensor] = []

    def leaf(x: Any) -> Any:
        leaves.append(x.detach().requires_grad_())
        return leaves[-1]

    if gradients:
        arguments = tuple(leaf(x) if isinstance(x, Tensor) and x.is_floating_point() else x for x in arguments)
    try:
        out = function(*arguments, **options, backend="cpu")
    except (ValueError, MemoryError) as error:
        return type(error).__name__
    if not gradients:
        return out
    images = out if isinstance(out, tuple) else (out,)
    total = sum((x * torch.arange(x.numel()).view(x.shape).to(x)).sum() for x in images if x.requires_grad)
    given = torch.autograd.grad(total, leaves, allow_unused=True) if isinstance(total, Tensor) else ()
    return (*images, *(x for x in given if x is not None))


def run_one(seed: int) -> str:
    """One random call. -> The name of its kind and "answered" or "refused"."""
    g = np.random.default_rng(seed)
    kind = KINDS[int(g.integers(0, len(KINDS)))]
    torch.set_num_threads(int(g.choice([1, 1, 2, 3])))
    call = kind(g)
    gradients = call[0] in DIFFERENTIABLE and g.random() < 0.6
    usual = mapped(call[1], dense)
    first = answer(call, call[1], gradients)
    second = answer(call, usual, gradients)
    name = f"seed {seed}: {kind.__name__}"
    assert same(call[1], usual), f"{name} changed its arguments"
    if isinstance(first, str) or isinstance(second, str):
        assert first == second, f"{name}: {first} as given, {second} in the usual order of memory"
        return f"{kind.__name__} refused"
    assert same(first, second), f"{name} depends on the order in memory"
    return f"{kind.__name__} answered"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    np.seterr(all="ignore")
    until, seed, counts = time.monotonic() + given.seconds, given.seed, dict[str, int]()
    while time.monotonic() < until:
        kind = run_one(seed)
        counts[kind] = counts.get(kind, 0) + 1
        seed += 1
    print(f"seeds {given.seed} to {seed - 1}: " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
