"""Memory and thread settings of a process, set once at its start.

The kernels run as fast as they can only with these.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from types import ModuleType

SPINS = "2000"
"""How often an idle thread of torch's polls for work before it sleeps, some microseconds. GNU OpenMP's own 300,000 pay
only where every core is ours: beside one busy process on two cores they make a forward pass ten times slower, since the
thread that waits keeps the core that the one it waits for needs. Fewer than a thousand cost idle machines a tenth."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
COLLECTED_AT = 20_000, 20, 20
"""Objects that came and did not go, and rounds, at which Python searches for cycles in a process of one job. A cold
command searches 16 times so, not 480: 0.11 s of processor time, not 0.24, for a peak that grows from 491 to 494 MiB."""
_KEEP_BYTES = 1 << 30
_ARENAS = 1


def prepare_process() -> None:
    """Call when a process starts, before torch is imported; the command, training and the node do.

    Threads that wait for each other soon sleep (`SPINS`; it is read when torch is imported, and the environment's
    own setting goes first). Freed memory stays with the process (`keep_large_blocks`). numpy's and scipy's products run
    in one thread: OpenBLAS keeps its other threads spinning for a tenth of a second after each, and for that long
    torch's find no free core. The products here are of many points with small matrices, which more threads do not make
    faster. At its end the interpreter does not search what is alive for cycles: the system takes all memory back, and
    the search among the objects of torch and Open3D is most of what an exit costs.
    """
    atexit.register(gc.freeze)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    import scipy.linalg  # noqa: F401  it and numpy: a library that is not loaded yet cannot be limited
    from threadpoolctl import ThreadpoolController

    keep_large_blocks()
    ThreadpoolController().select(prefix="libscipy_openblas").limit(limits=1)


def collect_rarely() -> None:
    """For a process that does one job and ends: Python searches for cycles at `COLLECTED_AT`."""
    gc.set_threshold(*COLLECTED_AT)


def spare_plotting() -> None:
    """Have ``import open3d`` leave out `open3d.visualization.draw_plotly`, for which it loads a web server (dash) and
    IPython: half of its time. For a process of the package's own, before open3d is imported; nothing there plots."""
    name = "open3d.visualization.draw_plotly"
    if "open3d" in sys.modules:
        return

    def left_out(*_: object, **__: object) -> None:
        raise ImportError(f"{name} was left out of this process, see {__name__}.spare_plotting")

    module = ModuleType(name)
    for function in ("draw_plotly", "draw_plotly_server", "get_plotly_fig"):
        setattr(module, function, left_out)
    sys.modules[name] = module


def keep_large_blocks() -> bool:
    """Have glibc keep freed blocks of up to 1 GiB instead of returning them to the system.

    By default every large tensor is fresh pages from the system, which zeroes each at first touch: that can cost more
    than the arithmetic. Call once when a process starts, before the first large tensor (`prepare_process` does). The
    price is that memory once used stays with the process. All threads share one arena: of several each keeps its own,
    and as chance decides which of them a thread's next large block comes from, the process would grow in steps for a
    hundred reconstructions. Returns whether the C library took it (False where it is not glibc,
    where nothing changes).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_M_MMAP_THRESHOLD: _KEEP_BYTES, _M_TRIM_THRESHOLD: _KEEP_BYTES, _M_ARENA_MAX: _ARENAS}
    return all(mallopt(name, value) for name, value in settings.items())


def give_memory_back() -> bool:
    """Have glibc return freed memory to the system, after something far larger than what is usual: `keep_large_blocks`
    would hold it for ever, while the usual size is needed again at once. Returns whether the C library took it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
