"""Settings as they are written: a YAML file, and ``KEY=VALUE`` changes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, short

LARGEST_BYTES = 1_000_000
"""A file of settings is a few kB. One that is larger is another file, and would be parsed for minutes."""


def _bad(message: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_OPTION, message)


def read_yaml(file: Path) -> dict[Any, Any]:
    """The mapping in a YAML file. Raises BAD_OPTION where there is none."""
    from omegaconf import OmegaConf

    name = f"config file {file}"
    with boundary(ErrorCode.BAD_OPTION, name, "give the path of a YAML file"), file.expanduser().open("rb") as opened:
        content = opened.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise _bad(f"{name} is larger than {LARGEST_BYTES} bytes: give a file of settings only")
    with boundary(ErrorCode.BAD_OPTION, f"{name} is not YAML", "`mvgamba config` prints one"):
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _bad(f"{name} is not text: save it as UTF-8 ({error})") from error
        _refuse_aliases(name, text)
        try:
            values = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)))
        except OSError:  # what OmegaConf raises for a number or a truth value
            values = None
    if not isinstance(values, dict):
        raise _bad(f"{name} holds no settings: write a mapping (not a list), one 'key: value' a line")
    return values


def _refuse_aliases(where: str, text: str) -> None:
    """References within the file: a few lines of them name more values than any memory holds."""
    if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
        raise _bad(f"{where} refers to parts of itself (*name): write the values out")


def parse_change(change: str) -> dict[Any, Any]:
    """ "section.key=value" as a mapping. Raises BAD_OPTION for what is not of that form."""
    from omegaconf import OmegaConf

    key, equals, _ = change.partition("=")
    shown = f"--set {short(change)}"
    if not equals or not key.strip():
        raise _bad(f"{shown}: write it as KEY=VALUE, sections by dots, e.g. surface.smoothing_sigma=2.0")
    with boundary(ErrorCode.BAD_OPTION, f"{shown}: the value is not YAML", "put quotes around it"):
        _refuse_aliases(shown, change)
        values = OmegaConf.to_container(OmegaConf.from_dotlist([change]))
    assert isinstance(values, dict)
    return values
