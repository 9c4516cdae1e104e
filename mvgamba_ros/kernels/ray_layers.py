"""Small networks along rays: dense layers and convolutions over a ray's positions, from a few features at each.

Layers are a `RayMLP`. ``backend``: ``"cpu"`` (native; forward only) or ``"reference"`` (plain torch, differentiable,
any device); by default native on the CPU in float32 where no gradient is needed. Where none is, both are float32 also
inside `torch.autocast`, so that a GPU's depths are as fine as the CPU's. ValueError for shapes, dtypes and devices that
do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels import ray_layers_cpu
from mvgamba_ros.kernels.arguments import check_shape, is_native
from mvgamba_ros.kernels.autocast import autocasts, promote
from mvgamba_ros.kernels.epipolar import check_source_views, sample_source_views
from mvgamba_ros.kernels.pool import pool_views
from mvgamba_ros.kernels.ray_layers_cpu import MAX_TAPS
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, EpipolarRays, Layer, RayMLP, SourceViews


def along_rays(position_features: Tensor, ray_features: Tensor, mlp: RayMLP, backend: str | None = None) -> Tensor:
    """``mlp``, which has no view layers, along R rays of N positions: ``position_features`` (R, inputs, N),
    ``ray_features`` (R, outputs of the position layer).

    -> (R, outputs of the last layer, N)
    """
    x, dense = position_features, mlp.position_layer
    R, inputs, _ = _sizes("position_features", x, "rays", "inputs", "positions")
    if mlp.view_layers:
        raise ValueError("along_rays samples no views: the network must have no view_layers")
    _check_layers(inputs, *mlp.along)
    check_shape("ray_features", ray_features, (R, len(dense[0])))
    if _native(backend, x, ray_features, *chain(*mlp.along)):
        return ray_layers_cpu.along_rays(x, ray_features, mlp)
    with _float32_without_gradient(x, ray_features, *chain(*mlp.along)) as (x, ray_features, *_):
        return _convolved(F.linear(x.transpose(1, 2), *dense), ray_features, mlp.convolutions)


def aggregate_views(
    rays: EpipolarRays,
    sources: SourceViews,
    reference_colors: Tensor,
    depths: Tensor,
    mlp: RayMLP,
    position_features: Tensor,
    ray_features: Tensor,
    backend: str | None = None,
) -> Tensor:
    """Sample the source views at depth hypotheses and aggregate their features, as multi-view stereo does over the
    views of a cost volume.

    ``rays``, ``sources``, ``reference_colors`` as `sample_source_views` takes them; ``depths`` (R, H, N): H rows of N
    hypotheses on each ray. The features of each source view run through the view layers of ``mlp``; mean and maximum
    over the views, joined with ``position_features`` (R, H, K, N), go along each row as in `along_rays`, with
    ``ray_features`` (R, H, outputs of the position layer). Without a source view, one whose features are all 0.

    -> (R, H, outputs of the last layer, N)
    """
    dense = mlp.position_layer
    R, H, N = _sizes("depths", depths, "rays", "rows", "positions")
    others = _sizes("position_features", position_features, "rays", "rows", "others", "positions")[2]
    check_shape("position_features", position_features, (R, H, others, N))
    check_shape("ray_features", ray_features, (R, H, len(dense[0])))
    pooled = 2 * _check_layers(NUM_VIEW_FEATURES, *mlp.view_layers)
    _check_layers(pooled + others, *mlp.along)
    check_source_views(rays, sources, reference_colors, depths.flatten(1))
    layers = [*chain(*mlp.view_layers, *mlp.along)]
    if _native(backend, rays.M, depths, position_features, ray_features, *layers):
        samples = rays, sources, reference_colors, depths
        return ray_layers_cpu.aggregate_views(*samples, mlp, position_features, ray_features)
    with torch.autocast(depths.device.type, enabled=False):
        features = sample_source_views(rays, sources, reference_colors, depths.flatten(1), backend)
    features = features if len(features) else features.new_zeros(1, *features.shape[1:])
    with _float32_without_gradient(features, position_features, ray_features, *layers) as (features, at, of_ray, *_):
        for layer in mlp.view_layers:
            features = F.relu(F.linear(features, *layer), inplace=True)
        joined = pool_views(features.flatten(1, 2), at.transpose(2, 3).flatten(0, 2), backend)
        x = F.linear(joined, *dense).view(R * H, N, len(dense[0]))
        return _convolved(x, of_ray.flatten(0, 1), mlp.convolutions).unflatten(0, (R, H))


@contextmanager
def _float32_without_gradient(*given: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """``given``, in float32 and outside `torch.autocast` where inside of it no gradient is needed; else as they are."""
    if _graded(given) or not autocasts(given[0].device.type):
        yield given
        return
    promoted = promote(*given)
    with torch.autocast(given[0].device.type, enabled=False):
        yield promoted


def _graded(given: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in given)


def _convolved(x: Tensor, ray_features: Tensor, convolutions: Sequence[Layer]) -> Tensor:
    """Outputs ``x`` (R, N, C) of the position layer, changed in place, and (R, C) -> (R, outputs of the last, N)."""
    R, N, _ = x.shape
    if not R:  # silhouettes that share nothing: a picture without rows cannot be convolved
        return x.new_zeros(0, len(convolutions[-1][0]), N)
    # A copy of a ray's numbers for each position: added as a broadcast view, whose runs are a few channels long, they
    # cost many times as much. And convolutions of pictures one pixel high whose channels lie next to each other, as
    # they do already: those of rows take one order of memory only, and would copy.
    x = x.add_(ray_features.repeat_interleave(N, 0).view_as(x)).transpose(1, 2)[:, :, None]
    for weight, bias in convolutions:
        x = F.conv2d(F.relu(x, inplace=True), weight[:, :, None], bias, padding=(0, weight.shape[2] // 2))
    return x[:, :, 0]


def _native(backend: str | None, *given: Tensor) -> bool:
    fits = all(x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) for x in given)
    return is_native(
        backend, fits and not _graded(given), "float32 or bfloat16 tensors on the CPU, and gives no gradients"
    )


def _sizes(name: str, x: Tensor, *sizes: str) -> tuple[int, ...]:
    if x.ndim != len(sizes):
        raise ValueError(f"{name} must be ({', '.join(sizes)}), got {tuple(x.shape)}")
    return tuple(x.shape)


def _check_layers(inputs: int, *layers: Layer) -> int:
    """Outputs of the last. ValueError where one does not take what the one before gives, ``inputs`` the first."""
    for weight, bias in layers:
        outputs, taps = len(weight), weight.shape[2:]
        if (
            not outputs
            or weight.shape[1:2] != (inputs,)
            or len(taps) > 1
            or any(t % 2 == 0 or t > MAX_TAPS for t in taps)
        ):
            raise ValueError(
                f"a weight must be (outputs, {inputs}) or (outputs, {inputs}, odd taps up to {MAX_TAPS}), "
                f"got {tuple(weight.shape)}"
            )
        check_shape("a bias", bias, (outputs,))
        inputs = outputs
    return inputs
