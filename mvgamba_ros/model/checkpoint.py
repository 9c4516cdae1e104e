"""Weights with everything needed to use and to judge them, in one safetensors file.

The header's metadata holds the network's config, the training and data recipes, seed, metrics and commit, as JSON.
Loading is strict: a missing, surplus or misshapen tensor is an error, never a random weight.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mvgamba_ros.io.weights import CheckpointFile, write_weights
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig

SHIPPED = Path(__file__).resolve().parent / "weights" / "raygamba-s.safetensors"
SHIPPED_SHA256 = "d433e4f926eba437d239b15b389bbcc22a44287711f84afce86c3bc6a4f4d488"
"""Of the file `SHIPPED`; a new one comes with a new digest (sha256sum)."""
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
    file = CheckpointFile(path)
    with file.reading():
        tensors, header = file.read(SHIPPED_SHA256 if path.resolve() == SHIPPED else "")
        if header.get("format") not in RENAMED:
            raise file.bad(f"format {header.get('format')!r}, expected {FORMAT!r}")
        prefixes, keys = RENAMED[header["format"]]
        tensors = {_renamed(name, prefixes): value for name, value in tensors.items()}
        values, recipe = json.loads(header["config"]), json.loads(header["recipe"])
        config = file.config(RayGambaConfig, {keys.get(k, k): v for k, v in values.items()})
        why = config.conflict()
        if len(config.orders) > len(tensors):
            why = f"{len(config.orders)} orders are more than it has tensors"
        if why:
            raise file.bad(f"its config's {why}")
        return file.fill(lambda: RayGamba(config), tensors), recipe


def _renamed(name: str, prefixes: dict[str, str]) -> str:
    """``name`` with a prefix that is a key of ``prefixes`` exchanged for its value."""
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
