"""Any network's weights as one safetensors file, and which file it was.

What is read is checked before it is used: a broken file gives BAD_CHECKPOINT, never a network that answers nonsense.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, short, shown
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.io.lock import cannot_write

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")

REMEDY = "leave the checkpoint unset to use the one in the package, or train one with `mvgamba train`"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write_weights(path: Path, network: nn.Module, header: dict[str, str]) -> None:
    """Any network's parameters and buffers, with a ``header`` of its own: matrices and filters as float16, which is
    finer than the products that take them where those are in bfloat16, the rest as float32. Raises CANNOT_WRITE."""
    state = {name: value.detach().cpu().float().contiguous() for name, value in network.state_dict().items()}
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save(tensors, metadata=header))


@dataclass(frozen=True)
class CheckpointFile:
    """A file of weights as it is read. All methods raise BAD_CHECKPOINT, which names the file, what is wrong and
    ``remedy``."""

    path: Path
    remedy: str = REMEDY

    def reading(self) -> AbstractContextManager[None]:
        """The `boundary` of what reads it."""
        return boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {self.path}", self.remedy)

    def bad(self, why: str) -> ReconstructionError:
        """The error for ``why``."""
        return ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"checkpoint {self.path}: {short(why)}: {self.remedy}")

    def read(self, sha256: str = "") -> tuple[dict[str, Tensor], dict[str, str]]:
        """What `write_weights` wrote, tensors by name and header; refused where a tensor is not of finite floats and,
        where ``sha256`` is given, for any other content."""
        with self.reading():
            if not self.path.is_file():
                raise self.bad("no such file")
            if sha256 and identify_checkpoint(self.path)["checkpoint_sha256"] != sha256:
                raise self.bad(f"its SHA-256 is not {sha256}, it is damaged: install the package anew")
            with safe_open(self.path, "pt") as f:
                tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118  (not a dict)
                header = f.metadata() or {}
            self.check_tensors(tensors)
            return tensors, header

    def check_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuses a tensor that is not of finite floats."""
        for name, value in tensors.items():
            if not isinstance(value, Tensor) or value.dtype not in DTYPES:
                kind = getattr(value, "dtype", type(value).__name__)
                raise self.bad(f"{name} is {kind}, not floats of 16, 32 or 64 bits")
            if not bool(torch.isfinite(value).all()):
                raise self.bad(f"{name} has values that are not finite")

    def config(self, cls: type[Config], values: Mapping[str, Any]) -> Config:
        """The dataclass ``cls`` of a header's ``values``, each of its default's type and within its bounds; lists are
        tuples there."""
        with self.reading():
            given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
            config = cls(**given)
            for row in fields(config):  # type: ignore[arg-type]
                value, kind = getattr(config, row.name), type(row.default)
                if type(value) is not kind and not (kind is float and type(value) is int):
                    raise self.bad(f"its config's {row.name} {shown(value)} is no {kind.__name__}")
            try:
                check_bounds(config)
            except ReconstructionError as error:
                raise self.bad(f"its config's {error.message}") from error
            return config

    def fill(self, make: Callable[[], Network], tensors: Mapping[str, Tensor], assign: bool = False) -> Network:
        """The network that ``make`` builds, with ``tensors``, in evaluation mode; refused where names or shapes differ.
        That is found before any memory is taken, so a header cannot ask for more than its tensors hold. With
        ``assign`` the network keeps the tensors themselves, in their types: nothing is drawn and nothing is copied, and
        every buffer of it must be among them."""
        with self.reading():
            with torch.device("meta"):
                empty = make()
            wanted = {name: tuple(value.shape) for name, value in empty.state_dict().items()}
            for name in [*(wanted.keys() - tensors.keys()), *(tensors.keys() - wanted.keys())]:
                raise self.bad(f"tensor {name} is {'missing' if name in wanted else 'of no part of the network'}")
            for name, shape in wanted.items():
                if tuple(tensors[name].shape) != shape:
                    raise self.bad(f"tensor {name} is {tuple(tensors[name].shape)}, its config wants {shape}")
            network = empty if assign else make()
            network.load_state_dict(tensors, strict=True, assign=assign)
            return network.eval()


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`CheckpointFile.read`."""
    return CheckpointFile(path).read()


def identify_checkpoint(path: Path) -> dict[str, str]:
    """Entries of a method's ``provenance``: the file's name and the SHA-256 of its content. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {"checkpoint": path.name, "checkpoint_sha256": digest.hexdigest()}
