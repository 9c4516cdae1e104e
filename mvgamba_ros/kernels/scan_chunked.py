"""The selective scan in torch operations that a GPU is quick at: all chunks of tokens advance at once.

A scan of a linear recurrence is associative: a chunk of tokens maps the state before it to ``decay * state + added``.
So each chunk is run from a state of zero, side by side with all others; the chunks' maps are composed one after the
other; and each chunk is run once more from the state that it really begins with (Blelloch, "Prefix Sums and Their
Applications", 1990; two levels). With chunks of about sqrt(length) tokens that takes 3 sqrt(length) steps instead of
``length``, and no exponential is ever divided by: nothing overflows that does not in the plain loop.

It needs nothing but torch, and runs on any device.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mvgamba_ros.kernels.recompute import recomputed

_STATES_AT_ONCE = 1 << 25
"""States (of a token, a channel and a scene each) that are kept at once for the gradient, which takes about five
numbers of each; the channels are worked off in groups so that there are no more."""


def selective_scan_chunked(
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

    States are float32 (float64 for float64 tensors). Without a gradient its memory is a few times that of ``u``; with
    one, groups of channels are run again in the backward pass. Differentiable in all tensors.
    """
    dtype, batch, width, length = u.dtype, *u.shape
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    A, B, C, delta = (x.to(wide) for x in (A, B, C, delta))
    if delta_bias is not None:
        delta = delta + delta_bias[:, None].to(wide)
    dt = F.softplus(delta) if delta_softplus else delta
    chunk = math.isqrt(length - 1) + 1
    missing = -length % chunk
    # a step of zero length changes no state: tokens that fill the last chunk are such
    chunked = [F.pad(x, (0, missing)).unflatten(2, (-1, chunk)) for x in (dt, dt * u.to(wide), B, C)]
    graded = torch.is_grad_enabled() and any(x.requires_grad for x in (*chunked, A))
    group = max(1, _STATES_AT_ONCE // (batch * length * A.shape[1])) if graded else width
    outputs, last = [], []
    for begin in range(0, width, group):
        part = slice(begin, begin + group)
        given = chunked[0][:, part], chunked[1][:, part], A[part], *chunked[2:]
        y, h = recomputed(_recur, *given)
        outputs.append(y)
        last.append(h)
    y = torch.cat(outputs, 1).flatten(2)[..., :length]
    if D is not None:
        y = y + D[:, None].to(wide) * u
    if z is not None:
        y = y * F.silu(z.to(wide))
    return y.to(dtype), torch.cat(last, 1).to(dtype)


def _recur(dt: Tensor, added: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """Steps ``dt`` and inputs ``added`` (batch, width, chunks, tokens), A (width, states), B and C (batch, states,
    chunks, tokens) -> the output (batch, width, chunks, tokens) and the last state (batch, width, states)."""
    rates = A[:, None]
    B, C = (x.permute(3, 0, 2, 1)[:, :, None] for x in (B, C))  # (tokens, batch, 1, chunks, states)
    steps = [x[..., None] for x in dt.unbind(3)]
    inputs = [x[..., None] for x in added.unbind(3)]
    state = inputs[0] * B[0]
    for t in range(1, len(steps)):
        state = torch.exp(steps[t] * rates) * state + inputs[t] * B[t]
    decay = torch.exp(dt.sum(3)[..., None] * rates)
    start, starts = torch.zeros_like(state[:, :, 0]), []
    for of_chunk, reached in zip(decay.unbind(2), state.unbind(2), strict=True):
        starts.append(start)
        start = of_chunk * start + reached
    state, outputs = torch.stack(starts, 2), []
    for t in range(len(steps)):
        state = torch.exp(steps[t] * rates) * state + inputs[t] * B[t]
        outputs.append((state * C[t]).sum(-1))
    return torch.stack(outputs, 3), start
