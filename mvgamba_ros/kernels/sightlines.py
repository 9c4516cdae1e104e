"""What the other views of a scene show along the rays of one of them.

Three look-ups before and between the layers of the network, in which nothing is learned: where all silhouettes agree,
how well colours agree there, and what views that have found a surface make of points near it. Each projects points of
rays into the other views and reads their pictures there.

All three take the V views of a scene and the rays of view ``view``, which is not asked itself. ``M`` (V, 3, 3) and
``o`` (V, 3) project: ``M x + o`` is a homogeneous image position, the picture being [-1, 1]^2. ``origin`` (3,) and
``directions`` (R, 3) of the rays: ``origin + depth * direction`` is the point at z-depth ``depth``. Lengths are in
whatever unit these are in. No gradient flows. ``backend``: ``"cpu"`` (native, float32) or ``"reference"`` (plain torch,
any device); by default float32 on the CPU is native. ValueError for shapes, dtypes and devices that do not fit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels import sightlines_cpu
from mvgamba_ros.kernels.arguments import is_native
from mvgamba_ros.kernels.ray_types import Sightlines

NUM_VIEW_FEATURES = sightlines_cpu.NUM_VIEW_FEATURES
"""What a view says of a point, see `sample_source_views`."""


@torch.no_grad()
def silhouette_interval(
    rays: Sightlines,
    alpha: Tensor,
    floor: float,
    softness: float,
    begins: Tensor,
    ends: Tensor,
    steps: int,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """First and last depth of each ray, (R,) both, at which all silhouettes ``alpha`` (V, S, S) are above a half.

    Looked for at ``steps`` depths from ``begins`` to ``ends`` (R,); where the least silhouette crosses a half is
    interpolated between two. 0 and 0 where there is none. Below the horizontal plane z = ``floor`` nothing is inside;
    the silhouettes' part is there played by a ramp as high as ``softness``.
    """
    R, V = _sizes(rays)
    _check(rays, alpha=(alpha, (V, None, None)), begins=(begins, (R,)), ends=(ends, (R,)))
    if _native(backend, rays):
        return sightlines_cpu.silhouette_interval(rays, alpha, floor, softness, begins, ends, steps)
    t = begins[:, None] + (ends - begins)[:, None] * torch.linspace(0, 1, steps, device=begins.device)
    height = rays.origin[2] + t * rays.directions[:, 2:]
    inside = ((height - floor) / softness + 0.5).clamp(0, 1)
    for view in rays.others:
        inside = torch.minimum(inside, _between_pixels(alpha[view][..., None], rays.seen_from(view, t)[0])[..., 0])
    return _crossings(inside, t)


@torch.no_grad()
def photometric_cost(
    rays: Sightlines, colors: Tensor, near: Tensor, far: Tensor, own: Tensor, bins: int, backend: str | None = None
) -> Tensor:
    """How much other views' colours differ from each ray's ``own`` (R, 3), at ``bins`` depths from near to far (R,).

    ``colors`` (V, G, G, 4): red, green, blue, and how much of the pixel the object covers; below a half the view knows
    nothing. -> (R, 2, bins): mean and least absolute difference over the views that know; 1 where none does.
    """
    R, V = _sizes(rays)
    _check(rays, colors=(colors, (V, None, None, 4)), near=(near, (R,)), far=(far, (R,)), own=(own, (R, 3)))
    if _native(backend, rays):
        return sightlines_cpu.photometric_cost(rays, colors, near, far, own, bins)
    t = near[:, None] + (far - near)[:, None] * ((torch.arange(bins, device=near.device) + 0.5) / bins)
    total, seen, least = torch.zeros_like(t), torch.zeros_like(t), torch.ones_like(t)
    for view in rays.others:
        look = _between_pixels(colors[view], rays.seen_from(view, t)[0])
        known = look[..., 3] > 0.5
        unlike = (look[..., :3] - own[:, None]).abs().mean(-1)
        total = total + torch.where(known, unlike, 0)
        seen = seen + known
        least = torch.where(known, torch.minimum(least, unlike), least)
    return torch.stack([torch.where(seen > 0, total / seen.clamp(min=1), 1), least], 1)


@torch.no_grad()
def sample_source_views(
    rays: Sightlines,
    pictures: Tensor,
    found: Tensor,
    depths: Tensor,
    own: Tensor,
    least_doubt: float,
    backend: str | None = None,
) -> Tensor:
    """What the other views say of the points at ``depths`` (R, N) of rays that look like ``own`` (R, 4).

    ``pictures`` (V, S, S, 5): red, green, blue, a grey free of exposure, silhouette. ``found`` (V, G, G, 5): z-depths
    of the view's first hit and last exit, the standard deviations of both, and 1 where it knows them.

    -> (V - 1, R, N, NUM_VIEW_FEATURES), the others in their order: difference of colour and of that grey; how far the
    point lies behind the first hit, by its doubt, with a sign and without, and behind the last exit, likewise; how
    sure the view
    is of both; whether it knows at all, all before being 0 where not; and its silhouette.
    """
    check_asked(rays, pictures, found, depths, own)
    if _native(backend, rays):
        return sightlines_cpu.sample_source_views(rays, pictures, found, depths, own, least_doubt)
    answers = []
    for view in rays.others:
        at, z = rays.seen_from(view, depths)
        look, there = _between_pixels(pictures[view], at), _between_pixels(found[view], at, "nearest")
        known = there[..., 4:]
        unlike = (look[..., :4] - own[:, None]).abs()
        doubt = there[..., 2:4] + least_doubt
        behind = torch.tanh((z[..., None] - there[..., :2]) / (2 * doubt))
        said = [
            unlike[..., :3].mean(-1, keepdim=True),
            unlike[..., 3:].clamp(max=3) / 3,
            torch.stack([behind, behind.abs()], -1).flatten(-2),
            least_doubt / doubt,
            torch.ones_like(known),
        ]
        answers.append(torch.cat([torch.cat(said, -1) * known, look[..., 4:]], -1))
    return torch.stack(answers) if answers else depths.new_zeros(0, *depths.shape, NUM_VIEW_FEATURES)


def check_asked(rays: Sightlines, pictures: Tensor, found: Tensor, depths: Tensor, own: Tensor) -> None:
    """Raises ValueError where these are not as `sample_source_views` takes them."""
    R, V = _sizes(rays)
    _check(rays, pictures=(pictures, (V, None, None, 5)), found=(found, (V, None, None, 5)))
    _check(rays, depths=(depths, (R, None)), own=(own, (R, 4)))


def _sizes(rays: Sightlines) -> tuple[int, int]:
    """How many rays there are, and views. Raises ValueError where the lines' shapes do not fit each other."""
    R, V = len(rays.directions), len(rays.M)
    _check(rays, M=(rays.M, (V, 3, 3)), o=(rays.o, (V, 3)), origin=(rays.origin, (3,)))
    _check(rays, directions=(rays.directions, (R, 3)))
    if not 0 <= rays.view < V:
        raise ValueError(f"view must be one of {V}, got {rays.view}")
    return R, V


def _check(rays: Sightlines, **expected: tuple[Tensor, tuple[int | None, ...]]) -> None:
    """Raises ValueError where a tensor is not as expected, None standing for any size; pictures must be square."""
    for name, (x, shape) in expected.items():
        fits = x.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, x.shape, strict=True))
        if not fits or (shape[1:3] == (None, None) and x.shape[1] != x.shape[2]):
            sizes = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(f"{name} must be ({sizes}), pictures square, got {tuple(x.shape)}")
        if x.dtype != rays.M.dtype or x.device != rays.M.device:
            raise ValueError(f"{name} must be {rays.M.dtype} on {rays.M.device} like M, got {x.dtype} on {x.device}")


def _native(backend: str | None, rays: Sightlines) -> bool:
    fits = rays.M.device.type == "cpu" and rays.M.dtype == torch.float32
    return is_native(backend, fits, f"float32 tensors on the CPU, not {rays.M.dtype} on {rays.M.device}")


def _between_pixels(picture: Tensor, at: Tensor, mode: str = "bilinear") -> Tensor:
    """``picture`` (S, S, C) at (R, N, 2), 0 outside. -> (R, N, C)"""
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
