"""Weights with everything needed to use and to judge them, in one safetensors file.

The header's metadata holds the network's config, the training and data recipes, seed, metrics and commit, as JSON.
Loading is strict: a missing, surplus or misshapen tensor is an error, never a random weight.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.weights import read_weights, write_weights
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig

SHIPPED = Path(__file__).parent / "weights" / "raygamba-s.safetensors"
FORMAT = "mvgamba_ros raygamba 1"

RENAMED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    FORMAT: ({}, {}),
    "mvgamba_ros arm 1": ({"second_head.": "cascade_head."}, {"second_look": "cascade_positions"}),
}
"""Formats that load -> what their names became: prefixes of tensors, and keys of the config. Loading renames these and
nothing else, and is then as strict as for `FORMAT`, which alone is written."""


def save_checkpoint(path: Path, network: RayGamba, recipe: dict[str, Any]) -> None:
    """``recipe``: how these weights were trained; JSON-serialisable."""
    config = json.dumps(network.config.to_dict())
    write_weights(path, network, {"format": FORMAT, "config": config, "recipe": json.dumps(recipe)})


def load_checkpoint(path: Path = SHIPPED) -> tuple[RayGamba, dict[str, Any]]:
    """The network in evaluation mode, and its recipe. Raises BAD_CHECKPOINT naming the file and what is wrong."""
    if not path.is_file():
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT,
            f"checkpoint {path}: no such file; leave the checkpoint unset to use the one in the package, "
            "or train one with `mvgamba train`",
        )
    tensors, header = read_weights(path)
    if header.get("format") not in RENAMED:
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT, f"checkpoint {path}: format {header.get('format')!r}, expected {FORMAT!r}"
        )
    prefixes, keys = RENAMED[header["format"]]
    tensors = {_renamed(name, prefixes): value for name, value in tensors.items()}
    try:
        values, recipe = json.loads(header["config"]), json.loads(header["recipe"])
        values = {keys.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        network = RayGamba(RayGambaConfig(**values))
        network.load_state_dict(tensors, strict=True)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"checkpoint {path}: {_one_line(error)}") from error
    return network.eval(), recipe


def _one_line(error: Exception) -> str:
    missing = "its header lacks " if isinstance(error, KeyError) else ""
    return missing + " ".join(str(error).split())


def _renamed(name: str, prefixes: dict[str, str]) -> str:
    """``name`` with a prefix that is a key of ``prefixes`` exchanged for its value."""
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
