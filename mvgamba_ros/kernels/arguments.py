"""Checks of the kernels' arguments: which of two backends they choose, and which shapes do not fit."""

from __future__ import annotations

from typing import Any


def is_native(backend: str | None, fits: bool = True, takes: str = "") -> bool:
    """Whether ``backend`` is the native one, ``"cpu"``, and not ``"reference"``; by default where the arguments fit it.

    ``takes``: what it takes, for the ValueError where it is chosen and they do not fit, or the name is neither.
    """
    if backend not in (None, "cpu", "reference"):
        raise ValueError(f"unknown backend {backend!r}: choose 'cpu' or 'reference'")
    if backend == "cpu" and not fits:
        raise ValueError(f"the cpu backend takes {takes}")
    return fits and backend != "reference"


def check_shape(name: str, x: Any, shape: tuple[int, ...]) -> None:
    """ValueError where the tensor or array ``x`` is not of ``shape``."""
    if x.shape != shape:
        raise ValueError(f"{name} must be {shape}, got {tuple(x.shape)}")
