"""Small networks along rays: what is learned of a ray's positions, from a few numbers at each.

A layer is (weight, bias) as torch keeps them: a dense one's weight is (outputs, inputs), of each position alone; a
convolution's (outputs, inputs, taps), over neighbours along the ray, zero beyond its ends, taps odd. ``backend``:
``"cpu"`` (native; forward only; float32, also inside `torch.autocast`) or ``"reference"`` (plain torch, differentiable,
any device); by default native on the CPU in float32 where no gradient is asked for. ValueError for shapes, dtypes and
devices that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels import ray_layers_cpu
from mvgamba_ros.kernels.arguments import check_shape, is_native
from mvgamba_ros.kernels.pool import pool_views
from mvgamba_ros.kernels.ray_layers_cpu import MOST_TAPS
from mvgamba_ros.kernels.ray_types import Layer, Sightlines
from mvgamba_ros.kernels.sightlines import NUM_VIEW_FEATURES, check_asked, sample_source_views


def along_rays(
    x: Tensor, of_rays: Tensor, dense: Layer, convolutions: Sequence[Layer], backend: str | None = None
) -> Tensor:
    """``dense``, then ``convolutions``, along R rays of N positions, ``x`` (R, inputs, N); a ReLU before each
    convolution. ``of_rays`` (R, outputs of ``dense``) is what is known of a whole ray, added to what ``dense`` gives.

    -> (R, outputs of the last, N)
    """
    R, inputs, _ = _sizes("x", x, "rays", "inputs", "positions")
    _check_layers(inputs, dense, *convolutions)
    check_shape("of_rays", of_rays, (R, len(dense[0])))
    if _native(backend, x, of_rays, *dense, *chain(*convolutions)):
        return ray_layers_cpu.along_rays(x, of_rays, [dense, *convolutions])
    return _convolved(F.linear(x.transpose(1, 2), *dense), of_rays, convolutions)


def aggregate_views(
    rays: Sightlines,
    pictures: Tensor,
    found: Tensor,
    depths: Tensor,
    own: Tensor,
    least_doubt: float,
    of_views: Sequence[Layer],
    beside: Tensor,
    of_rays: Tensor,
    dense: Layer,
    convolutions: Sequence[Layer],
    backend: str | None = None,
) -> Tensor:
    """Ask the other views about points, and make one answer for each point of what they say.

    ``rays``, ``pictures``, ``found``, ``own``, ``least_doubt`` as `sample_source_views` takes them; ``depths`` (R, H,
    N): H
    rows of N positions on each ray. What each view says runs through the dense ``of_views``, a ReLU after each. Mean
    and
    maximum of that over the views, joined with what else is known of a position, ``beside`` (R, H, K, N), are what
    `along_rays` makes of a row, with ``of_rays`` (R, H, outputs of ``dense``). Where there is no other view, one that
    says nothing.

    -> (R, H, outputs of the last, N)
    """
    R, H, N = _sizes("depths", depths, "rays", "rows", "positions")
    others = _sizes("beside", beside, "rays", "rows", "others", "positions")[2]
    check_shape("beside", beside, (R, H, others, N))
    check_shape("of_rays", of_rays, (R, H, len(dense[0])))
    pooled = 2 * _check_layers(NUM_VIEW_FEATURES, *of_views)
    _check_layers(pooled + others, dense, *convolutions)
    check_asked(rays, pictures, found, depths.flatten(1), own)
    if _native(backend, rays.M, depths, beside, of_rays, *chain(*of_views, dense, *convolutions)):
        asked = rays, pictures, found, depths, own, least_doubt
        return ray_layers_cpu.aggregate_views(*asked, of_views, beside, of_rays, [dense, *convolutions])
    with torch.autocast(depths.device.type, enabled=False):
        said = sample_source_views(rays, pictures, found, depths.flatten(1), own, least_doubt, backend)
    told = said if len(said) else said.new_zeros(1, *said.shape[1:])
    for layer in of_views:
        told = F.relu(F.linear(told, *layer), inplace=True)
    joined = pool_views(told.flatten(1, 2), beside.transpose(2, 3).flatten(0, 2), backend)
    x = F.linear(joined, *dense).view(R * H, N, len(dense[0]))
    return _convolved(x, of_rays.flatten(0, 1), convolutions).unflatten(0, (R, H))


def _convolved(x: Tensor, of_rays: Tensor, convolutions: Sequence[Layer]) -> Tensor:
    """What the dense layer gives, (R, N, C), which is changed, and (R, C) -> (R, outputs of the last, N)."""
    R, N, _ = x.shape
    if not R:  # silhouettes that share nothing: a picture without rows cannot be convolved
        return x.new_zeros(0, len(convolutions[-1][0]), N)
    # A copy of a ray's numbers for each position: added as a broadcast view, whose runs are a few channels long, they
    # cost many times as much. And convolutions of pictures one pixel high whose channels lie next to each other, as
    # they do already: those of rows take one order of memory only, and would copy.
    x = x.add_(of_rays.repeat_interleave(N, 0).view_as(x)).transpose(1, 2)[:, :, None]
    for weight, bias in convolutions:
        x = F.conv2d(F.relu(x, inplace=True), weight[:, :, None], bias, padding=(0, weight.shape[2] // 2))
    return x[:, :, 0]


def _native(backend: str | None, *given: Tensor) -> bool:
    fits = all(x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) for x in given)
    graded = torch.is_grad_enabled() and any(x.requires_grad for x in given)
    return is_native(backend, fits and not graded, "float32 or bfloat16 tensors on the CPU, and gives no gradients")


def _sizes(name: str, x: Tensor, *sizes: str) -> tuple[int, ...]:
    if x.ndim != len(sizes):
        raise ValueError(f"{name} must be ({', '.join(sizes)}), got {tuple(x.shape)}")
    return tuple(x.shape)


def _check_layers(inputs: int, *layers: Layer) -> int:
    """Outputs of the last. ValueError where one does not take what the one before gives, ``inputs`` the first."""
    for weight, bias in layers:
        outputs, taps = len(weight), weight.shape[2:]
        if weight.shape[1:2] != (inputs,) or len(taps) > 1 or any(t % 2 == 0 or t > MOST_TAPS for t in taps):
            raise ValueError(
                f"a weight must be (outputs, {inputs}) or (outputs, {inputs}, odd taps up to {MOST_TAPS}), "
                f"got {tuple(weight.shape)}"
            )
        check_shape("a bias", bias, (outputs,))
        inputs = outputs
    return inputs
