"""What several views say of a point, made one: mean and maximum over the views."""

from __future__ import annotations

import torch
from torch import Tensor

from mvgamba_ros.kernels.arguments import is_native
from mvgamba_ros.kernels.pool_cpu import PoolViews


def pool_views_reference(told: Tensor, beside: Tensor) -> Tensor:
    """`pool_views` in plain torch: any device, any floating dtype."""
    # of half precision torch's mean is slower than in float32, conversion included
    mean = told.float().mean(0) if told.dtype == torch.bfloat16 else told.mean(0)
    return torch.cat([mean.to(told.dtype), told.amax(0), beside.to(told.dtype)], -1)


def pool_views(told: Tensor, beside: Tensor, backend: str | None = None) -> Tensor:
    """Mean and maximum of ``told`` (W, P, C) over W views, joined with what else is known, ``beside`` (P, K).

    -> (P, 2 C + K) of the dtype of ``told``, differentiable in both; views that say the same maximum share its
    gradient. ``backend``: ``"cpu"`` (native; float32 or bfloat16, ``beside`` float32) or ``"reference"``; by default
    what fits is native. ValueError for shapes, dtypes and devices that do not fit.
    """
    if told.ndim != 3 or not len(told):
        raise ValueError(f"told must be (views, points, channels) of at least one view, got {tuple(told.shape)}")
    if beside.ndim != 2 or len(beside) != told.shape[1]:
        raise ValueError(
            f"beside must be ({told.shape[1]}, any) for told {tuple(told.shape)}, got {tuple(beside.shape)}"
        )
    if beside.device != told.device:
        raise ValueError(f"beside must be on {told.device} like told, got {beside.device}")
    on_cpu = told.device.type == "cpu" and beside.dtype == torch.float32
    fits = on_cpu and told.dtype in (torch.float32, torch.bfloat16)
    takes = f"float32 or bfloat16 beside float32 on the CPU, not {told.dtype} beside {beside.dtype} on {told.device}"
    return PoolViews.apply(told, beside) if is_native(backend, fits, takes) else pool_views_reference(told, beside)
