"""sensor_msgs/Image and CompressedImage to arrays and back.

Everything that comes from a driver is checked before it is read: encoding, row step, length of the data. An encoding
that is not listed is refused, never guessed. Raises `ReconstructionError` with BAD_ENCODING, BAD_IMAGE, BAD_DEPTH or
BAD_MASK; ``what`` names the input in its message.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F32, U8, Bool

_TO_RGB = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    # OpenCV names a Bayer pattern by its second row; these aliases carry ROS's name, its first row.
    "bayer_rggb8": (1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGRBG2RGB),
}
"""Colour encodings: channels, and the OpenCV conversion to RGB."""

COLOR_ENCODINGS = tuple(_TO_RGB)


def image_to_rgb(message: Image, what: str = "image") -> U8:
    """(H, W, 3) uint8 RGB of a raw image in one of `COLOR_ENCODINGS`."""
    if message.encoding not in _TO_RGB:
        raise ReconstructionError(
            ErrorCode.BAD_ENCODING,
            f"{what}: encoding '{message.encoding}' is not one of {', '.join(COLOR_ENCODINGS)}",
        )
    channels, conversion = _TO_RGB[message.encoding]
    pixels = _pixels(message, np.dtype(np.uint8), channels, what)
    if conversion is None:
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), conversion), dtype=np.uint8)


def compressed_to_rgb(message: CompressedImage, what: str = "image/compressed") -> U8:
    """(H, W, 3) uint8 RGB of a JPEG or PNG."""
    codec = message.format.lower()
    if "jpeg" not in codec and "jpg" not in codec and "png" not in codec:
        raise ReconstructionError(ErrorCode.BAD_ENCODING, f"{what}: format '{message.format}' is neither jpeg nor png")
    data = np.frombuffer(message.data, dtype=np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise ReconstructionError(
            ErrorCode.BAD_IMAGE, f"{what}: {data.size} bytes do not decode as '{message.format}': truncated on the way?"
        )
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def image_to_depth(message: Image, what: str = "depth") -> F32:
    """(H, W) float32 metres along the optical axis, 0 where unknown, of a REP-118 depth image."""
    if message.encoding == "32FC1":
        depth = _pixels(message, np.dtype(np.float32), 1, what, ErrorCode.BAD_DEPTH).astype(np.float32)
    elif message.encoding in ("16UC1", "mono16"):
        depth = _pixels(message, np.dtype(np.uint16), 1, what, ErrorCode.BAD_DEPTH).astype(np.float32) * np.float32(
            1e-3
        )
    else:
        raise ReconstructionError(
            ErrorCode.BAD_DEPTH,
            f"{what}: encoding '{message.encoding}' is neither 32FC1 (metres) nor 16UC1 (millimetres), see REP-118",
        )
    depth[~np.isfinite(depth) | (depth < 0)] = 0.0
    return depth


def image_to_mask(message: Image, what: str = "mask") -> Bool:
    """(H, W) bool, True where a mono8 mask is not zero."""
    if message.encoding not in ("mono8", "8UC1"):
        raise ReconstructionError(ErrorCode.BAD_MASK, f"{what}: encoding '{message.encoding}' is not mono8")
    mask: Bool = _pixels(message, np.dtype(np.uint8), 1, what, ErrorCode.BAD_MASK) != 0
    return mask


def array_to_image(array: NDArray[Any], encoding: str) -> Image:
    """A tightly packed Image without a header: (H, W, 3) uint8 as rgb8, (H, W) uint8 as mono8, or (H, W) depth as
    32FC1 (metres) or 16UC1 (millimetres)."""
    array = np.ascontiguousarray(array)
    message = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, is_bigendian=0)
    message.step = array.strides[0]
    message.data = array.tobytes()  # bytes: assigning the array itself would check it element by element
    return message


def _pixels(
    message: Image, dtype: np.dtype[Any], channels: int, what: str, code: ErrorCode = ErrorCode.BAD_IMAGE
) -> NDArray[Any]:
    """The message's pixels (H, W) or (H, W, C) in native byte order; rows may be padded."""
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise ReconstructionError(code, f"{what}: size {width} x {height} is empty")
    row = width * channels * dtype.itemsize
    if step < row:
        raise ReconstructionError(
            code, f"{what}: step {step} is less than the {row} bytes of a {width} px row of {message.encoding}"
        )
    needed = (height - 1) * step + row
    if len(message.data) < needed:
        raise ReconstructionError(
            code, f"{what}: {len(message.data)} bytes of data, {width} x {height} {message.encoding} needs {needed}"
        )
    pixels = np.ndarray(
        (height, width, channels),
        dtype=dtype.newbyteorder(">" if message.is_bigendian else "<"),
        buffer=memoryview(message.data),
        strides=(step, channels * dtype.itemsize, dtype.itemsize),
    )
    return pixels[..., 0] if channels == 1 else pixels
