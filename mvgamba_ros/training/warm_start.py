"""Warm start: a trained network's weights in a deeper or shallower one, and which parts of it learn on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.checkpoint import load_checkpoint
from mvgamba_ros.model.raygamba import RayGamba


def warm_start(network: RayGamba, file: Path) -> dict[str, Any]:
    """Give ``network`` the weights of the checkpoint ``file``, so that it gives the same output where it is as deep or
    deeper, and return the checkpoint's recipe.

    Blocks beyond the checkpoint's begin as copies of its last block of the same scan order whose output is zero: at
    first they add nothing, and what they add is learned from blocks that already attend to the right things (as in Wu
    et al., "LLaMA Pro: Progressive LLaMA with Block Expansion", 2024). Blocks of the checkpoint beyond the network's
    are left out. A cascade head that the checkpoint lacks begins as one that changes nothing. Raises BAD_CHECKPOINT
    where the two networks differ in more than these and the size of their crops.
    """
    trained, recipe = load_checkpoint(file)
    have, want = trained.config.orders, network.config.orders
    common = min(len(have), len(want))
    if want[:common] != have[:common] or not set(want) <= set(have):
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT,
            f"{file}: its blocks' orders are {', '.join(have)}; model.orders must begin with these and may end early "
            f"or go on with any of them, not {', '.join(want)}",
        )
    beyond = tuple(f"blocks.{i}." for i in range(len(want), len(have)))
    state = {name: value for name, value in trained.state_dict().items() if not name.startswith(beyond)}
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


def freeze_except(network: nn.Module, parts: Sequence[str]) -> None:
    """Freeze all weights of ``network`` but those of its named ``parts``; none where that is empty. Raises BAD_OPTION
    for a part that it does not have."""
    known = {name for name, part in network.named_children() if next(part.parameters(), None) is not None}
    if strange := set(parts) - known:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"train_only: the network has no {', '.join(sorted(strange))}; its parts are {', '.join(sorted(known))}",
        )
    for name, part in network.named_children():
        part.requires_grad_(not parts or name in parts)
