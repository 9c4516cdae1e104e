"""Weights with everything needed to use and to judge them, in one safetensors file.

The header's metadata holds the network's config, the training and data recipes, seed, metrics and commit, as JSON.
Loading is strict: a missing, surplus or misshapen tensor is an error, never a random weight.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.arm import ArmConfig, ArmNetwork

SHIPPED = Path(__file__).parent / "weights" / "arm-s.safetensors"
FORMAT = "mvgamba_ros arm 1"


def save_checkpoint(path: Path, network: ArmNetwork, recipe: dict[str, Any]) -> None:
    """``recipe``: what a reader should know of how these weights came to be; JSON-serialisable."""
    config = json.dumps(network.config.to_dict())
    write_weights(path, network, {"format": FORMAT, "config": config, "recipe": json.dumps(recipe)})


def load_checkpoint(path: Path = SHIPPED) -> tuple[ArmNetwork, dict[str, Any]]:
    """The network in evaluation mode, and its recipe. Raises BAD_CHECKPOINT naming the file and what is wrong."""
    if not path.is_file():
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT,
            f"checkpoint {path}: no such file; leave the checkpoint unset to use the one in the package, "
            "or train one with `mvgamba train`",
        )
    tensors, header = read_weights(path)
    if header.get("format") != FORMAT:
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT, f"checkpoint {path}: format {header.get('format')!r}, expected {FORMAT!r}"
        )
    values: dict[str, Any] = json.loads(header["config"])
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    network = ArmNetwork(ArmConfig(**values))
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"checkpoint {path}: {error}") from error
    return network.eval(), json.loads(header["recipe"])


def write_weights(path: Path, network: nn.Module, header: dict[str, str]) -> None:
    """Any network's parameters and buffers, with a ``header`` of its own: matrices and filters as float16, which is
    finer than the products that take them where those are in bfloat16, the rest as float32."""
    state = {name: value.detach().cpu().float().contiguous() for name, value in network.state_dict().items()}
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata=header)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `write_weights` wrote, tensors by name and header. Raises BAD_CHECKPOINT naming the file."""
    try:
        with safe_open(path, "pt") as f:
            return {name: f.get_tensor(name) for name in f.keys()}, f.metadata() or {}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"checkpoint {path}: not safetensors ({error})") from error
