"""What the capture readers of folders of posed pictures share: the choice of views, their reading, their sizes."""

from __future__ import annotations

import fnmatch
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, short
from mvgamba_ros.geometry.se3 import check_rigid
from mvgamba_ros.geometry.view_selection import around
from mvgamba_ros.io.posed_pictures import PosedPicture, picture_sizes_of, present, read_views
from mvgamba_ros.io.transforms_intrinsics import bad_capture
from mvgamba_ros.types import View

LARGEST_TEXT = 500_000_000
"""Bytes of a file of poses. Set by hand: COLMAP's text models list every feature of every picture."""
LISTS = ("transforms.json", "transforms_train.json")
"""Lists of views that `mvgamba_ros.io.transforms_json` reads; the second is that of NeRF's synthetic scenes."""
log = logging.getLogger(__name__)


class PicturesReader(ABC):
    """A capture reader (`mvgamba_ros.io.capture_readers.CaptureReader`) of a format that lists posed pictures.

    The list of views (``views_file``, ``--views``) is a pattern of picture names, as of a shell: "images/*_left.png".
    """

    layout: str
    video = False
    """Whether pictures are frames of a film: without a pattern those spread around the object are taken."""

    @abstractmethod
    def holds(self, path: Path) -> bool:
        """Whether ``path`` holds a capture of the format, by the names of its files. May raise OSError."""

    @abstractmethod
    def pictures(self, path: Path) -> list[PosedPicture]:
        """All pictures of ``path``, in its order. May raise anything of a broken file."""

    def recognises(self, path: Path, views_file: str) -> bool:
        """See `mvgamba_ros.io.capture_readers.CaptureReader`."""
        try:
            return (not views_file or is_pattern(views_file)) and not holds_list(path) and self.holds(path)
        except OSError:  # a name that is too long, a folder that cannot be entered
            return False

    def read(self, path: Path, views_file: str) -> list[View]:
        """See `mvgamba_ros.io.capture_readers.CaptureReader`."""
        return read_views(path, self._chosen(path, views_file))

    def sizes(self, path: Path, views_file: str) -> list[tuple[int, int]]:
        """See `mvgamba_ros.io.capture_readers.SizedReader`."""
        return picture_sizes_of(path, self._chosen(path, views_file))

    def _checked(self, path: Path) -> list[PosedPicture]:
        try:
            pictures = self.pictures(path)
            for picture in pictures:
                check_rigid(picture.T_world_camera, picture.name)
        except ReconstructionError as error:
            if error.code not in (ErrorCode.BAD_POSE, ErrorCode.BAD_CAMERA_INFO):
                raise
            raise bad_capture(path, error.message) from error
        return pictures

    def _chosen(self, path: Path, views_file: str) -> list[PosedPicture]:
        with boundary(ErrorCode.BAD_CAPTURE, path, f"it cannot be read as {self.layout}"):
            if not self.holds(path):
                raise bad_capture(path, f"is not {self.layout}")
            pictures = self._checked(path)
        if not pictures:
            raise bad_capture(path, "lists no picture with a pose")
        if views_file:
            return matching(path, pictures, views_file)
        return spread(path, present(path, pictures)) if self.video else pictures


def holds_list(path: Path) -> bool:
    """Whether a folder has a transforms.json, which is the better source of what it holds. May raise OSError."""
    return any((path / name).is_file() for name in LISTS)


def is_pattern(views_file: str) -> bool:
    """Whether a list of views is a pattern of names."""
    return any(letter in views_file for letter in "*?[")


def matching(source: Path, pictures: Sequence[PosedPicture], pattern: str) -> list[PosedPicture]:
    """The pictures whose name, or whose file's name, fits a pattern. Raises BAD_CAPTURE where none does."""
    found = [
        picture
        for picture in pictures
        if fnmatch.fnmatchcase(picture.name, pattern) or fnmatch.fnmatchcase(Path(picture.name).name, pattern)
    ]
    if not found:
        raise bad_capture(
            source, f"none of its {len(pictures)} pictures fits {short(pattern)!r}, as {pictures[0].name}"
        )
    return found


def spread(source: Path, pictures: list[PosedPicture]) -> list[PosedPicture]:
    """Of a film's pictures those that `mvgamba_ros.geometry.view_selection.around` takes."""
    taken = around(np.stack([picture.T_world_camera for picture in pictures]))
    if len(taken) < len(pictures):
        log.info("%s: %d of %d pictures, spread around the object, are taken", source, len(taken), len(pictures))
    return [pictures[index] for index in taken]


def read_json(path: Path) -> Any:
    """The content of a JSON file of at most `LARGEST_TEXT` bytes."""
    return json.loads(read_bytes(path).decode("utf-8-sig"))


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises BAD_CAPTURE beyond `LARGEST_TEXT`."""
    with path.open("rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise bad_capture(path, f"larger than {LARGEST_TEXT} bytes: it is no list of poses")
    return content
