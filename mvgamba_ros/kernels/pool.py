"""Pooling of features over source views: mean and maximum."""

from __future__ import annotations

import torch
from torch import Tensor

from mvgamba_ros.kernels.arguments import is_native
from mvgamba_ros.kernels.pool_cpu import PoolViews


def pool_views_reference(view_features: Tensor, position_features: Tensor) -> Tensor:
    """`pool_views` in plain torch: any device, any floating dtype."""
    dtype = view_features.dtype
    # of half precision torch's mean is slower than in float32, conversion included
    mean = view_features.float().mean(0) if dtype == torch.bfloat16 else view_features.mean(0)
    return torch.cat([mean.to(dtype), view_features.amax(0), position_features.to(dtype)], -1)


def pool_views(view_features: Tensor, position_features: Tensor, backend: str | None = None) -> Tensor:
    """Mean and maximum of ``view_features`` (W, P, C) over W views, joined with ``position_features`` (P, K).

    -> (P, 2 C + K) of the dtype of ``view_features``, differentiable in both; views that share the maximum share its
    gradient. ``backend``: ``"cpu"`` (native; float32 or bfloat16, ``position_features`` float32) or ``"reference"``; by
    default what fits is native. ValueError for shapes, dtypes and devices that do not fit.
    """
    x, beside = view_features, position_features
    if x.ndim != 3 or not len(x):
        raise ValueError(f"view_features must be (views, points, channels) of at least one view, got {tuple(x.shape)}")
    if beside.ndim != 2 or len(beside) != x.shape[1]:
        raise ValueError(
            f"position_features must be ({x.shape[1]}, any) for view_features {tuple(x.shape)}, "
            f"got {tuple(beside.shape)}"
        )
    if beside.device != x.device:
        raise ValueError(f"position_features must be on {x.device} like view_features, got {beside.device}")
    on_cpu = x.device.type == "cpu" and beside.dtype == torch.float32
    fits = on_cpu and x.dtype in (torch.float32, torch.bfloat16)
    takes = f"float32 or bfloat16 beside float32 on the CPU, not {x.dtype} beside {beside.dtype} on {x.device}"
    return PoolViews.apply(x, beside) if is_native(backend, fits, takes) else pool_views_reference(x, beside)
