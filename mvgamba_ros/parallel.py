"""Views side by side: what is done to each of them alone, in as many threads as torch may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def each(function: Callable[..., T], *items: Iterable[Any]) -> list[T]:
    """``[function(x, y, ...) for x, y, ... in zip(*items)]``, in the same order; the first error is raised.

    For functions that spend their time in OpenCV, numpy or SciPy, which let other threads run meanwhile, and not in
    torch, whose operations take all threads by themselves. The result does not depend on how many threads there are.
    """
    rows = list(zip(*items, strict=True))
    workers = min(torch.get_num_threads(), len(rows))
    if workers < 2:
        return [function(*row) for row in rows]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda row: function(*row), rows))
