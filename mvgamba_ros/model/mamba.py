"""The Mamba-1 block: a gated causal convolution around a selective state space.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023. Parameter names, shapes and
initialisation are those of the authors' `mamba-ssm`, so that weights trained with it load as they are. The work is
done by `mvgamba_ros.kernels`; everything here is token-major, (batch, length, channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mvgamba_ros.kernels import causal_conv1d, rms_norm, selective_scan


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis (Zhang and Sennrich, 2019)."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class Mamba(nn.Module):
    """(B, L, d_model) -> (B, L, d_model), causal along L.

    ``d_inner = expand * d_model`` channels, each with ``d_state`` states; ``dt_rank = ceil(d_model / 16)``.
    """

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        self.d_inner = expand * d_model
        self.d_state = d_state
        self.dt_rank = math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        self.A_log = nn.Parameter(torch.empty(self.d_inner, d_state))
        self.D = nn.Parameter(torch.ones(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)
        if not self.A_log.is_meta:  # arithmetic without values is done in Python there, by all of torch's compiler
            self._draw()

    def _draw(self) -> None:
        """The decays are 1 to ``d_state``. Steps start log-uniform in [0.001, 0.1]: the bias is the inverse softplus of
        such a draw."""
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        dt = torch.exp(torch.rand(self.d_inner) * (math.log(0.1) - math.log(0.001)) + math.log(0.001)).clamp(min=1e-4)
        with torch.no_grad():
            self.A_log.copy_(torch.log(torch.arange(1, self.d_state + 1, dtype=torch.float32)))
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x: Tensor) -> Tensor:
        u, z = self.in_proj(x).chunk(2, dim=-1)
        u = causal_conv1d(u, self.conv1d.weight.squeeze(1), self.conv1d.bias, silu=True)
        dt, B, C = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        # the bias joins inside the scan, where it is fused with the softplus
        delta = nn.functional.linear(dt, self.dt_proj.weight)
        y = selective_scan(
            u.transpose(1, 2),
            delta.transpose(1, 2),
            -torch.exp(self.A_log),
            B.transpose(1, 2),
            C.transpose(1, 2),
            D=self.D,
            z=z.transpose(1, 2),
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
        )
        return self.out_proj(y.transpose(1, 2))


class Block(nn.Module):
    """Pre-norm residual block: ``x + mixer(norm(x))``."""

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        self.norm = RMSNorm(d_model)
        self.mixer = Mamba(d_model, d_state, d_conv, expand)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mixer(self.norm(x))


def init_residual_scale(blocks: Sequence[Block]) -> None:
    """Divide each block's output projection by sqrt(number of blocks), as GPT-2 and mamba-ssm do."""
    with torch.no_grad():
        for block in blocks:
            nn.init.kaiming_uniform_(block.mixer.out_proj.weight, a=math.sqrt(5))
            if not block.mixer.out_proj.weight.is_meta:
                block.mixer.out_proj.weight /= math.sqrt(len(blocks))
