"""Any network's weights as one safetensors file, and which file it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mvgamba_ros.errors import ErrorCode, ReconstructionError


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


def identify_checkpoint(path: Path) -> dict[str, str]:
    """Entries of a method's ``provenance``: the file's name and the SHA-256 of its content. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {"checkpoint": path.name, "checkpoint_sha256": digest.hexdigest()}
