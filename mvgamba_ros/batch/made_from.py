"""What a result was made from, as one hash, and whether a result in a folder still stands."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mvgamba_ros import __version__
from mvgamba_ros.io.results import REPORT, SCENE, unlisted
from mvgamba_ros.options import Options

MADE_FROM = "made_from"
"""The hash's name in a report."""


def made_from(capture: Path, options: Options, chosen: Mapping[str, Any], out: Path | None = None) -> str:
    """A hash of a capture's files, the options with their weights' files, what else was ``chosen`` (JSON values) and
    this version.

    Of files name, size and time of change stand for the content, as in make and rsync: a recording may hold gigabytes.
    Links to files and folders are followed. ``out``, absolute: what lies there is made from the capture, not part of
    it.
    """
    given = options.to_dict()
    weights = (options.checkpoint, options.sam_checkpoint, options.generator_weights)
    content = {
        "version": __version__,
        **given,
        "chosen": chosen,
        "weights": [_files(Path(text)) if text else [] for text in weights],
        "capture": _files(capture, out),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _files(path: Path, apart: Path | None = None) -> list[tuple[str, int, int]]:
    """Of each file below ``path``, or that it is, but none in ``apart``: path in it, bytes, nanoseconds of its last
    change."""
    found = []
    for file in sorted(_below(path, apart)) if path.is_dir() else [path]:
        try:
            status = file.stat()
        except OSError:  # a broken link, or deleted meanwhile: reading the capture tells
            continue
        if file.is_file():
            found.append((str(file.relative_to(path)), status.st_size, status.st_mtime_ns))
    return found


def _below(path: Path, apart: Path | None) -> Iterator[Path]:
    """What is in ``path`` and is no folder; a folder that several links lead to once, so that a circle of them ends."""
    seen = set() if apart is None else {apart.resolve()}
    for folder, folders, names in os.walk(path, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(folder) / name for name in names)


def standing(folder: Path, wanted: str) -> dict[str, Any] | None:
    """The report, or that of a scene, of a result in ``folder`` that was made from ``wanted``, is whole, and in which
    nothing failed; None where there is no such result."""
    report = read_report(folder)
    if report is None or report.get(MADE_FROM) != wanted or unlisted(folder):
        return None
    failed = any(item["error"] is not None for item in report.get("objects", ()))
    whole = all((folder / name).is_file() for name in report["files"])
    return report if whole and not failed else None


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report in ``folder``, or that of a scene; None where there is none that can be read."""
    for name in (SCENE, REPORT):
        try:
            content = json.loads((folder / name).read_bytes())
        except (OSError, RecursionError, ValueError):
            continue
        if isinstance(content, dict):
            return content
    return None
