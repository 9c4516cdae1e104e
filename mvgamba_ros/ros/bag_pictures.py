"""Topics of pictures in a recording, and the picture of a moment: the sharpest of a stop, depth and mask beside it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.ros.camera_frames import other_frames
from mvgamba_ros.ros.conversions.posed_view import sharpness, to_rgb
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

DEPTH_ENCODINGS = ("16UC1", "32FC1")
MASK_ENCODINGS = ("mono8", "8UC1", "mono16", "16UC1")
SYNC_S = 0.05
"""A depth image further than this from a picture does not belong to it, seconds. Set by hand: streams of one camera
that are not stamped alike lie up to a period of 30 Hz apart, and the camera stands."""

One = TypeVar("One")
Made = TypeVar("Made")


@dataclass
class PictureTopic:
    """A topic of pictures: its connection, and each message's place in the recording (log time) and own stamp."""

    connection: Connection
    frame: str
    encoding: str
    logged: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.connection.topic)

    @property
    def namespace(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def is_mask(self) -> bool:
        return self.name.endswith("/mask") and self.encoding in MASK_ENCODINGS

    @property
    def is_depth(self) -> bool:
        return not self.is_mask and (self.encoding in DEPTH_ENCODINGS or "compressedDepth" in self.encoding)


def made_of(make: Callable[[One], Made], of: Sequence[One]) -> tuple[list[Made], ReconstructionError | None]:
    """What could be made of each, and the last error: one broken picture must not lose a whole recording."""
    made, broken = [], None
    for one in of:
        try:
            made.append(make(one))
        except ReconstructionError as error:
            broken = error
    return made, broken


def message_stamp(data: bytes) -> int:
    """Nanoseconds of a message that begins with a header: CDR's four bytes of encapsulation, then the stamp."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * NANOSECONDS + int(nanoseconds)


def sharpest(bag: AnyReader, camera: PictureTopic, places: Sequence[int]) -> tuple[Any, int]:
    """The message whose picture is sharpest of those at ``places``, and its place."""
    if len(places) == 1:
        return _message(bag, camera, places[0]), places[0]

    def judged(place: int) -> tuple[float, int, Any]:
        image = _message(bag, camera, place)
        return sharpness(to_rgb(image, camera.name)), place, image

    found, broken = made_of(judged, places)
    if broken is not None and not found:
        raise broken
    _, place, image = max(found, key=lambda one: one[0])
    return image, place


def beside(bag: AnyReader, topics: Sequence[PictureTopic], what: str, image: Any, info: Any, stamp: int) -> Any | None:
    """The depth or mask of that moment that lies in the picture's frame and has its size; None where none does."""
    for topic in topics:
        place = int(np.abs(np.array(topic.stamps) - stamp).argmin())
        if abs(topic.stamps[place] - stamp) > SYNC_S * NANOSECONDS:
            continue
        found = _message(bag, topic, place)
        same_size = hasattr(found, "format") or (found.width, found.height) == (info.width, info.height)
        if same_size and not other_frames(image, {what: found}, str):
            return found
    return None


def _message(bag: AnyReader, topic: PictureTopic, place: int) -> Any:
    """The message at ``place``; of several that were logged at one moment the one of its stamp."""
    logged, found = topic.logged[place], b""
    for _, _, data in bag.messages([topic.connection], start=logged, stop=logged + 1):
        found = found or data
        if message_stamp(data) == topic.stamps[place]:
            found = data
            break
    return bag.deserialize(found, topic.connection.msgtype)
