"""The selective scan as Triton kernels, forward and backward: no package to build, as Triton comes with torch for CUDA.

Tokens go in chunks, which run side by side as in `scan_chunked`: one kernel finds what each chunk makes of a state of
zero (`_reach`), a second composes the chunks (`_compose`), a third runs each from its true state and writes the output
(`_forward`). Backward the same happens to the gradient of the state, from the last chunk to the first; there states are
run again from those at the chunks' borders, which are all that is kept (the recomputation of Gu and Dao, "Mamba", 2023,
section 3.3.2). A program takes 32 channels, one a lane, and all states of a channel in that lane's registers: no lane
talks to another but for the gradients of B and C, whose sums over the channels are left to torch. Nothing is added
atomically: results do not vary from run to run. All arithmetic is float32.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mvgamba_ros.kernels.scan_triton_kernels import _backward, _compose, _forward, _reach, _reach_back

LANES = 32
"""Channels of a program: a warp's lanes."""

_SCRATCH = 1 << 26
"""Most float32 numbers of the states that are run again, 256 MB: chunks go in several launches where it is more."""


def selective_scan_triton(
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
    """The output (batch, width, length) and the last state (batch, width, states), which carries no gradient; arguments
    as `selective_scan`. Any strides are read in place. Raises what Triton raises where it cannot compile or run."""
    y, last = _Scan.apply(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    return y, last


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u, delta, A, B, C, D, z, delta_bias, softplus):
        grid = _Grid(u, A)
        given = [u, delta, A.contiguous(), B, C, D, z, delta_bias]
        with torch.cuda.device_of(u):
            reached, total = grid.states(u), u.new_empty(grid.batch, grid.chunks, grid.width, dtype=torch.float32)
            arguments = grid.arguments(*given)
            flags = grid.flags(D, z, delta_bias, softplus)
            _reach[grid.programs](*arguments, reached, total, **flags)
            last = _composed(grid, given[2], reached, total, back=False)
            y = torch.empty(grid.batch, grid.length, grid.width, dtype=u.dtype, device=u.device).transpose(1, 2)
            _forward[grid.programs](*arguments, reached, y, *y.stride(), **flags)
        ctx.save_for_backward(*given, reached, total)
        ctx.softplus = softplus
        last = last.to(u.dtype)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Tensor):
        *given, starts, total = ctx.saved_tensors
        u, _, A, _, _, D, z, delta_bias = given
        grid = _Grid(u, A)
        arguments, flags = grid.arguments(*given), grid.flags(D, z, delta_bias, ctx.softplus)
        with torch.cuda.device_of(u):
            arriving = grid.states(u)
            _reach_back[grid.programs](*arguments, dy, *dy.stride(), arriving, **flags)
            _composed(grid, A, arriving, total, back=True)
            tokens = torch.empty(3, grid.batch, grid.length, grid.width, dtype=torch.float32, device=u.device)
            du, ddelta, dz = tokens.transpose(2, 3)
            parts = u.new_empty(2, grid.batch, grid.blocks, grid.length, grid.count, dtype=torch.float32)
            dA, dD = grid.states(u), torch.empty_like(total)
            at_once = max(1, _SCRATCH // (grid.batch * grid.blocks * LANES * grid.chunk * grid.padded))
            scratch = u.new_empty(
                min(at_once, grid.chunks) * grid.batch * grid.blocks * LANES * grid.chunk * grid.padded,
                dtype=torch.float32,
            )
            for first in range(0, grid.chunks, at_once):
                programs = (grid.blocks, min(at_once, grid.chunks - first), grid.batch)
                results = (du, ddelta, dz, parts[0], parts[1], dA, dD, scratch)
                _backward[programs](*arguments, dy, *dy.stride(), starts, arriving, *results, first, **flags)
        dB, dC = parts.sum(2).to(u.dtype).transpose(2, 3)
        return (
            du.to(u.dtype),
            ddelta.to(u.dtype),
            dA.sum((0, 1)).T.to(u.dtype),
            dB,
            dC,
            None if D is None else dD.sum((0, 1)).to(u.dtype),
            None if z is None else dz.to(u.dtype),
            None if delta_bias is None else ddelta.sum((0, 2)).to(u.dtype),
            None,
        )


class _Grid:
    """How the work of one scan is shared out, and the kernels' common arguments."""

    def __init__(self, u: Tensor, A: Tensor) -> None:
        self.batch, self.width, self.length = u.shape
        self.count = A.shape[1]
        self.padded = 1 << (self.count - 1).bit_length()
        self.chunk = min(max(1 << (math.isqrt(self.length - 1).bit_length()), 8), 128)
        self.chunks = -(-self.length // self.chunk)
        self.blocks = -(-self.width // LANES)
        self.programs = (self.blocks, self.chunks, self.batch)

    def states(self, u: Tensor) -> Tensor:
        """Room for a state of each chunk: (batch, chunks, states, width), channels next to each other."""
        return u.new_empty(self.batch, self.chunks, self.count, self.width, dtype=torch.float32)

    def arguments(self, u, delta, A, B, C, D, z, delta_bias) -> tuple[Any, ...]:
        """Of every kernel, in its order: tensors, each with its strides, and sizes."""
        z = u if z is None else z  # read by no kernel where there is none; a pointer there must be
        D, delta_bias = (A if x is None else x for x in (D, delta_bias))
        strides = [stride for x in (u, delta, z, B, C) for stride in x.stride()]
        sizes = (self.length, self.width, self.count, self.chunks)
        vectors = (x if x is A else x.contiguous() for x in (D, delta_bias))
        return (u, delta, z, B, C, *strides, A, *vectors, *sizes)

    def flags(self, D: Any, z: Any, delta_bias: Any, softplus: bool) -> dict[str, Any]:
        """What the kernels are compiled for."""
        return {
            "HAS_D": D is not None,
            "HAS_Z": z is not None,
            "HAS_BIAS": delta_bias is not None,
            "SOFTPLUS": softplus,
            "CHUNK": self.chunk,
            "STATES": self.padded,
            "LANES": LANES,
            "num_warps": 1,
        }


def _composed(grid: _Grid, A: Tensor, states: Tensor, total: Tensor, back: bool) -> Tensor:
    """Turns what each chunk makes of zero, ``states``, into what each begins with, in place; -> the last one's end."""
    last = A.new_empty(grid.batch, grid.width, grid.count, dtype=torch.float32)
    programs = (grid.blocks, grid.batch)
    sizes = (grid.width, grid.count, grid.chunks)
    _compose[programs](A, states, total, last, *sizes, BACK=back, STATES=grid.padded, LANES=LANES, num_warps=1)
    return last
