"""What tests of native kernels share: a number of threads for a while, and the instruction sets of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from mvgamba_ros.kernels import native

every_instruction_set = pytest.mark.parametrize("instructions", ["sse2", "avx2", "avx512", "neon"])


def skip_unless_it_runs_here(instructions: str) -> None:
    here, order = native.instruction_set(), ["sse2", "avx2", "avx512"]
    if instructions != here and (here not in order or instructions not in order[: order.index(here)]):
        pytest.skip(f"{instructions} does not run here")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch, and the kernels with it, run in ``count`` threads within this context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
