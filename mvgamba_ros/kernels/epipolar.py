"""Sampling the source views along rays of a reference view, by projection onto their epipolar lines.

Three look-ups before and between the layers of the network, in which nothing is learned: `silhouette_interval`, where
all silhouettes agree (the visual hull along a ray); `photometric_cost`, the plane-sweep cost of depth hypotheses; and
`sample_source_views`, the multi-view features of depth hypotheses near depth maps that the views already have. Each
projects points of rays into the source views and reads their pictures there.

No gradient flows. ``backend``: ``"cpu"`` (native, float32) or ``"reference"`` (plain torch, any device); by default
float32 on the CPU is native. ValueError for shapes, dtypes and devices that do not fit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels import epipolar_cpu
from mvgamba_ros.kernels.arguments import check_at_least, is_native
from mvgamba_ros.kernels.ray_types import (
    ALPHA,
    COLOR,
    DEPTH,
    GREY,
    NUM_VIEW_FEATURES,
    SIGMA,
    VALID,
    EpipolarRays,
    SourceViews,
)


@torch.no_grad()
def silhouette_interval(
    rays: EpipolarRays,
    alpha: Tensor,
    floor: float,
    softness: float,
    begins: Tensor,
    ends: Tensor,
    steps: int,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """First and last depth of each ray, (R,) both, at which all silhouettes ``alpha`` (V, S, S) are above a half.

    Sampled at ``steps`` depths from ``begins`` to ``ends`` (R,); where the least silhouette crosses a half is
    interpolated between two. 0 and 0 where there is none. Below the horizontal plane z = ``floor`` nothing is inside;
    the silhouettes' part is there played by a ramp as high as ``softness``.
    """
    R, V = _sizes(rays)
    check_at_least("steps", steps, 2)
    _check(rays, alpha=(alpha, (V, None, None)), begins=(begins, (R,)), ends=(ends, (R,)))
    if _native(backend, rays):
        return epipolar_cpu.silhouette_interval(rays, alpha, floor, softness, begins, ends, steps)
    t = begins[:, None] + (ends - begins)[:, None] * torch.linspace(0, 1, steps, device=begins.device)
    height = rays.origin[2] + t * rays.directions[:, 2:]
    inside = ((height - floor) / softness + 0.5).clamp(0, 1)
    for view in rays.sources:
        inside = torch.minimum(inside, _sample(alpha[view][..., None], rays.project(view, t)[0])[..., 0])
    return _crossings(inside, t)


@torch.no_grad()
def photometric_cost(
    rays: EpipolarRays,
    colors: Tensor,
    near: Tensor,
    far: Tensor,
    reference_colors: Tensor,
    bins: int,
    backend: str | None = None,
) -> Tensor:
    """Plane-sweep cost: how much the source views' colours differ from each ray's ``reference_colors`` (R, 3) at
    ``bins`` depths from ``near`` to ``far`` (R,).

    ``colors`` (V, G, G, 4): red, green, blue, and how much of the pixel the object covers; where that is at most a half
    the view does not count. -> (R, 2, bins): mean and least absolute difference over the views that count; 1 where none
    does.
    """
    R, V = _sizes(rays)
    check_at_least("bins", bins, 1)
    _check(rays, colors=(colors, (V, None, None, 4)), near=(near, (R,)), far=(far, (R,)))
    _check(rays, reference_colors=(reference_colors, (R, 3)))
    if _native(backend, rays):
        return epipolar_cpu.photometric_cost(rays, colors, near, far, reference_colors, bins)
    t = near[:, None] + (far - near)[:, None] * ((torch.arange(bins, device=near.device) + 0.5) / bins)
    total, seen, least = torch.zeros_like(t), torch.zeros_like(t), torch.ones_like(t)
    for view in rays.sources:
        sampled = _sample(colors[view], rays.project(view, t)[0])
        valid = sampled[..., 3] > 0.5
        difference = (sampled[..., :3] - reference_colors[:, None]).abs().mean(-1)
        total = total + torch.where(valid, difference, 0)
        seen = seen + valid
        least = torch.where(valid, torch.minimum(least, difference), least)
    return torch.stack([torch.where(seen > 0, total / seen.clamp(min=1), 1), least], 1)


@torch.no_grad()
def sample_source_views(
    rays: EpipolarRays, sources: SourceViews, reference_colors: Tensor, depths: Tensor, backend: str | None = None
) -> Tensor:
    """Multi-view features of the points at depth hypotheses ``depths`` (R, N) of rays whose own colours and locally
    normalised grey are ``reference_colors`` (R, 4).

    -> (V - 1, R, N, NUM_VIEW_FEATURES), the source views in their order; columns as `ViewFeature`.
    """
    check_source_views(rays, sources, reference_colors, depths)
    if _native(backend, rays):
        return epipolar_cpu.sample_source_views(rays, sources, reference_colors, depths)
    features = []
    for view in rays.sources:
        at, z = rays.project(view, depths)
        picture, surface = _sample(sources.pictures[view], at), _sample(sources.depth_maps[view], at, "nearest")
        difference = (picture[..., : GREY.stop] - reference_colors[:, None]).abs()
        sigma = surface[..., SIGMA] + sources.min_sigma
        behind = torch.tanh((z[..., None] - surface[..., DEPTH]) / (2 * sigma))
        where_valid = [
            difference[..., COLOR].mean(-1, keepdim=True),
            difference[..., GREY].clamp(max=3) / 3,
            torch.stack([behind, behind.abs()], -1).flatten(-2),
            sources.min_sigma / sigma,
            torch.ones_like(surface[..., VALID]),
        ]
        features.append(torch.cat([torch.cat(where_valid, -1) * surface[..., VALID], picture[..., ALPHA]], -1))
    return torch.stack(features) if features else depths.new_zeros(0, *depths.shape, NUM_VIEW_FEATURES)


def check_source_views(rays: EpipolarRays, sources: SourceViews, reference_colors: Tensor, depths: Tensor) -> None:
    """Raises ValueError where these are not as `sample_source_views` takes them."""
    R, V = _sizes(rays)
    square = (V, None, None, 5)
    _check(rays, pictures=(sources.pictures, square), depth_maps=(sources.depth_maps, square))
    _check(rays, depths=(depths, (R, None)), reference_colors=(reference_colors, (R, 4)))


def _sizes(rays: EpipolarRays) -> tuple[int, int]:
    """How many rays there are, and views. Raises ValueError where the rays' shapes do not fit each other."""
    R, V = len(rays.directions), len(rays.M)
    _check(rays, M=(rays.M, (V, 3, 3)), o=(rays.o, (V, 3)), origin=(rays.origin, (3,)))
    _check(rays, directions=(rays.directions, (R, 3)))
    if not 0 <= rays.view < V:
        raise ValueError(f"view must be one of {V}, got {rays.view}")
    return R, V


def _check(rays: EpipolarRays, **expected: tuple[Tensor, tuple[int | None, ...]]) -> None:
    """Raises ValueError where a tensor is not as expected, None standing for any size; pictures must be square, of at
    least one pixel."""
    for name, (x, shape) in expected.items():
        fits = x.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, x.shape, strict=True))
        if not fits or (shape[1:3] == (None, None) and (x.shape[1] != x.shape[2] or not x.shape[1])):
            sizes = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(
                f"{name} must be ({sizes}), pictures square and of at least one pixel, got {tuple(x.shape)}"
            )
        if x.dtype != rays.M.dtype or x.device != rays.M.device:
            raise ValueError(f"{name} must be {rays.M.dtype} on {rays.M.device} like M, got {x.dtype} on {x.device}")


def _native(backend: str | None, rays: EpipolarRays) -> bool:
    fits = rays.M.device.type == "cpu" and rays.M.dtype == torch.float32
    return is_native(backend, fits, f"float32 tensors on the CPU, not {rays.M.dtype} on {rays.M.device}")


def _sample(picture: Tensor, at: Tensor, mode: str = "bilinear") -> Tensor:
    """``picture`` (S, S, C) at image positions ``at`` (R, N, 2), 0 outside. -> (R, N, C)"""
    return F.grid_sample(picture.permute(2, 0, 1)[None], at[None], mode, align_corners=False)[0].permute(1, 2, 0)


def _crossings(inside: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """First rise above and last fall below 0.5 along rows of ``inside`` (R, steps) at depths ``t``; 0, 0 where none."""
    steps = inside.shape[1]
    hit = inside > 0.5
    some = hit.any(1)
    places = torch.arange(steps, device=t.device)
    first = torch.where(hit, places, steps).amin(1).clamp(max=steps - 1)
    last = torch.where(hit, places, -1).amax(1).clamp(min=0)

    def between(i: Tensor, j: Tensor) -> Tensor:
        """Depth at which the line from sample i (inside) to its neighbour j (outside) passes 0.5."""
        ai, aj = inside.gather(1, i[:, None])[:, 0], inside.gather(1, j[:, None])[:, 0]
        ti, tj = t.gather(1, i[:, None])[:, 0], t.gather(1, j[:, None])[:, 0]
        share = ((ai - 0.5) / (ai - aj).clamp(min=1e-6)).clamp(0, 1)
        return torch.where(i == j, ti, ti + share * (tj - ti))

    near = between(first, (first - 1).clamp(min=0))
    far = between(last, (last + 1).clamp(max=steps - 1))
    return torch.where(some, near, 0), torch.where(some, far, 0)
