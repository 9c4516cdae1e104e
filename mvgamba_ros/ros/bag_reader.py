"""Captures out of ROS 2 recordings (rosbag2: MCAP or SQLite): still, sharp views from around the object, with poses by
TF, and depth and mask where they belong to them; of what `bag_writer` wrote, all views.

Needs no ROS: rosbags decodes the messages (``pip install mvgamba_ros[bags]``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.view_selection import ViewSelection, around, candidates, stops
from mvgamba_ros.ros.bag_messages import CAMERA_INFO, COMPRESSED, IMAGE, TF, typestore
from mvgamba_ros.ros.bag_pictures import PictureTopic, beside, made_of, message_stamp, sharpest
from mvgamba_ros.ros.bag_writer import CAPTURED
from mvgamba_ros.ros.conversions.posed_view import make_view
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of
from mvgamba_ros.ros.transforms import TransformBuffer
from mvgamba_ros.types import F64, View

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

STORAGES = (".mcap", ".db3")
PACKED = tuple(f"{storage}.zstd" for storage in STORAGES)
"""Endings of recordings, and of those that rosbag2 compressed by file, of which only the metadata tell how."""
ZSTD = bytes.fromhex("28b52ffd")
"""How zstd's frames begin; no message does."""
FOR_EVER_S = 1e9
"""All transforms of a recording are kept."""
log = logging.getLogger(__name__)


class RosBag:
    """The capture reader of rosbag2 recordings, see `mvgamba_ros.io.capture_readers`.

    The list of views (``views_file``, ``--views``) is a topic of images, a frame, or both as ``TOPIC@FRAME``: which
    camera where a recording has several, and the frame of the poses, otherwise the root of the camera's TF tree.
    """

    def __init__(self, limit: Callable[[list[tuple[int, int]]], None] = lambda sizes: None) -> None:
        """``limit`` gets width and height of each picture to be taken, and raises where they are too many or too large:
        before one is decoded."""
        self._limit = limit

    layout = "a rosbag2 recording: a folder with metadata.yaml, or one .mcap or .db3 file"

    def recognises(self, path: Path, views_file: str) -> bool:
        if views_file and not views_file.startswith("/") and "@" not in views_file:
            return False
        try:
            return path.name.endswith((*STORAGES, *PACKED)) or (path / "metadata.yaml").is_file()
        except OSError:  # a name that is too long, a folder that cannot be entered
            return False

    def read(self, path: Path, views_file: str) -> list[View]:
        topic, _, frame = views_file.partition("@")
        try:
            with _open(path) as bag:
                return _read(bag, path, topic, frame.lstrip("/"), self._limit)
        except (ReconstructionError, MemoryError):
            raise
        except Exception as error:  # a damaged recording surfaces as whatever its decoder stumbles over
            raise _bad(
                path,
                f"the recording cannot be read: {type(error).__name__}: {error}: where it was cut off, `mcap recover` "
                "or `ros2 bag reindex` may mend it",
            ) from error


def _open(path: Path) -> AnyReader:
    store = typestore(path)
    from rosbags.highlevel import AnyReader

    if not path.exists():
        raise _bad(path, "not found")
    if path.name.endswith(PACKED):
        raise _bad(path, "compressed as a whole: give the folder that it lies in with its metadata.yaml, or unzstd it")
    for file in path.iterdir() if path.is_dir() else (path,):
        if file.name.endswith((*STORAGES, *PACKED)) and not file.is_file():  # to open a pipe may wait for ever
            raise _bad(file, "not a regular file: give a recording's file, or the folder with its metadata.yaml")
    return AnyReader([path], default_typestore=store)


def _read(
    bag: AnyReader, path: Path, topic: str, frame: str, limit: Callable[[list[tuple[int, int]]], None]
) -> list[View]:
    config = ViewSelection()
    topics = list(_pictures(bag))
    infos = _camera_infos(bag)
    camera = _choose(path, topics, infos, topic)
    transforms, root = _transforms(bag, path, camera.frame)
    frame = frame or root
    seconds, poses, places = _poses(camera, transforms, frame, path)
    depths = [topic for topic in topics if topic.is_depth]
    masks = [topic for topic in topics if topic.is_mask and topic.namespace == camera.namespace]

    def info_at(stamp: int) -> Any:
        return min(infos[camera.name], key=lambda info: abs(stamp_of(info) - stamp))

    def view_of(stop: Sequence[int]) -> View:
        image, place = sharpest(bag, camera, [places[k] for k in stop])
        stamp = camera.stamps[place]
        info = info_at(stamp)
        depth = beside(bag, depths, "depth", image, info, stamp)
        mask = beside(bag, masks, "mask", image, info, stamp)
        name = f"{camera.name}@{frame} at {(camera.logged[place] - bag.start_time) / NANOSECONDS:.2f} s"
        return make_view(image, info, poses[places.index(place)], depth, mask, name=name)

    chosen = list(_stops(camera, seconds, poses, config, path))
    heads = [info_at(camera.stamps[places[stop[-1]]]) for stop in chosen]
    limit([(int(info.width), int(info.height)) for info in heads])
    views, broken = made_of(view_of, chosen)
    if broken is not None:
        if not views:
            raise broken
        log.warning("%s: %d views are left out: %s", path.name, len(chosen) - len(views), broken.message)
    log.info("%s: %d views of %s in frame '%s'", path.name, len(views), camera.name, frame)
    return views


def _pictures(bag: AnyReader) -> Iterator[PictureTopic]:
    """Every topic of pictures that has messages, with the stamps of all of them; no picture is decoded."""
    found: dict[int, PictureTopic] = {}
    for connection, logged, data in _messages(bag, IMAGE, COMPRESSED):
        if connection.id not in found:
            first = bag.deserialize(data, connection.msgtype)
            encoding = first.format if connection.msgtype == COMPRESSED else first.encoding  # type: ignore[attr-defined]
            found[connection.id] = PictureTopic(connection, first.header.frame_id.lstrip("/"), encoding)  # type: ignore[attr-defined]
        found[connection.id].logged.append(logged)
        found[connection.id].stamps.append(message_stamp(data) or logged)
    yield from found.values()


def _messages(bag: AnyReader, *kinds: str) -> Iterator[tuple[Connection, int, bytes]]:
    """Connection, log time and bytes of every message of these types."""
    connections = [c for c in bag.connections if c.msgtype in kinds]
    if connections:  # of an empty list rosbags gives all messages
        for connection, logged, data in bag.messages(connections):
            if data[:4] == ZSTD:
                raise _bad(
                    Path(str(bag.paths[0])), "each message is compressed: give the folder, with its metadata.yaml"
                )
            yield connection, logged, data


def _camera_infos(bag: AnyReader) -> Mapping[str, Sequence[Any]]:
    """For each topic of pictures the messages of the camera_info beside it, by ROS's rule of names; none where there is
    no such topic."""
    infos: dict[str, list[Any]] = {}
    for connection, _, data in _messages(bag, CAMERA_INFO):
        infos.setdefault(connection.topic, []).append(bag.deserialize(data, CAMERA_INFO))
    found = {}
    for connection in bag.connections:
        if connection.msgtype in (IMAGE, COMPRESSED):
            name = connection.topic.removesuffix("/compressed").removesuffix("/compressedDepth")
            beside = name.rpartition("/")[0] + "/camera_info"
            found[connection.topic] = infos.get(beside) or infos.get(name + "/camera_info") or []
    return found


def _choose(
    path: Path, topics: Sequence[PictureTopic], infos: Mapping[str, Sequence[Any]], wanted: str
) -> PictureTopic:
    """The topic of colour pictures to take. Raises BAD_CAPTURE with those that there are where it is not clear."""
    listed = "; ".join(
        f"{t.name} ({len(t.stamps)} of {t.encoding}{'' if infos[t.name] else ', no camera_info beside it'})"
        for t in topics
    )
    if wanted:
        chosen = [t for t in topics if t.name == wanted]
        if not chosen:
            raise _bad(path, f"no pictures on {wanted}; there are: {listed or 'none'}")
        if not infos[wanted]:
            raise _bad(path, f"no camera_info beside {wanted}: record it too; there are: {listed}")
        return chosen[0]
    usable = [t for t in topics if infos[t.name] and not t.is_depth and not t.is_mask]
    raw = {t.name for t in usable}
    usable = [t for t in usable if t.name.removesuffix("/compressed") not in raw - {t.name}]
    colored = [t for t in usable if not t.encoding.startswith(("mono", "8UC1"))] or usable
    if len(colored) != 1:
        what = "several cameras: choose one by --views TOPIC" if colored else "no pictures with camera_info beside them"
        raise _bad(path, f"{what}; there are: {listed or 'none'}")
    return colored[0]


def _transforms(bag: AnyReader, path: Path, frame: str) -> tuple[TransformBuffer, str]:
    """The transforms above ``frame`` over the whole recording, and the root that they lead to."""
    messages = []
    parents: dict[str, str] = {}
    for connection, _, data in _messages(bag, TF):
        static = connection.topic.endswith("tf_static")
        for transform in bag.deserialize(data, TF).transforms:  # type: ignore[attr-defined]
            parents[transform.child_frame_id.lstrip("/")] = transform.header.frame_id.lstrip("/")
            messages.append((transform, static))
    above, root = {frame}, frame
    while root in parents and parents[root] not in above:
        root = parents[root]
        above.add(root)
    if root == frame:
        raise _bad(path, f"TF has no parent of the pictures' frame '{frame}': record /tf and /tf_static")
    buffer = TransformBuffer(FOR_EVER_S)
    for transform, static in messages:
        if transform.child_frame_id.lstrip("/") in above:
            buffer.insert(transform, static)
    return buffer, root


def _poses(camera: PictureTopic, transforms: TransformBuffer, frame: str, path: Path) -> tuple[F64, F64, list[int]]:
    """Seconds (N,), ``T_world_camera`` (N, 4, 4) and places in the topic of the pictures whose pose is known."""
    poses, places, last = [], [], None
    for place in np.argsort(camera.stamps, kind="stable").tolist():
        try:
            poses.append(transforms.lookup(frame, camera.frame, camera.stamps[place]))
            places.append(place)
        except ReconstructionError as error:
            last = error
    if not poses:
        raise _bad(path, f"none of {len(camera.stamps)} pictures on {camera.name} has a pose: {last and last.message}")
    if last is not None:
        missing = len(camera.stamps) - len(poses)
        log.warning("%s: %d of %d pictures have no pose and are left out", path.name, missing, len(camera.stamps))
    seconds = np.array([camera.stamps[place] for place in places]) / NANOSECONDS
    return seconds - seconds[0], np.stack(poses), places


def _stops(camera: PictureTopic, seconds: F64, poses: F64, config: ViewSelection, path: Path) -> Iterator[list[int]]:
    """For each view to take the moments that may give it."""
    if camera.namespace == CAPTURED:  # somebody chose already
        yield from ([k] for k in range(len(seconds)))
        return
    groups, stood = stops(seconds, poses, config)
    if not stood:
        log.warning("%s: the camera never stood still; the slowest moments are taken, poses may be late", path.name)
    heads = [group[-1] for group in groups]
    yield from (candidates(groups[index], config) for index in around(poses[heads], config))


def _bad(path: Path, what: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path}: {what}")
