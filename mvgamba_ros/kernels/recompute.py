"""Gradients without what they are usually worked out of: nothing but the arguments is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Results = tuple[Tensor, ...]


def recomputed(function: Callable[..., Results], *given: Tensor) -> Results:
    """``function(*given)``, run again where the gradient is wanted: its memory is that of one call, not of all calls
    before the backward pass. torch's own checkpoint imports its compiler for that, which takes a second.

    Where no gradient is wanted the function is called as it is. What it gives must not depend on anything else.
    """
    if torch.is_grad_enabled() and any(x.requires_grad for x in given):
        return _Recomputed.apply(function, *given)
    return function(*given)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Results], *given: Tensor) -> Results:
        ctx.save_for_backward(*given)
        ctx.function = function
        return function(*given)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[1:]
        leaves = [x.detach().requires_grad_(w) for x, w in zip(ctx.saved_tensors, wanted, strict=True)]
        with torch.enable_grad():
            results = ctx.function(*leaves)
        carried = [(x, grad) for x, grad in zip(results, grads, strict=True) if x.requires_grad]
        found = iter(
            torch.autograd.grad(
                [x for x, _ in carried],
                [x for x, w in zip(leaves, wanted, strict=True) if w],
                [grad for _, grad in carried],
                allow_unused=True,
            )
        )
        return None, *(next(found) if w else None for w in wanted)
