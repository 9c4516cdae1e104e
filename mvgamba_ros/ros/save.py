"""What ~/save writes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.io.results import write_results
from mvgamba_ros.io.scene_results import BESIDE_OBJECTS, SceneEntry, write_scene
from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.preview import preview
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.bag_messages import typestore
from mvgamba_ros.ros.bag_writer import Moments, write_recording
from mvgamba_ros.ros.conversions.stamps import stamp_of
from mvgamba_ros.ros.folders import confined
from mvgamba_ros.ros.requests import Task
from mvgamba_ros.scene_objects import SceneObject
from mvgamba_ros.scene_picture import scene_picture
from mvgamba_ros.types import View
from mvgamba_ros.webpage.report_html import report_html

RECORDING = "views.mcap"
SCENES_OWN = (*BESIDE_OBJECTS, RECORDING)
"""What lies beside the objects' folders."""
LONGEST_NAME = 80
"""Characters of an object's id in the name of its folder."""


def save(
    directory: str,
    output_dir: str,
    outside: bool,
    result: Reconstruction,
    views: Sequence[View],
    message: ReconstructedObject,
    moments: Moments | None = None,
    scene: Mapping[str, SceneObject] | None = None,
) -> list[str]:
    """Writes what `mvgamba reconstruct` writes, the report with the object's id and frame, and views/: a capture
    folder that `mvgamba reconstruct` reads; with ``moments``, also views.mcap, the same as a recording. Returns the
    absolute paths. Of a ``scene`` that is what `mvgamba reconstruct --all` writes, with the objects' own ids. Raises
    CANNOT_WRITE, and MISSING_PACKAGE for a recording without rosbags.

    ``directory``, ``output_dir``, ``outside``: see `confined`; an empty ``directory`` is the object's own folder, named
    after its id and stamp.
    """
    own_name = folder_name(message.id if scene is None else "scene", message.header.stamp)
    target = confined(directory or own_name, output_dir, outside)
    about = {"frame": message.header.frame_id}
    if moments is not None:
        typestore(target / RECORDING)  # whether it can be written, before the rest is

    def record(folder: Path) -> None:
        if scene is None:
            write_file(folder / "report.html", report_html(views, result, message.id or target.name))
        if moments is not None:
            write_recording(folder / RECORDING, views, moments)

    if scene is None:
        about = {"id": message.id, **about}
        written = write_results(target, result, preview(views, result), views, about, record)
    else:
        picture = scene_picture(views, list(scene.values()))
        written = write_scene(target, _entries(scene, views), picture, views, about, record)
    return [str(path) for path in written]


def _entries(scene: Mapping[str, SceneObject], views: Sequence[View]) -> list[SceneEntry]:
    entries = []
    for name, item in scene.items():
        if item.result is not None:
            seen = [views[index] for index in item.views]
            page = report_html(seen, item.result, name)
            entries.append(
                SceneEntry(name, item.region, item.result, preview(seen, item.result), file_name(name), page)
            )
        elif item.error is not None:
            entries.append(SceneEntry(name, item.region, item.error))
    return entries


def moments_of(task: Task) -> Moments:
    """When and how mounted the cameras of a request's views were; read before the request gives its views up."""
    if task.request.views:
        return Moments([stamp_of(view.image) for view in task.request.views], task.frame)
    same = task.frame == task.parameters.target_frame
    mounts = [captured.mounts for captured in task.captured] if same else []
    return Moments([captured.stamp for captured in task.captured], task.frame, mounts)


def folder_name(name: str, stamp: Any) -> str:
    """E.g. "mug-1764342069.250000000": the object's id, as `file_name`, and its stamp in seconds."""
    return f"{file_name(name)}-{stamp.sec}.{stamp.nanosec:09d}"


def file_name(name: str) -> str:
    """An object's id; what no file name should hold is "_" there, and then, as for one of `SCENES_OWN`, a digest tells
    the names apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:LONGEST_NAME]
    if plain != name or plain in SCENES_OWN:
        plain += "-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return plain
