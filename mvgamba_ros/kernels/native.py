"""Finds and loads the native CPU kernels (``native/*.cpp``), which are plain C functions called through ctypes.

There is one library per instruction set; torch's own detection of the processor chooses among them (set
``ATEN_CPU_CAPABILITY=default`` or ``avx2`` to have torch and the kernels use less than the machine offers).
ctypes releases the GIL during a call, so other Python threads run meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import torch  # first: the kernels then share the OpenMP runtime (libgomp) that torch brings, and its threads

INSTRUCTION_SETS = {"AVX512": "avx512", "AVX2": "avx2"}
"""torch's name of a CPU capability -> the library built for it; anything else runs the architecture's baseline."""


class Status(IntEnum):
    """What a native function returns. Mirrored by ``native/abi.h``."""

    DONE = 0
    OUT_OF_MEMORY = 1
    DOES_NOT_FIT = 2
    FAILED = 3


def instruction_set() -> str:
    """The instruction set of the library that this machine uses: ``avx512``, ``avx2``, ``sse2`` or ``neon``."""
    if platform.machine() in ("aarch64", "arm64"):
        return "neon"
    return INSTRUCTION_SETS.get(torch.backends.cpu.get_cpu_capability(), "sse2")


@cache
def library(instructions: str | None = None) -> ctypes.CDLL:
    """The loaded kernel library, for this machine's best instruction set or a named one (tests compare them).

    Searched in this package's folder, or in the folder that the environment variable ``MVGAMBA_KERNELS`` names (for a
    sanitizer build). Raises `ImportError` with the commands that build it where there is none.
    """
    folder = Path(os.environ.get("MVGAMBA_KERNELS", Path(__file__).parent))
    path = folder / f"libmvgamba_kernels_{instructions or instruction_set()}.so"
    if not path.is_file():
        sources = Path(__file__).parent / "native"
        raise ImportError(
            f"the native CPU kernels are not built: no {path}. Build them with: "
            f"cmake -S {sources} -B build/kernels && cmake --build build/kernels --parallel 4"
        )
    return ctypes.CDLL(str(path))


def declare(library: ctypes.CDLL, arguments: Mapping[str, Sequence[Any]]) -> ctypes.CDLL:
    """``library`` with the types of what its functions ``mvgamba_<name>`` take, by name.

    They return a `Status`, and a call of one that is not done raises: MemoryError where memory ran out, ValueError for
    sizes that cannot be.
    """
    for name, types in arguments.items():
        function = getattr(library, f"mvgamba_{name}")
        function.argtypes, function.restype, function.errcheck = list(types), ctypes.c_int, _raise_unless_done
    return library


def _raise_unless_done(status: int, function: Any, _arguments: tuple[Any, ...]) -> None:
    if status == Status.DONE:
        return
    name = function.__name__
    if status == Status.OUT_OF_MEMORY:
        raise MemoryError(f"{name}: memory ran out; give it less at once")
    if status == Status.DOES_NOT_FIT:
        raise ValueError(f"{name}: an argument's size is zero, negative or too large, or sizes do not fit each other")
    raise RuntimeError(f"{name}: failed with status {status}")


def threads() -> int:
    """How many threads a kernel may use: torch's own setting (`torch.set_num_threads`)."""
    return torch.get_num_threads()
