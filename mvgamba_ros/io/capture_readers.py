"""Captures of any registered format: the reader that recognises a path reads it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from mvgamba_ros.errors import ErrorCode, ReconstructionError, cause, short
from mvgamba_ros.registry import Kind, available, blamed, fault, load, origin
from mvgamba_ros.types import View

READERS: Kind = "capture_readers"
MOST_SHOWN = 3
"""Names in a folder that a message has."""


class CaptureReader(Protocol):
    """One format of captures. What is registered is called without arguments to make it."""

    layout: str
    """What a capture of this format is, for messages: "a folder with transforms.json and its images"."""

    def recognises(self, path: Path, views_file: str) -> bool:
        """Whether ``path``, a folder or file that need not exist, holds a capture of this format, and, where
        ``views_file`` is not empty, that list of views. Called for every capture of any format: checks for files
        by name, reads little, and raises nothing."""
        ...

    def read(self, path: Path, views_file: str) -> list[View]:
        """The views of a path that was recognised: distortion as calibrated, ``T_world_camera`` of OpenCV optical
        frames in metres, masks and depth where the capture has them (`mvgamba_ros.types.View`).

        ``views_file`` names one of several lists of views; empty is the format's own. Raises BAD_CAPTURE with the
        file's name and what to do about it.
        """
        ...


@runtime_checkable
class SizedReader(Protocol):
    """What a reader may offer beside: the sizes of a capture's pictures before they are decoded."""

    def sizes(self, path: Path, views_file: str) -> list[tuple[int, int]]:
        """Width and height of each picture that `CaptureReader.read` would return, by headers alone. Raises as that."""
        ...


def read_capture(path: str | Path, views_file: str = "", reader: str = "", depth: bool = True) -> list[View]:
    """All views of a capture, in its own order, with mask and depth where it has them.

    Args:
        path: A folder with a transforms.json and its images (nerfstudio or instant-ngp layout), a rosbag2 recording, or
            what another registered reader recognises: COLMAP, BOP, Polycam, Record3D, Metashape, TUM.
        views_file: The list of views to read, where the capture has several, or a pattern of its pictures' names, as
            "images/*_left.png"; empty is the format's own. Of a recording: TOPIC, @FRAME or TOPIC@FRAME
            (`mvgamba_ros.ros.bag_reader.RosBag`); of a BOP scene the object's number.
        reader: Name of the reader (`mvgamba_ros.registry.available("capture_readers")`); empty finds the one that
            recognises ``path``.
        depth: False leaves out the depth that the capture has.

    Returns:
        Posed views; lengths in metres, poses ``T_world_camera`` of OpenCV optical frames.

    Raises:
        ReconstructionError: BAD_CAPTURE where no reader recognises ``path`` or two do, and where a file in it is
            missing or broken; BAD_OPTION for an unknown ``reader``.

    Example:
        >>> from mvgamba_ros import read_capture
        >>> views = read_capture("capture")
        >>> views[0].image.shape, views[0].T_world_camera.shape
        ((240, 320, 3), (4, 4))
    """
    path = Path(path)
    views = _read(reader or recognising_reader(path, views_file), path, views_file)
    return views if depth else [replace(view, depth=None) for view in views]


def picture_sizes(path: Path, views_file: str = "", reader: str = "") -> list[tuple[int, int]] | None:
    """Width and height of each picture of a capture, nothing of which is decoded; None where its reader cannot know
    them before. Arguments and errors as `read_capture`."""
    reader = reader or recognising_reader(path, views_file)
    factory = load(READERS, reader)
    with blamed(READERS, reader):
        made = factory()
        return made.sizes(path, views_file) if isinstance(made, SizedReader) else None


def is_capture(path: Path, views_file: str = "", reader: str = "") -> bool:
    """Whether any reader recognises ``path``, or the one that is named. Raises BAD_OPTION for an unknown ``reader``."""
    for name in [reader] if reader else available(READERS):
        try:
            if _recognises(name, path, views_file)[1]:
                return True
        except ReconstructionError:  # a broken extension's; reading the capture by it tells
            if reader:
                raise
    return False


def recognising_reader(path: Path, views_file: str = "") -> str:
    """Name of the one reader that recognises ``path``. Raises BAD_CAPTURE where none does, as nothing is there or it is
    of no known format, or two do."""
    names, found, known, broken = available(READERS), [], [], []
    for name in names:
        try:
            layout, recognised = _recognises(name, path, views_file)
        except ReconstructionError as error:  # matters only where no other reader recognises the path
            broken.append(error.message)
            continue
        known.append(f"{name} ({layout})")
        if recognised:
            found.append(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE,
            f"{path}: recognised by the readers "
            + " and ".join(f"{name} of {origin(READERS, name)}" for name in found)
            + ": name the one to take",
        )
    if not os.path.exists(path):  # noqa: PTH110  (False for a name that is too long, too)
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, "; ".join([f"{short(path)}: does not exist", *broken]))
    where = f"{path} ({_holds(path)})" if path.is_dir() else f"{path}"
    what = f"{where}: {views_file}: not found, or no list of views" if views_file else f"{where}: not a capture"
    raise ReconstructionError(
        ErrorCode.BAD_CAPTURE, "; ".join([f"{what} of a known format: {', '.join(known)}", *broken])
    )


def _holds(folder: Path) -> str:
    """What is in a folder, in a few words."""
    try:
        names = sorted(item.name for item in folder.iterdir())
    except OSError as error:
        return f"cannot be read: {cause(error)}"
    listed = ", ".join(map(short, names[:MOST_SHOWN]))
    more = len(names) - MOST_SHOWN
    return f"holds {listed}{f' and {more} more' if more > 0 else ''}" if names else "is empty"


def _recognises(reader: str, path: Path, views_file: str) -> tuple[str, bool]:
    """The layout that a reader reads, and whether ``path`` has it."""
    factory = load(READERS, reader)
    with blamed(READERS, reader):
        candidate: CaptureReader = factory()
        return candidate.layout, candidate.recognises(path, views_file)


def _read(reader: str, path: Path, views_file: str) -> list[View]:
    factory = load(READERS, reader)
    with blamed(READERS, reader):
        made: CaptureReader = factory()
        views = made.read(path, views_file)
    if not isinstance(views, list | tuple) or not all(isinstance(view, View) for view in views):
        raise fault(READERS, reader, f"returned {type(views).__name__}, not a list of View, for {path}")
    return list(views)
