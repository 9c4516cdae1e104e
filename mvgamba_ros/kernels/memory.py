"""How the C library hands out memory, which decides much of a CPU kernel's time."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEEP_BYTES = 1 << 30


def keep_large_blocks() -> bool:
    """Have glibc keep freed blocks of up to 1 GiB instead of returning them to the system.

    By default every large tensor is fresh pages from the system, which zeroes each at first touch: that can cost more
    than the arithmetic. Call once when a process starts, before the first large tensor (`prepare_process` does). The
    price is that memory once used stays with the process. Answers whether the C library took it (False where it is not
    glibc, where nothing changes).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES))
