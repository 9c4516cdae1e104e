"""What a process does once, when it starts, so that its kernels run as fast as they can."""

from __future__ import annotations

from mvgamba_ros.kernels.memory import keep_large_blocks


def prepare_process() -> None:
    """Call when a process starts, before its first large tensor; the command, training and the node do.

    Freed memory stays with the process (`keep_large_blocks`). numpy's and scipy's products run in one thread: OpenBLAS
    keeps its other threads spinning for a tenth of a second after each, and for that long torch's find no free core.
    The products here are of many points with small matrices, which more threads do not make faster.
    """
    import scipy.linalg  # noqa: F401  it and numpy: a library that is not loaded yet could not be told
    from threadpoolctl import ThreadpoolController

    keep_large_blocks()
    ThreadpoolController().select(prefix="libscipy_openblas").limit(limits=1)
