"""Depth files of a capture: 16-bit pictures of whole steps, floating point metres in TIFF, NumPy and OpenEXR."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.io.camera_sizes import same_shape
from mvgamba_ros.io.image_files import LARGEST_PIXELS, UNREADABLE, read_image
from mvgamba_ros.io.transforms_intrinsics import bad_capture
from mvgamba_ros.types import F32

FARTHEST = 50.0
"""Median of a depth in metres. Set by hand: no object that fits a robot's gripper is seen from there, and
millimetres of any distance are more."""
FLOATS = (".tif", ".tiff")


def read_depth(path: Path, step: float, size: tuple[int, int], image_name: str) -> F32:
    """Depth (H, W) in metres, 0 where unknown.

    Args:
        path: A picture of one 16-bit channel, .npy of whole or floating point numbers, .tif of floating point, .exr.
        step: Metres of one step of whole numbers; floating point numbers are metres.
        size: Width and height of the depth's image. Depth of the same shape and another size, as of a phone's range
            sensor, takes the nearest pixel of each: depths must not be averaged across an edge.
        image_name: What messages call the image.

    Raises:
        ReconstructionError: BAD_CAPTURE, MISSING_PACKAGE for .exr without its decoder.
    """
    with boundary(ErrorCode.BAD_CAPTURE, path, UNREADABLE):
        raw = _raw(path)
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    whole = (raw.dtype.kind == "u" and raw.dtype.itemsize >= 2) or raw.dtype.kind == "i"
    if raw.ndim != 2 or not (whole or raw.dtype.kind == "f"):
        raise bad_capture(
            path,
            f"depth must be one 16-bit channel in millimetres, or floating point metres, this is {raw.dtype} "
            f"{raw.shape}",
        )
    depth = raw.astype(np.float32) * np.float32(step if whole else 1.0)
    depth = np.where(np.isfinite(depth) & (depth > 0.0), depth, np.float32(0.0)).astype(np.float32)
    if not whole and (depth > 0.0).any() and np.median(depth[depth > 0.0]) > FARTHEST:
        raise bad_capture(
            path,
            f"floating point depth is in metres, but its median is {np.median(depth[depth > 0.0]):g}: divide "
            "millimetres by 1000",
        )
    if depth.shape[::-1] == size:
        return depth
    if not same_shape((depth.shape[1], depth.shape[0]), size):
        raise bad_capture(
            path, f"is {depth.shape[1]} x {depth.shape[0]}, its image {image_name} is {size[0]} x {size[1]}"
        )
    return np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


def _raw(path: Path) -> np.ndarray:
    ending = path.suffix.lower()
    if ending == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # its header alone tells the size
        if array.size > LARGEST_PIXELS:
            raise ValueError(f"{array.shape} values are more than {LARGEST_PIXELS}")
        return np.array(array)
    if ending == ".exr":
        return _exr(path)
    if ending in FLOATS:
        return _tiff(path)
    return read_image(path)


def _tiff(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        if picture.width * picture.height > LARGEST_PIXELS:
            raise ValueError(f"{picture.width} x {picture.height} pixels are more than {LARGEST_PIXELS}")
        return np.asarray(picture)


def _exr(path: Path) -> np.ndarray:
    """The one channel of an OpenEXR file, or the depth among several."""
    try:
        import OpenEXR
    except ImportError as error:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"{path}: OpenEXR files need its package: pip install 'mvgamba_ros[exr]'"
        ) from error
    with OpenEXR.File(str(path), header_only=True) as file:
        (x0, y0), (x1, y1) = (np.asarray(corner).tolist() for corner in file.header()["dataWindow"])
    if (x1 - x0 + 1) * (y1 - y0 + 1) > LARGEST_PIXELS:
        raise ValueError(f"its pixels are more than {LARGEST_PIXELS}")
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = file.channels()
        for name in ("Z", "V", "Y", "R"):
            if name in channels:
                return np.array(channels[name].pixels)
        if len(channels) == 1:
            return np.array(next(iter(channels.values())).pixels)
    raise ValueError(f"none of its channels {', '.join(channels)} is depth")
