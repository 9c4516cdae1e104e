"""A GPU's memory: how much of it this process may take, and what becomes of its end."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError, short


def limit_gpu_memory(share: float, device: str) -> None:
    """From now on tensors of this process take at most ``share`` (0 to 1) of the memory of the GPU ``device``
    (``auto``, ``cuda``, ``cuda:N``), so that others on it keep theirs; beyond it torch raises as if memory had run out.
    What CUDA itself takes of each process, some hundred megabytes, is not counted. 1, or no GPU: nothing changes."""
    if share == 1.0 or device == "cpu" or not torch.cuda.is_available():
        return
    _, _, index = device.partition(":")
    with suppress(
        RuntimeError, AssertionError, ValueError
    ):  # of a GPU that is not there, or broken: `choose_device` says
        torch.cuda.set_per_process_memory_fraction(share, int(index) if index.isdecimal() else None)


@contextmanager
def enough_gpu_memory() -> Iterator[None]:
    """Around work that may run on a GPU: where its memory runs out, INTERNAL with what to do about it, and what the
    work held goes back to the card."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        words = short(error)
        traceback.clear_frames(error.__traceback__)
        torch.cuda.empty_cache()
        raise ReconstructionError(
            ErrorCode.INTERNAL,
            f"the GPU ran out of memory ({words}): send fewer views, end what else runs on it, raise gpu_memory where "
            "that is below 1, or choose device cpu",
        ) from None
