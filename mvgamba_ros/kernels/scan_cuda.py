"""Which selective scan runs on a CUDA device: mamba-ssm's where it works, else ours in Triton, else ours in torch.

None is trusted for being there. mamba-ssm is built for one torch and one CUDA, Triton is no part of some builds of
torch (Jetson's) and needs a driver and a C compiler that may not fit: each is called once a process, forward and
backward, on a few numbers that the reference knows the answer to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mvgamba_ros.kernels import cuda
from mvgamba_ros.kernels.probing import fault_of
from mvgamba_ros.kernels.scan_chunked import selective_scan_chunked
from mvgamba_ros.kernels.scan_reference import selective_scan_reference

Scan = Callable[..., tuple[Tensor, Tensor]]


class FoundScan(NamedTuple):
    """The first scan of the order that works, ``name`` ``"mamba-ssm"``, ``"triton"`` or ``"torch"``; None and empty
    where none does. ``faults``: what is wrong with those before it, by name."""

    name: str
    scan: Scan | None
    faults: Mapping[str, str]


def scan_triton(*given: Any) -> tuple[Tensor, Tensor]:
    """`selective_scan_triton`, imported when first called, as Triton may be missing."""
    from mvgamba_ros.kernels.scan_triton import selective_scan_triton

    return selective_scan_triton(*given)


def _order() -> dict[str, Scan]:
    return {"mamba-ssm": cuda.selective_scan, "triton": scan_triton, "torch": selective_scan_chunked}


@cache
def working_scan(device: str) -> FoundScan:
    """The scan to run on ``device``. Tried once a process."""
    faults: dict[str, str] = {}
    for name, scan in _order().items():
        fault = fault_of(partial(_scanned_and_right, scan, device))
        if not fault:
            return FoundScan(name, scan, faults)
        faults[name] = fault
    return FoundScan("", None, faults)


def selective_scan_cuda(*given: Any) -> tuple[Tensor, Tensor]:
    """By the scan that works on the device of the first tensor; float64 by torch's, which alone takes it. Raises
    RuntimeError where none does."""
    u: Tensor = given[0]
    if u.dtype == torch.float64:
        return selective_scan_chunked(*given)
    found = working_scan(str(u.device))
    if found.scan is None:
        raise RuntimeError(f"no selective scan works on {u.device}: {described(found.faults)}")
    return found.scan(*given)


def described(faults: Mapping[str, str]) -> str:
    """In one line."""
    return "; ".join(f"{name}: {fault}" for name, fault in faults.items())


@torch.enable_grad()
def _scanned_and_right(scan: Scan, device: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Output, last state and gradients of a few chunks of tokens: by ``scan`` on ``device``, and as is right."""

    def answered(scan: Scan, device: str) -> tuple[Tensor, ...]:
        g = torch.Generator().manual_seed(0)
        u, delta, z = torch.randn(3, 1, 70, 40, generator=g).transpose(2, 3).unbind()
        B, C = torch.randn(2, 1, 70, 16, generator=g).transpose(2, 3).unbind()
        given = [u, delta, -torch.rand(40, 16, generator=g), B, C, torch.ones(40), z, torch.zeros(40)]
        leaves = [x.to(device).requires_grad_() for x in given]
        y, last = scan(*leaves, True)
        return y.detach(), last.detach(), *torch.autograd.grad(y.tanh().sum(), leaves)

    return answered(scan, device), answered(selective_scan_reference, "cpu")
