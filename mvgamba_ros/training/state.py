"""The state of a training run: how it is written, read back, and held to the settings that it began with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError


def load_state(file: Path) -> dict[str, Any]:
    """What a trainer saved. Raises BAD_CHECKPOINT for a file that is something else, or damaged."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)  # a GPU's may go on without one
    except Exception as error:  # whatever bytes that are no pickle make its reader raise
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _bad(file, why) from error
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
        raise _bad(file, "it holds no config")
    return state


def state_of_run(run: Path) -> dict[str, Any]:
    """What the trainer in folder ``run`` saved. Raises BAD_CHECKPOINT where it has saved nothing yet, and as
    `load_state`."""
    file = run / "state.pt"
    if not file.is_file():
        raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"{file}: no such file; train first: mvgamba train RECIPE")
    return load_state(file)


def save_state(file: Path, state: Mapping[str, Any]) -> None:
    """Write everything that the next process needs, in one atomic move."""
    part = file.with_suffix(".part")
    torch.save(dict(state), part)
    part.replace(file)


def check_settings(file: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises BAD_OPTION where the run whose state is ``file`` has one of the settings ``before`` otherwise than
    ``now``."""
    for key, value in before.items():
        if value != now[key]:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"{file} is of a run with another {key}: {value}, not {now[key]}; choose another folder for this one, "
                "or go on with that setting",
            )


def _bad(file: Path, why: str) -> ReconstructionError:
    return ReconstructionError(
        ErrorCode.BAD_CHECKPOINT,
        f"{file} is not the state of a training run ({why}): delete it to train this stage from its start",
    )
