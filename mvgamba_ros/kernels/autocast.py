"""Mixed precision in the kernels, and whether this processor gains from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def promote(*tensors: Any) -> tuple[Any, ...]:
    """Inside `torch.autocast`, the half-precision ``tensors`` as float32 ones; everything else, and outside, as is."""
    first: Tensor = tensors[0]
    if not torch.is_autocast_enabled(first.device.type):
        return tensors
    low = (torch.bfloat16, torch.float16)
    return tuple(x.float() if isinstance(x, Tensor) and x.dtype in low else x for x in tensors)


def has_bfloat16() -> bool:
    """Whether products in bfloat16 are faster than in float32 on this processor: it has instructions for them."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def halve_weights(network: nn.Module) -> None:
    """From now on ``network`` runs inside `torch.autocast` to bfloat16 only, with the same outputs to the last bit: the
    weights of its products are rounded once, here, and no longer at every call. Of kinds derived from torch's layers it
    leaves the weights: those run in float32."""
    for module in network.modules():
        if type(module) in (nn.Linear, nn.Conv2d):
            module.weight.data = module.weight.data.bfloat16()
