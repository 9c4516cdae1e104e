"""Capture folders: a transforms.json beside images, as nerfstudio and instant-ngp write and read them.

Poses there are OpenGL camera-to-world; here they become OpenCV ``T_world_camera``. Units are taken to be metres before
``applied_scale``, which nerfstudio's tools multiplied the poses by (depth they left in metres): it is taken out.
``applied_transform`` is left in: it turned the world, most often to have z up. ``scale``, ``offset``, ``aabb_scale``
and the like are what a viewer should do with the poses, not where the cameras were.

Format: https://docs.nerf.studio/quickstart/data_conventions.html and instant-ngp's docs/nerf_dataset_tips.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, boundary, short
from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL
from mvgamba_ros.io.atomic_writes import write_files
from mvgamba_ros.io.frame_paths import find_file
from mvgamba_ros.io.image_files import depth_to_millimetres, encode_png
from mvgamba_ros.io.pictures_reader import LISTS, is_pattern, matching
from mvgamba_ros.io.pose_files import read_pose
from mvgamba_ros.io.posed_pictures import PosedPicture, picture_sizes_of, read_views
from mvgamba_ros.io.transforms_intrinsics import (
    bad_capture,
    finite_number,
    intrinsics,
    merged,
    read_camera,
    stated_size,
)
from mvgamba_ros.types import View

LARGEST_LIST = 20_000_000
"""Bytes of a list of views. Set by hand: 20,000 frames."""
USUAL, TRAINING = LISTS
WHOLE = ("camera_model", "is_fisheye")
"""Keys that a list has for the whole file where cameras differ."""
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class TransformsJson:
    """The capture reader of this format, see `mvgamba_ros.io.capture_readers`. The list of views is another file of the
    format in the folder, or a pattern of the ``file_path`` of frames."""

    layout = "a folder with transforms.json and its images, as nerfstudio and instant-ngp write them, or that file"

    def recognises(self, path: Path, views_file: str) -> bool:
        try:
            file = _list(path, views_file)
            return file.suffix == ".json" and file.is_file()
        except OSError:  # a name that is too long, a folder that cannot be entered
            return False

    def read(self, path: Path, views_file: str) -> list[View]:
        file = _list(path, views_file)
        return read_views(file, _chosen(file, views_file))

    def sizes(self, path: Path, views_file: str) -> list[tuple[int, int]]:
        """Width and height of each frame's picture by its header, see `mvgamba_ros.io.capture_readers.SizedReader`."""
        file = _list(path, views_file)
        return picture_sizes_of(file, _chosen(file, views_file))


def _list(path: Path, views_file: str) -> Path:
    """The list of views of a capture, which may be what is named itself."""
    if views_file and not is_pattern(views_file):
        return path / views_file
    if path.suffix == ".json" and path.is_file():
        return path
    return path / (USUAL if (path / USUAL).is_file() or not (path / TRAINING).is_file() else TRAINING)


def _chosen(file: Path, views_file: str) -> list[PosedPicture]:
    pictures = _pictures(file)
    return matching(file, pictures, views_file) if is_pattern(views_file) else pictures


def read_transforms_json(folder: str | Path, views_file: str = USUAL) -> list[View]:
    """All views of a capture, in the file's order, with mask and depth where the file names them.

    Frames whose image is missing are left out, with a warning. A mask is read from ``mask_path``, else from an alpha
    channel that is not opaque everywhere; what else may cover the object from ``hidden_path``, white there. Depth
    (``depth_file_path`` or instant-ngp's ``depth_path``) is whole millimetres unless ``integer_depth_scale`` gives
    another unit, or floating point metres. Raises BAD_CAPTURE with the file's name and what to do about it.
    """
    path = Path(folder) / views_file
    return read_views(path, _pictures(path))


def write_capture(folder: str | Path, views: Sequence[View], views_file: str = "transforms.json") -> Path:
    """Write ``views`` as a capture that nerfstudio, instant-ngp and `read_transforms_json` read; returns its file.

    ``views_file``: a folder may hold several sets of views; those of ``transforms_test.json`` lie in ``images_test``.
    Images and masks become PNGs, depth 16-bit millimetres (0 where unknown, and beyond 65.5 m); intrinsics are written
    per frame, and for the whole file where they are the same. The list is removed before the first picture changes and
    appears last, so that it never names pictures of another list. Raises CANNOT_WRITE, and BAD_CAPTURE where there are
    no views.
    """
    folder = Path(folder)
    path = folder / views_file
    images = "images" + path.stem.removeprefix("transforms")
    if not views:
        raise bad_capture(path, "no views to write")
    frames, pictures = [], {}
    for index, view in enumerate(views):
        frame: dict[str, Any] = {"file_path": f"{images}/{index:04d}.png", **intrinsics(view.camera)}
        pictures[frame["file_path"]] = encode_png(view.image)
        if view.mask is not None:
            frame["mask_path"] = f"{images}/{index:04d}_mask.png"
            pictures[frame["mask_path"]] = encode_png(view.mask.astype(np.uint8) * 255)
        if view.hidden is not None:
            frame["hidden_path"] = f"{images}/{index:04d}_hidden.png"
            pictures[frame["hidden_path"]] = encode_png(view.hidden.astype(np.uint8) * 255)
        if view.depth is not None:
            frame["depth_file_path"] = f"{images}/{index:04d}_depth.png"
            pictures[frame["depth_file_path"]] = encode_png(depth_to_millimetres(view.depth))
        frame["transform_matrix"] = (view.T_world_camera @ OPENCV_FROM_OPENGL).tolist()
        frames.append(frame)
    # also for the whole file: instant-ngp reads the model from there, and nerfstudio prefers what is there to a frame's
    cameras = [intrinsics(view.camera) for view in views]
    shared = {
        key: value for key, value in cameras[0].items() if key in WHOLE or cameras.count(cameras[0]) == len(views)
    }
    listed = json.dumps({**shared, "frames": frames}, indent=1)
    write_files(folder, {**pictures, views_file: listed.encode()}, last=views_file)
    return path


def _read_list(path: Path) -> dict[str, Any]:
    """The content of a list of views, with its "frames"."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_LIST + 1)
        content = json.loads(text.decode(BYTE_ORDER_MARKS.get(text[:2], "utf-8-sig")))
    except FileNotFoundError:
        raise bad_capture(path, "not found; a capture is a folder with transforms.json and its images") from None
    except json.JSONDecodeError as error:
        if len(text) > LARGEST_LIST:
            raise bad_capture(path, f"larger than {LARGEST_LIST} bytes: it is no list of views") from error
        raise bad_capture(path, f"broken JSON in line {error.lineno}, column {error.colno}: {error.msg}") from error
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise bad_capture(path, 'has no "frames"; it needs a list with one entry per image')
    return content


def _pictures(path: Path) -> list[PosedPicture]:
    """What the list of views in ``path`` has. Raises BAD_CAPTURE."""
    with boundary(ErrorCode.BAD_CAPTURE, path, "mend it, or give another list of views"):
        content = _read_list(path)
        scale = _applied_scale(path, content)
        return [_frame(path, content, frame, index, scale) for index, frame in enumerate(content["frames"])]


def _frame(path: Path, content: Mapping[str, Any], frame: Any, index: int, scale: float) -> PosedPicture:
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise bad_capture(path, f'frame {index} has no "file_path"')
    name = frame["file_path"]
    what = f"frame {index} ({short(name)})"
    values = merged(content, frame)
    T_world_camera = read_pose(path, frame.get("transform_matrix"), what) @ OPENCV_FROM_OPENGL
    T_world_camera[:3, 3] /= scale
    depth = frame.get("depth_file_path") or frame.get("depth_path")
    return PosedPicture(
        name=name,
        picture=find_file(path.parent, name),
        camera=lambda width, height: read_camera(path, values, width, height, what),
        T_world_camera=T_world_camera,
        size=stated_size(path, values, what),
        mask=_beside(path, frame["mask_path"], what) if frame.get("mask_path") else None,
        hidden=_beside(path, frame["hidden_path"], what) if frame.get("hidden_path") else None,
        depth=_beside(path, depth, what) if depth else None,
        depth_step=_depth_scale(path, content),
    )


def _applied_scale(path: Path, content: Mapping[str, Any]) -> float:
    scale = finite_number(path, content.get("applied_scale", 1.0), "applied_scale")
    if not 0.0 < scale < 1e6:
        raise bad_capture(path, f'"applied_scale" is {scale:g}: poses were not scaled by it; take it out')
    return scale


def _depth_scale(path: Path, content: Mapping[str, Any]) -> float | None:
    if content.get("integer_depth_scale") is None:
        return None
    scale = finite_number(path, content["integer_depth_scale"], "integer_depth_scale")
    if not 0.0 < scale < 1.0:
        raise bad_capture(
            path, f'"integer_depth_scale" is {scale:g}: give the metres of one step, 0.001 for millimetres'
        )
    return scale


def _beside(path: Path, name: Any, what: str) -> Path:
    """The mask or depth ``name`` beside a list. Raises BAD_CAPTURE."""
    found = find_file(path.parent, name)
    if found is None:
        raise bad_capture(
            path, f"{what}: {short(path.parent / str(name))} is missing; put it back, or take the entry out of the file"
        )
    return found
