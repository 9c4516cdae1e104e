"""The state of a training run, as it is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError


def load_state(file: Path) -> dict[str, Any]:
    """What a trainer saved. Raises BAD_CHECKPOINT for a file that is something else, or damaged."""
    try:
        state = torch.load(file, weights_only=True)
    except Exception as error:  # whatever bytes that are no pickle make its reader raise
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _bad(file, why) from error
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
        raise _bad(file, "it holds no config")
    return state


def _bad(file: Path, why: str) -> ReconstructionError:
    return ReconstructionError(
        ErrorCode.BAD_CHECKPOINT,
        f"{file} is not the state of a training run ({why}): delete it to train this stage from its start",
    )
