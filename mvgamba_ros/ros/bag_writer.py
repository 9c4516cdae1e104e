"""Views as a ROS 2 recording: one MCAP file that `ros2 bag play`, Foxglove and `mvgamba_ros.ros.bag_reader` read.

Needs no ROS: rosbags encodes the messages (``pip install mvgamba_ros[bags]``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, shown
from mvgamba_ros.io.atomic_writes import whole_file
from mvgamba_ros.io.image_files import depth_to_millimetres
from mvgamba_ros.io.lock import cannot_write
from mvgamba_ros.ros.bag_messages import CAMERA_INFO, IMAGE, TF, Messages, typestore
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.transforms import MOST_NAME
from mvgamba_ros.ros.view_buffer import Mount
from mvgamba_ros.types import View

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

CAPTURED = "/captured_views"
"""Namespace of the topics of pictures that are views already: the reader takes each of them."""
CAMERA_FRAME = "captured_optical_frame"
"""The pictures' frame, where it is not known."""
STANDS = NANOSECONDS // 5
"""The camera is recorded at a view's pose from so long before its stamp until so long after, nanoseconds, so that a
node that is played the recording finds it still."""
SAME_MOUNT = 1e-9
"""Within which a frame hangs on its parent in all views, see `Mount.hangs_as`: a recording loses nothing."""


@dataclass(frozen=True)
class Moments:
    """What a recording holds of views besides themselves."""

    stamps: Sequence[int]
    """Nanoseconds, of each view."""
    frame: str
    """Of the views' poses."""
    mounts: Sequence[Sequence[Mount]] = ()
    """Of each view the chain from its optical frame up to ``frame``. Where it is not known, or does not lead there, one
    transform stands for it."""


def numbered(count: int, frame: str = "world") -> Moments:
    """For views whose moments are not known: one each second, beginning at 1 s, for a stamp of 0 means none."""
    return Moments([(k + 1) * NANOSECONDS for k in range(count)], frame)


def write_recording(path: Path, views: Sequence[View], moments: Moments) -> None:
    """Writes ``views`` as the recording ``path``, which appears whole and is compressed without loss.

    The pictures are on ``/captured_views/image``, with camera_info, depth (millimetres, as in a capture folder) and
    mask beside them, and the poses in /tf and /tf_static. Stamps that are not all different and above 0 cannot tell the
    views apart: `numbered` ones stand for them.

    Raises:
        ReconstructionError: CANNOT_WRITE where ``path`` is there, does not end in .mcap or cannot be written;
            MISSING_PACKAGE without rosbags; BAD_CAPTURE without views.
    """
    store = typestore(path)
    check_recording(path)
    if not views:
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path}: no views to write")
    if len(set(moments.stamps)) < len(views) or min(moments.stamps) <= 0:
        moments = numbered(len(views), moments.frame)
    fixed, moving, frame = _transforms(views, moments)
    messages = Messages(store)
    order = sorted(range(len(views)), key=lambda k: moments.stamps[k])
    gaps = np.diff([moments.stamps[k] for k in order])
    around = min(STANDS, int(gaps.min()) // 3) if len(gaps) else STANDS
    around = min(around, moments.stamps[order[0]])
    with Recorder(path, store).open() as put:
        for number, k in enumerate(order):
            view, stamp = views[k], moments.stamps[k]
            if not number and fixed:
                put("/tf_static", TF, stamp - around, messages.transforms(fixed, stamp - around))
            for moment in (stamp - around, stamp):
                put("/tf", TF, moment, messages.transforms(moving[k], moment))
            put(f"{CAPTURED}/camera_info", CAMERA_INFO, stamp, messages.camera_info(view.camera, stamp, frame))
            if view.depth is not None:
                depth = messages.image(depth_to_millimetres(view.depth), "16UC1", stamp, frame)
                put(f"{CAPTURED}/depth", IMAGE, stamp, depth)
            if view.mask is not None:
                mask = messages.image(view.mask.astype(np.uint8) * 255, "mono8", stamp, frame)
                put(f"{CAPTURED}/mask", IMAGE, stamp, mask)
            put(f"{CAPTURED}/image", IMAGE, stamp, messages.image(view.image, "rgb8", stamp, frame))
            put("/tf", TF, stamp + around, messages.transforms(moving[k], stamp + around))


def check_recording(path: Path) -> None:
    """Raises CANNOT_WRITE where ``path`` is no name for a new recording."""
    if path.suffix != ".mcap":
        raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{path}: a recording's name ends in .mcap: name it so")
    with cannot_write(path):
        there = path.exists() or path.is_symlink()
    if there:
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE, f"{path} is there and is not replaced: move it away, or choose another name"
        )


def check_frame(frame: str) -> None:
    """Raises BAD_OPTION where TF cannot call the frame of a recording's poses ``frame``."""
    if not frame.isprintable() or not 0 < len(frame) <= MOST_NAME or frame == CAMERA_FRAME:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"the frame's name {shown(frame)} must have 1 to {MOST_NAME} printable characters and not be that of the "
            f"camera, {CAMERA_FRAME}",
        )


class Recorder:
    """Writes messages of ``store``'s types into the MCAP file ``path``, which appears once all are in it."""

    def __init__(self, path: Path, store: Typestore) -> None:
        self._path, self._store = path, store
        self._bag: Any = None
        self._connections: dict[str, Any] = {}

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Gives a function that puts a message of a topic and a type at a time, nanoseconds."""
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        with whole_file(self._path) as part:
            with cannot_write(self._path):  # not around what the caller does meanwhile
                self._bag = Writer(part / "recording", version=9, storage_plugin=StoragePlugin.MCAP)
                self._bag.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
                self._bag.open()
            try:
                yield self._put
            except BaseException as error:
                self._bag.__exit__(type(error), error, error.__traceback__)
                raise
            with cannot_write(self._path):
                self._bag.close()
                (written,) = (part / "recording").glob("*.mcap")
                written.rename(part / self._path.name)

    def _put(self, topic: str, kind: str, moment: int, message: Any) -> None:
        """``message``: of the store's types, or serialized."""
        if topic not in self._connections:
            qos = [latched()] if topic == "/tf_static" else []
            self._connections[topic] = self._bag.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=qos
            )
        content = message if isinstance(message, bytes) else self._store.serialize_cdr(message, kind)
        with cannot_write(self._path):
            self._bag.write(self._connections[topic], moment, content)


def latched() -> Any:
    """The QoS of /tf_static: a player offers it to whoever comes late."""
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    never = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        never,
        never,
        QosLiveliness.AUTOMATIC,
        never,
        avoid_ros_namespace_conventions=False,
    )


def _transforms(views: Sequence[View], moments: Moments) -> tuple[list[Mount], list[list[Mount]], str]:
    """The mounts that are the same in all views, those of each view that are not, and the frame of the pictures."""
    names = {tuple((mount.parent, mount.frame) for mount in chain) for chain in moments.mounts}
    first = next(iter(names), ())
    if len(names) != 1 or len(moments.mounts) != len(views) or not first or first[-1][0] != moments.frame:
        frame = first[0][1] if len(names) == 1 and first else CAMERA_FRAME
        return [], [[Mount(moments.frame, frame, view.T_world_camera)] for view in views], frame
    places = range(len(first))
    fixed = [
        len(views) > 1 and all(chain[k].hangs_as(moments.mounts[0][k], SAME_MOUNT) for chain in moments.mounts)
        for k in places
    ]
    moving = [[chain[k] for k in places if not fixed[k]] for chain in moments.mounts]
    return [moments.mounts[0][k] for k in places if fixed[k]], moving, first[0][1]
