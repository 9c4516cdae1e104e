"""The file that a capture's list means by a path: also where the list was written elsewhere, or on Windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

IMAGES = "images"
"""Where pictures lie that a list names without a folder."""
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic")
"""Tried in this order, in small and capital letters, where a path has no extension, as in NeRF's synthetic scenes, or
another than the file, which was converted since."""


def find_file(folder: Path, name: Any) -> Path | None:
    """The file that ``name`` stands for beside a list in ``folder``; None where there is none.

    Tried in this order: the path itself, from ``folder``; with "/" for "\\\\"; less its leading folders, one after the
    other, as of another machine or of a list that was written one folder up; its last part in ``images``. Each with
    another extension where that alone is missing.
    """
    text = str(name)
    if "\0" in text:
        return None
    exact = folder / text
    if exact.is_file():
        return exact
    parts = [part for part in PurePosixPath(text.replace("\\", "/")).parts if part not in ("/", ".")]
    if not parts or len(text) > 4096:
        return None
    places = [folder.joinpath(*parts[k:]) for k in range(len(parts))] + [folder / IMAGES / parts[-1]]
    return next((file for place in places for file in _spellings(place) if file.is_file()), None)


def _spellings(place: Path) -> Iterator[Path]:
    yield place
    known = place.suffix.lower() in EXTENSIONS
    for extension in EXTENSIONS:
        for spelled in (extension, extension.upper()):
            yield place.with_name(place.name + spelled)
            if known and place.stem:
                yield place.with_suffix(spelled)
