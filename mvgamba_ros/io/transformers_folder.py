"""Networks of the package transformers, from a folder in its layout.

Loading is strict: a missing, surplus or misshapen tensor is an error. Tensors come from safetensors files alone, and no
code in the folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mvgamba_ros.errors import ErrorCode, boundary
from mvgamba_ros.io.weights import CheckpointFile

STALE = "position_ids"
"""A buffer that older versions of transformers stored and that holds nothing but 0, 1, 2, ..."""


def read_config(path: Path, remedy: str) -> dict[str, Any]:
    """The fields of a config in JSON; BAD_CHECKPOINT, which ends with ``remedy``, where it holds anything else."""
    with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {path}", remedy):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not the fields of a config")
        return content


def load_from_folder(kind: Any, folder: Path, **options: Any) -> Any:
    """What transformers makes of ``folder``; a path that is none it would take for the name of a repository."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder.name}")
    return kind.from_pretrained(folder, local_files_only=True, **options)


def load_network(kind: Any, folder: Path, remedy: str, **options: Any) -> Any:
    """A network of transformers, in evaluation mode; BAD_CHECKPOINT, which ends with ``remedy``, where any of its
    tensors is not the folder's, or the folder holds more."""
    with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", remedy), _no_progress_bar():
        network, found = load_from_folder(kind, folder, use_safetensors=True, output_loading_info=True, **options)
        wrong = {
            "missing": list(found["missing_keys"]),
            "of no part of the network": [key for key in found["unexpected_keys"] if STALE not in key],
            "of another shape": [key[0] if isinstance(key, tuple) else key for key in found["mismatched_keys"]],
        }
        for what, names in wrong.items():
            for name in sorted(names):
                raise ValueError(f"tensor {name} is {what}")
    CheckpointFile(folder, remedy).check_tensors(dict(network.named_parameters()))
    return network.eval()


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Without the bar that transformers draws on stderr, between a command's own lines."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
