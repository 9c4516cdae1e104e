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


def check_at_least(name: str, value: int, least: int) -> None:
    """ValueError where ``value`` is less than ``least``."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_picture(name: str, x: Any, channels: int) -> None:
    """ValueError where the array ``x`` is not a picture (h, w, ``channels``) of at least one pixel."""
    if x.ndim != 3 or x.shape[2] != channels or 0 in x.shape:
        raise ValueError(f"{name} must be (h, w, {channels}) of at least one pixel, got {tuple(x.shape)}")


def check_shape(name: str, x: Any, shape: tuple[int, ...]) -> None:
    """ValueError where the tensor or array ``x`` is not of ``shape``."""
    if x.shape != shape:
        raise ValueError(f"{name} must be {shape}, got {tuple(x.shape)}")
