"""What tests of native kernels share: a number of threads for a while, and the instruction sets of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
import torch

from mvgamba_ros.kernels import native

T = TypeVar("T")

every_instruction_set = pytest.mark.parametrize("instructions", ["sse2", "avx2", "avx512", "neon"])


def skip_unless_it_runs_here(instructions: str) -> None:
    here, order = native.instruction_set(), ["sse2", "avx2", "avx512"]
    if instructions != here and (here not in order or instructions not in order[: order.index(here)]):
        pytest.skip(f"{instructions} does not run here")


def by_threads(run: Callable[[], T]) -> list[T]:
    """What ``run`` answers in one thread, in two and in four."""
    answers = []
    for count in (1, 2, 4):
        with threads(count):
            answers.append(run())
    return answers


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch, and the kernels with it, run in ``count`` threads within this context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
