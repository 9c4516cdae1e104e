"""Whether a package of CUDA kernels works here: found by calling it, as one that is installed may not import or run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

TOLERANCE = 1e-2
"""Of a result of numbers of the size of 1: kernels round otherwise, and those that are wrong are wrong by more."""


def fault_of(tried: Callable[[], tuple[Sequence[Tensor], Sequence[Tensor]]]) -> str:
    """What is wrong with a package, in words; empty where nothing is.

    ``tried`` calls it: -> what it answered, on any device, and what is right, on the CPU.
    """
    try:
        with torch.no_grad():
            answered, right = tried()
        for got, expected in zip(answered, right, strict=True):
            got = got.float().cpu()
            if got.shape != expected.shape:
                return f"it answers a tensor {tuple(got.shape)} for {tuple(expected.shape)}"
            if not torch.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE):
                return f"its answer is off by {(got - expected).abs().max():.3g} where it should be below {TOLERANCE}"
    except Exception as error:  # a package built for another torch fails in any way there is
        return first_line(error)
    return ""


def first_line(error: Exception) -> str:
    """Kind and first line of what is wrong, at most 200 characters."""
    line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {line}"[:200]
