"""Mixed precision in the kernels, and whether a device gains from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def promote(*tensors: Any) -> tuple[Any, ...]:
    """Inside `torch.autocast`, the half-precision ``tensors`` as float32 ones; everything else, and outside, as is."""
    first: Tensor = tensors[0]
    if not autocasts(first.device.type):
        return tensors
    low = (torch.bfloat16, torch.float16)
    return tuple(x.float() if isinstance(x, Tensor) and x.dtype in low else x for x in tensors)


def autocasts(device: str) -> bool:
    """Whether this is inside `torch.autocast` for a kind of device, ``cpu`` or ``cuda``."""
    if hasattr(torch.amp, "is_autocast_available"):
        return torch.amp.is_autocast_available(device) and bool(torch.is_autocast_enabled(device))
    return bool(torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled())  # before 2.4


def has_bfloat16(device: torch.device | None = None) -> bool:
    """Whether products in bfloat16 are faster than in float32 on ``device``, a GPU or by default the CPU.

    It has instructions for them: GPUs from compute capability 8.0 on. False with a torch that cannot tell of a
    processor (before 2.6), and where torch is kept from AVX-512 (``ATEN_CPU_CAPABILITY=avx2``): float32 is right
    everywhere.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in probes)


def halve_weights(network: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
    """From now on ``network`` runs inside `torch.autocast` to ``dtype`` only, with the same outputs to the last bit:
    the weights of its products are rounded once, here, and no longer at every call. Of kinds derived from torch's
    layers it leaves the weights: those run in float32."""
    for module in network.modules():
        if type(module) in (nn.Linear, nn.Conv2d):
            module.weight.data = module.weight.data.to(dtype)
