"""The selective scan in plain torch: any device, any floating dtype, differentiable, slow. The others must equal it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> tuple[Tensor, Tensor]:
    """The output (batch, width, length) and the last state (batch, width, states); arguments as `selective_scan`.

    A loop over tokens of the recurrence in Gu and Dao, "Mamba", 2023: the input matrix is discretised to first order,
    ``dt * B``, as their code does, and the decay exactly, ``exp(dt * A)``.
    """
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    h = torch.zeros(*u.shape[:2], A.shape[1], dtype=u.dtype, device=u.device)
    outputs = []
    for t in range(u.shape[2]):
        dt = delta[:, :, t, None]
        h = torch.exp(dt * A) * h + dt * u[:, :, t, None] * B[:, None, :, t]
        outputs.append((h * C[:, None, :, t]).sum(-1))
    y = torch.stack(outputs, dim=-1)
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * F.silu(z)
    return y, h
