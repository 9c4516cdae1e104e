"""What ~/save writes, and where it may."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.lock import cannot_write
from mvgamba_ros.io.results import write_results
from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.preview import preview
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.bag_messages import typestore
from mvgamba_ros.ros.bag_writer import Moments, write_recording
from mvgamba_ros.ros.conversions.stamps import stamp_of
from mvgamba_ros.ros.request_limits import LONGEST_PATH, check_length
from mvgamba_ros.ros.requests import Task
from mvgamba_ros.types import View

RECORDING = "views.mcap"
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
) -> list[str]:
    """Writes what `mvgamba reconstruct` writes, the report with the object's id and frame, and views/: a capture
    folder that `mvgamba reconstruct` reads; with ``moments``, also views.mcap, the same as a recording. Returns the
    absolute paths. Raises CANNOT_WRITE, and MISSING_PACKAGE for a recording without rosbags.

    ``directory``, ``output_dir``, ``outside``: see `place`; an empty ``directory`` is the object's own folder, named
    after its id and stamp.
    """
    target = place(directory or folder_name(message), output_dir, outside)
    about = {"id": message.id, "frame": message.header.frame_id}
    if moments is not None:
        typestore(target / RECORDING)  # whether it can be written, before the rest is

    def record(folder: Path) -> None:
        if moments is not None:
            write_recording(folder / RECORDING, views, moments)

    return [str(path) for path in write_results(target, result, preview(views, result), views, about, record)]


def moments_of(task: Task) -> Moments:
    """When and how mounted the cameras of a request's views were; read before the request gives its views up."""
    if task.request.views:
        return Moments([stamp_of(view.image) for view in task.request.views], task.frame)
    same = task.frame == task.parameters.target_frame
    mounts = [captured.mounts for captured in task.captured] if same else []
    return Moments([captured.stamp for captured in task.captured], task.frame, mounts)


def folder_name(message: ReconstructedObject) -> str:
    """E.g. "mug-1764342069.250000000": the object's id and its stamp in seconds. What no file name should hold is "_"
    there, and then a digest tells the ids apart."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", message.id).lstrip(".")[:LONGEST_NAME]
    if name != message.id:
        name += "-" + hashlib.sha256(message.id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stamp = message.header.stamp
    return f"{name}-{stamp.sec}.{stamp.nanosec:09d}"


def place(directory: str, output_dir: str, outside: bool) -> Path:
    """The folder that a request may have written, absolute.

    Args:
        directory: Absolute, below "~" (or "~user"), the home of the node's user (of another), or relative to
            ``output_dir``. ".." is taken out before any link is followed.
        output_dir: Likewise; relative to where the node was started.
        outside: Whether ``directory`` may lie anywhere. If not, it lies below ``output_dir`` and no symbolic link leads
            to it from there.

    Raises:
        ReconstructionError: CANNOT_WRITE, which names the folder and the parameter to set.
    """
    check_length("directory", directory, LONGEST_PATH, ErrorCode.CANNOT_WRITE)
    with cannot_write(Path(output_dir)):
        named = Path(os.path.abspath(Path(output_dir).expanduser()))  # noqa: PTH100
        base = named.resolve()
    with cannot_write(Path(directory)):
        target = Path(os.path.abspath(named / Path(directory).expanduser()))  # noqa: PTH100
        if outside:
            return target
        inner = next((target.relative_to(root) for root in (named, base) if target.is_relative_to(root)), None)
        if inner is None or inner == Path():
            raise ReconstructionError(
                ErrorCode.CANNOT_WRITE,
                f"{target} is not inside output_dir, {base}: leave the directory out or name one relative to that, or "
                "start the node with another output_dir or with save_outside true",
            )
        if (base / inner).resolve() != base / inner:
            raise ReconstructionError(
                ErrorCode.CANNOT_WRITE,
                f"{target}: a symbolic link leads there from output_dir, {base}, and is not followed: name another "
                "directory, or start the node with save_outside true",
            )
        return base / inner
