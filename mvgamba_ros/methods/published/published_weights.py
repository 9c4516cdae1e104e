"""Checkpoints of the published network: ours, and in the layout of the authors' code."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mvgamba_ros.io.weights import CheckpointFile, write_weights
from mvgamba_ros.methods.published.network import PRESETS, SCAN_ORDERS, PublishedConfig, PublishedNetwork

TRAINING_ONLY = "lpips_loss."
"""Tensors of the loss network, which training checkpoints carry along."""
HARD = "decoder.get_rot.canonical_quaternions"
"""A constant that the authors' code stores where RotNet picks one rotation, and only there."""
REMEDY = "give a file of MVGamba's network, or use the method mvgamba, whose weights come with the package"


def load_published(
    tensors: Mapping[str, Tensor], config: PublishedConfig | None = None, path: Path = Path("of MVGamba")
) -> PublishedNetwork:
    """The network with the tensors of a checkpoint of the authors' code, in evaluation mode.

    Their names start with ``model.``, or with nothing; those of the loss network are left aside. ``config``: by default
    what the tensors' shapes show (`config_of`). Anything else missing, surplus, misshapen or not of finite floats
    raises BAD_CHECKPOINT, which names the file ``path``.
    """
    file = CheckpointFile(path, REMEDY)
    if not all(isinstance(name, str) for name in tensors):
        raise file.bad("its tensors have no names")
    own = {k.removeprefix("model."): v for k, v in tensors.items() if not k.startswith(TRAINING_ONLY)}
    file.check_tensors(own)
    if config is None:
        config = config_of(own, file)
    own.pop(HARD, None)
    return file.fill(lambda: PublishedNetwork(config), own)


def config_of(tensors: Mapping[str, Tensor], file: CheckpointFile) -> PublishedConfig:
    """The config of a checkpoint without one, by its tensors' shapes; four square views, as the authors'. Raises
    BAD_CHECKPOINT."""
    with file.reading():
        width, _, patch, _ = tensors["map_image.weight"].shape
        tokens, _ = tensors["transformer.pos_embed"].shape
        layers = sum(name.endswith(".A_log") for name in tensors)
        _, d_state = tensors["transformer.layers.0.mamba_block.mixer.A_log"].shape
        views = PRESETS["release"].views
        side = math.isqrt(tokens // (views * SCAN_ORDERS))
        if side * side * views * SCAN_ORDERS != tokens:
            raise file.bad(f"its {tokens} positions are not of {views} square views")
        values = {"size": side * patch, "patch": patch, "width": width, "layers": layers, "d_state": d_state}
        return file.config(PublishedConfig, {**values, "straight_through": HARD in tensors})


def read_published(path: Path, config: PublishedConfig | None = None) -> PublishedNetwork:
    """`load_published` from a ``.safetensors`` file, or a file of ``torch.save`` with the tensors by name, or with them
    under "model", as the authors save them. Only tensors are unpickled.

    ``config``: by default the file's own, from the metadata of a ``.safetensors`` file as `save_published` writes it,
    and for a file without one what its tensors show. Raises BAD_CHECKPOINT.
    """
    header: dict[str, str] = {}
    content: Any
    file = CheckpointFile(path, REMEDY)
    with file.reading():
        if path.suffix == ".safetensors":
            content, header = file.read()
        else:
            content = torch.load(path, "cpu", weights_only=True)
        if config is None and "config" in header:
            config = file.config(PublishedConfig, json.loads(header["config"]))
        return load_published(content.get("model", content), config, path)


def save_published(path: Path, network: PublishedNetwork, recipe: Mapping[str, Any] | None = None) -> None:
    """``network`` as a ``.safetensors`` file with its config and how it was made; matrices as float16, the rest as
    float32."""
    header = {"format": "mvgamba published 1", "config": json.dumps(asdict(network.config))}
    write_weights(path, network, header | ({} if recipe is None else {"recipe": json.dumps(recipe)}))
