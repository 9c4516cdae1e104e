"""The captures that folders, files and patterns name, each with a name of its own for its result."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, short
from mvgamba_ros.io.capture_readers import is_capture
from mvgamba_ros.io.lock import path_text

GALLERY, SUMMARY, TABLE = "gallery.html", "summary.json", "summary.csv"
"""What lies beside the results, and no result may be named."""


@dataclass(frozen=True)
class Capture:
    """One capture, by its absolute ``path``, and the ``name`` of its result."""

    name: str
    path: Path


@dataclass(frozen=True)
class Found:
    """The captures, and the folders ``beside`` them in a parent folder that hold none."""

    captures: list[Capture]
    beside: list[Path]


def find_captures_in(given: Sequence[str], views_file: str = "", reader: str = "") -> Found:
    """The captures that ``given`` name, in that order, each once.

    Each is a capture; a folder of captures, whose other folders are in `Found.beside`; or a pattern ("scans/*") of
    either. What is neither is taken to be a capture: reading it tells what is wrong.

    Args:
        given: Paths and patterns.
        views_file: As of `mvgamba_ros.io.capture_readers.read_capture`.
        reader: Likewise.

    Raises:
        ReconstructionError: BAD_CAPTURE where a pattern meets nothing or nothing is given; BAD_OPTION where two
            captures would have one name, as an unknown ``reader``.
    """
    paths: list[Path] = []
    beside: list[Path] = []
    for path in _expanded(given):
        inner = [] if is_capture(path, views_file, reader) else _inside(path)
        captures = [item for item in inner if is_capture(item, views_file, reader)]
        paths += captures or [path]
        if captures:
            beside += [item for item in inner if item.is_dir() and item not in captures and item.name[0] != "."]
    distinct = list(dict.fromkeys(path.resolve() for path in paths))
    if not distinct:
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, "no capture is given: name folders of captures")
    return Found([Capture(name, path) for name, path in zip(_names(distinct), distinct, strict=True)], beside)


def _inside(path: Path) -> list[Path]:
    """What is in a folder, by name; nothing where ``path`` is none."""
    with boundary(ErrorCode.BAD_CAPTURE, path, "allow it to be read, or name another folder"):
        return sorted(path.iterdir()) if path.is_dir() else []


def _expanded(given: Sequence[str]) -> list[Path]:
    paths = []
    for text in given:
        if not text:
            raise ReconstructionError(ErrorCode.BAD_CAPTURE, "an empty name is given: name folders of captures")
        with boundary(ErrorCode.BAD_CAPTURE, short(text), "name a capture, a folder of captures, or a pattern of them"):
            path = Path(text).expanduser()
            if path.exists() or not glob.has_magic(text):
                paths.append(path)
                continue
            parts = path.parts[path.is_absolute() :]
            met = sorted(Path(path.anchor).glob(str(Path(*parts))))
        if not met:
            raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{text}: no file or folder matches this pattern")
        paths += met
    return paths


def _names(paths: Sequence[Path]) -> list[str]:
    """A capture's own name; where several share it, with as many of their parents' as tell them apart."""
    names = [_last_parts(path, 1) for path in paths]
    for depth in range(2, 1 + max(len(path.parts) for path in paths)):
        shared = {name for name in names if names.count(name) > 1}
        names = [_last_parts(path, depth) if name in shared else name for name, path in zip(names, paths, strict=True)]
    taken = {name for name in names if names.count(name) > 1 or name in (GALLERY, SUMMARY, TABLE)}
    if taken:
        clash = [str(path) for name, path in zip(names, paths, strict=True) if name in taken]
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"{', '.join(clash)}: the result of each would be named {', '.join(sorted(taken))}, which another file or "
            "result is: rename a capture, or give them to two calls",
        )
    return names


def _last_parts(path: Path, count: int) -> str:
    """Where bytes of them are no text, as text that shows them: a result's folder is named by text alone."""
    own = path.stem if path.is_file() else path.name
    parents = [part for part in path.parts[:-1] if part != path.anchor]
    return path_text("-".join([*parents[len(parents) - count + 1 :], own] if count > 1 else [own]))
