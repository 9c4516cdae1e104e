"""Which of two backends a kernel runs on: its native one, or the readable reference beside it."""

from __future__ import annotations


def is_native(backend: str | None, fits: bool, takes: str) -> bool:
    """Whether ``backend`` is the native one, ``"cpu"``, and not ``"reference"``; by default where the arguments fit it.

    ``takes``: what it takes, for the ValueError where it is asked for and they do not fit, or the name is neither.
    """
    if backend not in (None, "cpu", "reference"):
        raise ValueError(f"unknown backend {backend!r}: choose 'cpu' or 'reference'")
    if backend == "cpu" and not fits:
        raise ValueError(f"the cpu backend takes {takes}")
    return fits and backend != "reference"
