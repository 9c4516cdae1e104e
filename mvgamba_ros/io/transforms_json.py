"""Capture folders: a transforms.json beside images, as nerfstudio and instant-ngp write and read them.

Poses there are OpenGL camera-to-world; here they become OpenCV ``T_world_camera``. Units are taken to be metres and
``scale``, ``offset``, ``aabb_scale``, ``applied_transform`` and the like are left alone: they are what a viewer
should do with the poses, not where the cameras were.

Format: https://docs.nerf.studio/quickstart/data_conventions.html and instant-ngp's docs/nerf_dataset_tips.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, short
from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL, check_rigid
from mvgamba_ros.io.atomic_writes import write_files
from mvgamba_ros.io.image_files import depth_to_millimetres, encode_png, read_image
from mvgamba_ros.io.image_size import encoded_size
from mvgamba_ros.io.transforms_intrinsics import bad_capture, finite_number, intrinsics, read_camera
from mvgamba_ros.types import F32, F64, U8, Bool, View

EXTENSIONS = (".png", ".jpg", ".jpeg", ".JPG", ".PNG", ".webp", ".bmp", ".tif", ".tiff")
"""Tried in this order where a file_path has no extension, as in NeRF's synthetic scenes."""

LARGEST_LIST, LARGEST_CAPTURE = 20_000_000, 8_000_000_000
"""Bytes of a list of views and of all its decoded pictures. Set by hand: 20,000 frames, and 1,200 of 1920 x 1080."""


class TransformsJson:
    """The capture reader of this format, see `mvgamba_ros.io.capture_readers`."""

    layout = "a folder with transforms.json and its images, as nerfstudio and instant-ngp write them"
    views_file = "transforms.json"

    def recognises(self, path: Path, views_file: str) -> bool:
        file = path / (views_file or self.views_file)
        try:
            return file.suffix == ".json" and file.is_file()
        except OSError:  # a name that is too long, a folder that cannot be entered
            return False

    def read(self, path: Path, views_file: str) -> list[View]:
        return read_transforms_json(path, views_file or self.views_file)

    def sizes(self, path: Path, views_file: str) -> list[tuple[int, int]]:
        """Width and height of each frame's picture by its header, see `mvgamba_ros.io.capture_readers.SizedReader`."""
        file = path / (views_file or self.views_file)
        sizes = []
        with boundary(ErrorCode.BAD_CAPTURE, file, "mend it, or give another list of views"):
            for index, frame in enumerate(_read_list(file)["frames"]):
                picture = _picture(file, frame, f"frame {index}")
                with boundary(ErrorCode.BAD_CAPTURE, picture, "cannot be read as an image; it may be cut off"):
                    sizes.append(encoded_size(picture))
        return sizes


def read_transforms_json(folder: str | Path, views_file: str = "transforms.json") -> list[View]:
    """All views of a capture, in the file's order, with mask and depth where the file names them.

    A mask is read from ``mask_path``, else from an alpha channel that is not opaque everywhere; what else may cover the
    object from ``hidden_path``, white there. Depth
    (``depth_file_path`` or instant-ngp's ``depth_path``) is a 16-bit PNG in millimetres unless
    ``integer_depth_scale`` gives another unit. Raises BAD_CAPTURE with the file's name and what to do about it.
    """
    path = Path(folder) / views_file
    with boundary(ErrorCode.BAD_CAPTURE, path, "mend it, or give another list of views"):
        content = _read_list(path)
        views, size = [], 0
        for index, frame in enumerate(content["frames"]):
            views.append(_read_frame(path, content, frame, index))
            size += views[-1].image.nbytes + (0 if views[-1].depth is None else views[-1].depth.nbytes)
            if size > LARGEST_CAPTURE:
                raise bad_capture(
                    path, f"the pictures of its first {index + 1} frames take {size} bytes; leave frames out"
                )
        return views


def write_capture(folder: str | Path, views: Sequence[View], views_file: str = "transforms.json") -> Path:
    """Write ``views`` as a capture that nerfstudio, instant-ngp and `read_transforms_json` read; returns its file.

    ``views_file``: a folder may hold several sets of views; those of ``transforms_test.json`` lie in ``images_test``.
    Images and masks become PNGs, depth 16-bit millimetres (0 where unknown, and beyond 65.5 m); intrinsics are
    written per frame. The list is removed before the first picture changes and appears last, so that it never names
    pictures of another list. Raises CANNOT_WRITE, and BAD_CAPTURE where there are no views.
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
    # also for the whole file: instant-ngp reads the model from there
    listed = json.dumps({**intrinsics(views[0].camera), "frames": frames}, indent=1)
    write_files(folder, {**pictures, views_file: listed.encode()}, last=views_file)
    return path


def _read_list(path: Path) -> dict[str, Any]:
    """The content of a list of views, with its "frames"."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_LIST + 1)
        content = json.loads(text.decode("utf-8-sig"))
    except FileNotFoundError:
        raise bad_capture(path, "not found; a capture is a folder with transforms.json and its images") from None
    except json.JSONDecodeError as error:
        if len(text) > LARGEST_LIST:
            raise bad_capture(path, f"larger than {LARGEST_LIST} bytes: it is no list of views") from error
        raise bad_capture(path, f"broken JSON in line {error.lineno}, column {error.colno}: {error.msg}") from error
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise bad_capture(path, 'has no "frames"; it needs a list with one entry per image')
    return content


def _picture(path: Path, frame: Any, what: str) -> Path:
    """The picture's file of one frame."""
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise bad_capture(path, f'{what} has no "file_path"')
    return _find(path, frame["file_path"], f"{what} ({short(frame['file_path'])})")


def _read_mask(path: Path, image_path: Path, size: tuple[int, int]) -> Bool:
    """(H, W) of a grey or colour picture, white where True, or of one drawn in the alpha channel, opaque there."""
    raw = _read_image(path)
    plane = raw if raw.ndim == 2 else raw[..., 3] if raw.shape[2] == 4 and raw[..., 3].min() < 255 else raw[..., 0]
    mask: Bool = plane > np.iinfo(plane.dtype).max // 2
    _same_size(path, mask.shape, image_path, size)
    return mask


def _read_frame(path: Path, content: Mapping[str, Any], frame: Any, index: int) -> View:
    image_path = _picture(path, frame, f"frame {index}")
    what = f"frame {index} ({short(frame['file_path'])})"
    pixels = _read_image(image_path)
    height, width = pixels.shape[:2]
    image, alpha = _split(pixels)
    camera = read_camera(path, {**content, **frame}, width, height, what)
    try:
        T_world_gl = np.asarray(frame.get("transform_matrix"), dtype=np.float64)
        T_world_camera: F64 = check_rigid(T_world_gl, f"{what}: transform_matrix") @ OPENCV_FROM_OPENGL
    except (TypeError, ValueError) as error:
        raise bad_capture(path, f'{what} needs a "transform_matrix" of 4x4 numbers') from error
    except ReconstructionError as error:
        raise bad_capture(path, error.message) from error

    named = [
        _read_mask(_find(path, frame[key], what), image_path, (height, width)) if frame.get(key) else None
        for key in ("mask_path", "hidden_path")
    ]
    mask, hidden = alpha if named[0] is None else named[0], named[1]

    depth: F32 | None = None
    depth_name = frame.get("depth_file_path") or frame.get("depth_path")
    if depth_name:
        depth_path = _find(path, depth_name, what)
        raw = _read_image(depth_path)
        if raw.ndim != 2 or raw.dtype != np.uint16:
            raise bad_capture(
                depth_path, f"depth must be one 16-bit channel in millimetres, this is {raw.dtype} {raw.shape}"
            )
        _same_size(depth_path, raw.shape, image_path, (height, width))
        depth = raw.astype(np.float32) * np.float32(_depth_scale(path, content))
    return View(image, camera, T_world_camera, mask, depth, name=frame["file_path"], hidden=hidden)


def _depth_scale(path: Path, content: Mapping[str, Any]) -> float:
    scale = finite_number(path, content.get("integer_depth_scale", 1e-3), "integer_depth_scale")
    if not 0.0 < scale < 1.0:
        raise bad_capture(
            path, f'"integer_depth_scale" is {scale:g}: give the metres of one step, 0.001 for millimetres'
        )
    return scale


def _find(path: Path, name: Any, what: str) -> Path:
    """The file ``name`` beside transforms.json, its extension added where the capture leaves it out."""
    found = path.parent / str(name)
    for candidate in (found, *(found.with_name(found.name + extension) for extension in EXTENSIONS)):
        if candidate.is_file():
            return candidate
    raise bad_capture(path, f"{what}: {short(found)} is missing; put it back, or take the frame out of the file")


def _read_image(path: Path) -> np.ndarray:
    """As `read_image`. Raises BAD_CAPTURE."""
    with boundary(ErrorCode.BAD_CAPTURE, path, "cannot be read as an image; it may be cut off or too large"):
        return read_image(path)


def _split(pixels: np.ndarray) -> tuple[U8, Bool | None]:
    """RGB uint8 and, where an alpha channel is not opaque all over, the opaque pixels."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2), None
    alpha = pixels[..., 3] > 127 if pixels.shape[2] == 4 else None
    return np.ascontiguousarray(pixels[..., :3]), None if alpha is None or alpha.all() else alpha


def _same_size(path: Path, shape: tuple[int, ...], image_path: Path, image_shape: tuple[int, int]) -> None:
    if shape[:2] != image_shape:
        raise bad_capture(
            path, f"is {shape[1]} x {shape[0]}, its image {image_path.name} is {image_shape[1]} x {image_shape[0]}"
        )
