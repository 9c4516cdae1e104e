"""Capture folders: a transforms.json beside images, as nerfstudio and instant-ngp write and read them.

Poses there are OpenGL camera-to-world; here they become OpenCV ``T_world_camera``. Units are taken to be metres and
``scale``, ``offset``, ``aabb_scale``, ``applied_transform`` and the like are left alone: they are what a viewer
should do with the poses, not where the cameras were.

Format: https://docs.nerf.studio/quickstart/data_conventions.html and instant-ngp's docs/nerf_dataset_tips.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, short
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL, check_rigid
from mvgamba_ros.io.atomic_writes import write_files
from mvgamba_ros.io.image_files import encode_png, read_image
from mvgamba_ros.types import F32, F64, U8, Bool, Camera, DistortionModel, View

EXTENSIONS = (".png", ".jpg", ".jpeg", ".JPG", ".PNG", ".webp", ".bmp", ".tif", ".tiff")
"""Tried in this order where a file_path has no extension, as in NeRF's synthetic scenes."""

LARGEST_LIST, LARGEST_CAPTURE = 20_000_000, 8_000_000_000
"""Bytes of a list of views and of all its decoded pictures. Set by hand: 20,000 frames, and 1,200 of 1920 x 1080."""

RATIONAL, THIN_PRISM = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), ("s1", "s2", "s3", "s4")

COEFFICIENTS: dict[str, tuple[DistortionModel, tuple[str, ...]]] = {
    "PINHOLE": ("none", ()),
    "SIMPLE_PINHOLE": ("none", ()),
    "SIMPLE_RADIAL": ("plumb_bob", ("k1", "", "", "", "")),
    "RADIAL": ("plumb_bob", ("k1", "k2", "", "", "")),
    "OPENCV": ("plumb_bob", ("k1", "k2", "p1", "p2", "k3")),
    "FULL_OPENCV": ("rational_polynomial", RATIONAL),
    "FULL_OPENCV_THIN_PRISM": ("rational_polynomial", (*RATIONAL, *THIN_PRISM)),
    "FULL_OPENCV_TILTED": ("rational_polynomial", (*RATIONAL, *THIN_PRISM, "tau_x", "tau_y")),
    "OPENCV_FISHEYE": ("equidistant", ("k1", "k2", "k3", "k4")),
}
"""camera_model: our distortion model and which keys hold its coefficients, in order ("" is always 0). The last but one
and two are OpenCV's models of 12 and 14 coefficients, which have no common name: a reader that does not know the name
refuses the file instead of leaving coefficients out."""

MODEL_NAMES: dict[tuple[DistortionModel, int], str] = {
    ("none", 0): "PINHOLE",
    ("plumb_bob", 0): "PINHOLE",
    ("plumb_bob", 4): "OPENCV",
    ("plumb_bob", 5): "OPENCV",
    ("rational_polynomial", 0): "PINHOLE",
    ("rational_polynomial", 8): "FULL_OPENCV",
    ("rational_polynomial", 12): "FULL_OPENCV_THIN_PRISM",
    ("rational_polynomial", 14): "FULL_OPENCV_TILTED",
    ("equidistant", 0): "OPENCV_FISHEYE",
    ("equidistant", 4): "OPENCV_FISHEYE",
}
"""camera_model by distortion model and number of coefficients."""


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


def read_transforms_json(folder: str | Path, views_file: str = "transforms.json") -> list[View]:
    """All views of a capture, in the file's order, with mask and depth where the file names them.

    A mask is read from ``mask_path``, else from an alpha channel that is not opaque everywhere. Depth
    (``depth_file_path`` or instant-ngp's ``depth_path``) is a 16-bit PNG in millimetres unless
    ``integer_depth_scale`` gives another unit. Raises BAD_CAPTURE with the file's name and what to do about it.
    """
    path = Path(folder) / views_file
    with boundary(ErrorCode.BAD_CAPTURE, path, "mend it, or give another list of views"):
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_LIST + 1)
            content = json.loads(text.decode("utf-8-sig"))
        except FileNotFoundError:
            raise _bad(path, "not found; a capture is a folder with transforms.json and its images") from None
        except json.JSONDecodeError as error:
            if len(text) > LARGEST_LIST:
                raise _bad(path, f"larger than {LARGEST_LIST} bytes: it is no list of views") from error
            raise _bad(path, f"broken JSON in line {error.lineno}, column {error.colno}: {error.msg}") from error
        if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
            raise _bad(path, 'has no "frames"; it needs a list with one entry per image')
        views, size = [], 0
        for index, frame in enumerate(content["frames"]):
            views.append(_read_frame(path, content, frame, index))
            size += views[-1].image.nbytes + (0 if views[-1].depth is None else views[-1].depth.nbytes)
            if size > LARGEST_CAPTURE:
                raise _bad(path, f"the pictures of its first {index + 1} frames take {size} bytes; leave frames out")
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
        raise _bad(path, "no views to write")
    frames, pictures = [], {}
    for index, view in enumerate(views):
        frame: dict[str, Any] = {"file_path": f"{images}/{index:04d}.png", **_intrinsics(view.camera)}
        pictures[frame["file_path"]] = encode_png(view.image)
        if view.mask is not None:
            frame["mask_path"] = f"{images}/{index:04d}_mask.png"
            pictures[frame["mask_path"]] = encode_png(view.mask.astype(np.uint8) * 255)
        if view.depth is not None:
            frame["depth_file_path"] = f"{images}/{index:04d}_depth.png"
            millimetres = np.rint(np.nan_to_num(view.depth, nan=0.0, posinf=0.0, neginf=0.0) * 1e3)
            known = (millimetres > 0) & (millimetres < 65536)
            pictures[frame["depth_file_path"]] = encode_png(np.where(known, millimetres, 0).astype(np.uint16))
        frame["transform_matrix"] = (view.T_world_camera @ OPENCV_FROM_OPENGL).tolist()
        frames.append(frame)
    # also for the whole file: instant-ngp reads the model from there
    listed = json.dumps({**_intrinsics(views[0].camera), "frames": frames}, indent=1)
    write_files(folder, {**pictures, views_file: listed.encode()}, last=views_file)
    return path


def _bad(path: Path, message: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path}: {message}")


def _read_frame(path: Path, content: Mapping[str, Any], frame: Any, index: int) -> View:
    what = f"frame {index}"
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise _bad(path, f'{what} has no "file_path"')
    what = f"{what} ({short(frame['file_path'])})"
    image_path = _find(path, frame["file_path"], what)
    pixels = _read_image(image_path)
    height, width = pixels.shape[:2]
    image, alpha = _split(pixels)
    camera = _read_camera(path, {**content, **frame}, width, height, what)
    try:
        T_world_gl = np.asarray(frame.get("transform_matrix"), dtype=np.float64)
        T_world_camera: F64 = check_rigid(T_world_gl, f"{what}: transform_matrix") @ OPENCV_FROM_OPENGL
    except (TypeError, ValueError) as error:
        raise _bad(path, f'{what} needs a "transform_matrix" of 4x4 numbers') from error
    except ReconstructionError as error:
        raise _bad(path, error.message) from error

    mask: Bool | None = alpha
    if frame.get("mask_path"):
        mask_path = _find(path, frame["mask_path"], what)
        raw = _read_image(mask_path)
        # a grey or colour mask is white on the object; one drawn in the alpha channel is opaque there
        plane = raw if raw.ndim == 2 else raw[..., 3] if raw.shape[2] == 4 and raw[..., 3].min() < 255 else raw[..., 0]
        mask = plane > np.iinfo(plane.dtype).max // 2
        _same_size(mask_path, mask.shape, image_path, (height, width))

    depth: F32 | None = None
    depth_name = frame.get("depth_file_path") or frame.get("depth_path")
    if depth_name:
        depth_path = _find(path, depth_name, what)
        raw = _read_image(depth_path)
        if raw.ndim != 2 or raw.dtype != np.uint16:
            raise _bad(depth_path, f"depth must be one 16-bit channel in millimetres, this is {raw.dtype} {raw.shape}")
        _same_size(depth_path, raw.shape, image_path, (height, width))
        depth = raw.astype(np.float32) * np.float32(_depth_scale(path, content))
    return View(image, camera, T_world_camera, mask, depth, name=frame["file_path"])


def _depth_scale(path: Path, content: Mapping[str, Any]) -> float:
    scale = _number(path, content.get("integer_depth_scale", 1e-3), "integer_depth_scale")
    if not 0.0 < scale < 1.0:
        raise _bad(path, f'"integer_depth_scale" is {scale:g}: give the metres of one step, 0.001 for millimetres')
    return scale


def _number(path: Path, value: Any, what: str) -> float:
    """``value`` as a finite float. Raises BAD_CAPTURE where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e300 < value < 1e300:
        raise _bad(path, f'"{what}" is {short(value)}, not a number')
    return float(value)


def _read_camera(path: Path, values: Mapping[str, Any], width: int, height: int, what: str) -> Camera:
    """Intrinsics from the frame, else the whole file; ``width``, ``height`` are the image's own."""

    def number(key: str, default: float | None = None) -> float | None:
        value = values.get(key)
        return default if value is None else _number(path, value, f"{what}: {key}")

    for key, actual in (("w", width), ("h", height)):
        stated = number(key)
        if stated is not None and int(stated) != actual:
            raise _bad(
                path,
                f'{what}: "{key}" is {stated:g} but the image is {width} x {height}; '
                "the intrinsics belong to images of another size",
            )
    angle_x, angle_y = number("camera_angle_x"), number("camera_angle_y")
    for angle in (angle_x, angle_y):
        if angle is not None and not 0.0 < angle < math.pi:
            raise _bad(path, f"{what}: a camera_angle of {angle:g} is no angle of view; give radians between 0 and pi")
    fl_x, fl_y = number("fl_x"), number("fl_y")
    if fl_x is None and angle_x is not None:
        fl_x = 0.5 * width / math.tan(0.5 * angle_x)
    if fl_y is None and angle_y is not None:
        fl_y = 0.5 * height / math.tan(0.5 * angle_y)
    fl_x = fl_y if fl_x is None else fl_x
    if fl_x is None:
        raise _bad(path, f'{what}: no focal length; give "fl_x" in pixels or "camera_angle_x" in radians')
    fl_y = fl_x if fl_y is None else fl_y

    name = values.get("camera_model") or ("OPENCV_FISHEYE" if values.get("is_fisheye") else "OPENCV")
    if not isinstance(name, str) or name not in COEFFICIENTS:
        raise _bad(path, f"{what}: camera model {short(name)} is not one of {', '.join(COEFFICIENTS)}; undistort first")
    if values.get("is_fisheye") and name != "OPENCV_FISHEYE":
        raise _bad(path, f'{what}: "is_fisheye" is true but "camera_model" is {name!r}: take out the one that is wrong')
    model, keys = COEFFICIENTS[name]
    if model == "plumb_bob" and number("k4", 0.0):
        raise _bad(path, f'{what}: "k4" is {number("k4"):g}, which the camera model {name!r} lacks: undistort first')
    distortion = tuple(number(key, 0.0) or 0.0 for key in keys)
    if not any(distortion) and model == "plumb_bob":
        model, distortion = "none", ()
    K = np.array(
        [[fl_x, 0.0, number("cx", width / 2)], [0.0, fl_y, number("cy", height / 2)], [0.0, 0.0, 1.0]], dtype=np.float64
    )
    camera = Camera(K, width, height, model, distortion)
    try:
        check_camera(camera, what)
    except ReconstructionError as error:
        raise _bad(path, error.message) from error
    return camera


def _intrinsics(camera: Camera) -> dict[str, Any]:
    name = MODEL_NAMES.get((camera.distortion_model, len(camera.distortion)))
    if name is None:
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE,
            f"{len(camera.distortion)} coefficients of {camera.distortion_model} do not fit transforms.json; undistort "
            "the view before writing it",
        )
    keys = COEFFICIENTS[name][1]
    return {
        "camera_model": name,
        "fl_x": float(camera.K[0, 0]),
        "fl_y": float(camera.K[1, 1]),
        "cx": float(camera.K[0, 2]),
        "cy": float(camera.K[1, 2]),
        "w": camera.width,
        "h": camera.height,
        **{key: float(value) for key, value in zip(keys, camera.distortion, strict=False)},
        **({"is_fisheye": True} if camera.distortion_model == "equidistant" else {}),
    }


def _find(path: Path, name: Any, what: str) -> Path:
    """The file ``name`` beside transforms.json, its extension added where the capture leaves it out."""
    found = path.parent / str(name)
    for candidate in (found, *(found.with_name(found.name + extension) for extension in EXTENSIONS)):
        if candidate.is_file():
            return candidate
    raise _bad(path, f"{what}: {short(found)} is missing; put it back, or take the frame out of the file")


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
        raise _bad(
            path, f"is {shape[1]} x {shape[0]}, its image {image_path.name} is {image_shape[1]} x {image_shape[0]}"
        )
