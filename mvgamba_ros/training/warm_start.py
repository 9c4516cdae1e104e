"""Weights to begin a run with: a trained network's, in a network as deep or deeper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.checkpoint import load_checkpoint
from mvgamba_ros.model.raygamba import RayGamba


def warm_start(network: RayGamba, file: Path) -> dict[str, Any]:
    """Give ``network`` the weights of the checkpoint ``file``, so that it answers as that one does, and return the
    checkpoint's recipe.

    Blocks beyond the checkpoint's begin as copies of its last block of the same scan order whose output is zero: at
    first they add nothing, and what they add is learned from blocks that already look at the right things (as in Wu
    et al., "LLaMA Pro: Progressive LLaMA with Block Expansion", 2024). A cascade head that the checkpoint lacks begins
    as one that changes nothing. Raises BAD_CHECKPOINT where the two networks differ in more than these and the size of
    their crops.
    """
    trained, recipe = load_checkpoint(file)
    have, want = trained.config.orders, network.config.orders
    if want[: len(have)] != have or not set(want) <= set(have):
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT,
            f"{file}: its blocks' orders are {', '.join(have)}; model.orders must begin with these and may go on with "
            f"any of them, not {', '.join(want)}",
        )
    state = trained.state_dict()
    for i in range(len(have), len(want)):
        twin = len(have) - 1 - have[::-1].index(want[i])
        for name, value in trained.blocks[twin].state_dict().items():
            state[f"blocks.{i}.{name}"] = torch.zeros_like(value) if name == "mixer.out_proj.weight" else value
    if trained.cascade_head is None and network.cascade_head is not None:
        state |= {f"cascade_head.{name}": value for name, value in network.cascade_head.state_dict().items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT, f"{file} does not fit this config's model: {error}"
        ) from error
    return recipe
