"""What the Segment Anything networks have in common: pixels in, masks out, and what becomes of their errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError, short
from mvgamba_ros.types import F32, F64, U8

DOWNLOAD = (
    "set sam_checkpoint to a file sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or sam_vit_h_4b8939.pth from the model "
    "checkpoints section of github.com/facebookresearch/segment-anything, or to a folder that `hf download "
    "facebook/sam2.1-hiera-tiny --local-dir FOLDER` fills (docs/segmentation.md)"
)


@dataclass(frozen=True)
class PixelPrompt:
    """What is pointed at in one picture: ``box`` (4,) x0, y0, x1, y1, or None; ``points`` (N, 2) x, y and their
    ``labels`` (N,) int64, 1 on the object, 0 off it. Pixels of that picture."""

    box: F64 | None
    points: F64
    labels: Any

    @property
    def ambiguous(self) -> bool:
        """One point alone: of a part, or of the whole?"""
        return self.box is None and len(self.points) == 1


class SamNetwork(Protocol):
    """A network that is prompted. Its slow part needs the picture alone."""

    path: Path
    """The file that holds its weights."""

    def embed(self, image: U8) -> Any:
        """What the network makes of a picture (H, W, 3) uint8 RGB: for `predict`, to be kept."""
        ...

    def predict(self, embedding: Any, prompt: PixelPrompt) -> tuple[F32, F32]:
        """Log-odds (N, H, W) of the object, one or, where the prompt is ambiguous, several; and how good the network
        takes each of them to be (N,)."""
        ...


@contextmanager
def enough_memory() -> Iterator[None]:
    """Around all that fills memory: where it runs out, INTERNAL with what to do about it."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        cuda = isinstance(error, torch.cuda.OutOfMemoryError)
        if not (cuda or isinstance(error, MemoryError) or "DefaultCPUAllocator" in text):
            raise
        raise ReconstructionError(
            ErrorCode.INTERNAL,
            f"Segment Anything ran out of memory ({short(text)}): take a smaller network, device "
            f"{'cpu' if cuda else 'cuda'}, or give this process more (docs/segmentation.md: what each needs)",
        ) from error
