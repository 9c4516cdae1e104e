"""sensor_msgs/Image and CompressedImage to arrays and back.

Everything that comes from a driver is checked before it is read: encoding, row step, length of the data. An encoding
that is not listed is refused, never guessed. Raises `ReconstructionError` with BAD_ENCODING, BAD_IMAGE, BAD_DEPTH or
BAD_MASK; ``what`` names the input in its message. To read needs nothing of ROS: messages of a recording have the same
fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.image_size import encoded_size
from mvgamba_ros.types import F32, U8, Bool

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image


@dataclass(frozen=True)
class _Encoding:
    """How pixels of a colour encoding lie in a message: type, channels, rows of data per row of the picture; and the
    OpenCV conversion to RGB."""

    dtype: type = np.uint8
    channels: int = 1
    conversion: int | None = None
    rows: float = 1.0


# OpenCV names a Bayer pattern by its second row; these aliases carry ROS's name, its first row.
_BAYER = {
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
}
_PACKED = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
}
_TO_RGB = {
    **{
        f"{n}{bits}": _Encoding(dtype, *c)
        for bits, dtype in ((8, np.uint8), (16, np.uint16))
        for n, c in _PACKED.items()
    },
    **{
        f"bayer_{n}{bits}": _Encoding(dtype, 1, c)
        for bits, dtype in ((8, np.uint8), (16, np.uint16))
        for n, c in _BAYER.items()
    },
    **dict.fromkeys(("yuv422", "uyvy"), _Encoding(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY)),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), _Encoding(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2)),
    "nv12": _Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_NV12, rows=1.5),
    "nv21": _Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_NV21, rows=1.5),
    "8UC1": _Encoding(np.uint8, 1, cv2.COLOR_GRAY2RGB),
}
"""The colour encodings that are read, named as in sensor_msgs/image_encodings.hpp, and nv12 as Isaac ROS has it."""

_REFUSED = {
    "8UC3": "does not say whether red or blue comes first: publish it as rgb8 or bgr8",
    "8UC4": "does not say whether red or blue comes first: publish it as rgba8 or bgra8",
    "16UC1": "is that of depth, or of an unnamed grey: remap `image` to the colour topic, or publish it as mono16",
    "32FC1": "is that of depth: remap `image` to the colour topic",
}
"""What to do about encodings that are met often and cannot be read."""

COLOR_ENCODINGS = tuple(_TO_RGB)
TWELVE_BITS = 1 << 12
COMPRESSED_DEPTH_HEADER = 12
"""Bytes before the PNG of a compressedDepth message: an int32 format and two float32 of the quantisation."""


def image_size(message: Image | CompressedImage, what: str = "image") -> tuple[int, int]:
    """Width and height that a message or the header of its JPEG or PNG states, pixels; nothing is decoded."""
    if not hasattr(message, "format"):
        return message.width, message.height
    codec = message.format.lower()
    if "jpeg" not in codec and "jpg" not in codec and "png" not in codec:
        raise ReconstructionError(ErrorCode.BAD_ENCODING, f"{what}: format '{message.format}' is neither jpeg nor png")
    data = bytes(message.data)
    try:
        return encoded_size(data[COMPRESSED_DEPTH_HEADER * ("compresseddepth" in codec) :], ("JPEG", "PNG"))
    except ValueError as error:
        raise _no_picture(message, what) from error


def image_to_rgb(message: Image, what: str = "image") -> U8:
    """(H, W, 3) uint8 RGB of a raw image in one of `COLOR_ENCODINGS`; of 16 bits the upper 8."""
    encoding = _TO_RGB.get(message.encoding)
    if encoding is None:
        remedy = _REFUSED.get(message.encoding, "is not one of " + ", ".join(COLOR_ENCODINGS))
        raise ReconstructionError(ErrorCode.BAD_ENCODING, f"{what}: encoding '{message.encoding}' {remedy}")
    pixels = _pixels(message, np.dtype(encoding.dtype), encoding.channels, what, rows=encoding.rows)
    pixels = np.ascontiguousarray(_eight_bits(pixels, message.encoding, what))
    if encoding.conversion is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, encoding.conversion), dtype=np.uint8)
    except cv2.error as error:  # colours that pixels share need even sides
        raise ReconstructionError(
            ErrorCode.BAD_IMAGE, f"{what}: {message.width} x {message.height} is no size of {message.encoding}: {error}"
        ) from None


def compressed_to_rgb(message: CompressedImage, what: str = "image/compressed") -> U8:
    """(H, W, 3) uint8 RGB of a JPEG or PNG whose `image_size` is one that the caller has memory for."""
    image_size(message, what)  # OpenCV would decode other formats too
    data = np.frombuffer(message.data, dtype=np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        raise _no_picture(message, what)
    return np.asarray(cv2.cvtColor(_eight_bits(pixels, "png", what), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _eight_bits(pixels: NDArray[Any], encoding: str, what: str) -> U8:
    """Of pixels of 16 bits the upper 8. Raises BAD_IMAGE where these hold next to nothing."""
    if pixels.dtype.itemsize == 1:
        return pixels
    if pixels.max() < TWELVE_BITS:
        raise ReconstructionError(
            ErrorCode.BAD_IMAGE,
            f"{what}: no {encoding} value is above {pixels.max()} of 65535: a picture of 10 or 12 bits? "
            "Publish it as 8 bits, or scaled to 16",
        )
    return (pixels >> 8).astype(np.uint8)


def _no_picture(message: CompressedImage, what: str) -> ReconstructionError:
    return ReconstructionError(
        ErrorCode.BAD_IMAGE,
        f"{what}: {len(message.data)} bytes do not decode as '{message.format}': truncated on the way?",
    )


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
    return _unknown_as_zero(depth)


def compressed_to_depth(message: CompressedImage, what: str = "depth/compressedDepth") -> F32:
    """(H, W) float32 metres along the optical axis, 0 where unknown, of compressed_depth_image_transport's PNG: of
    16UC1, millimetres; or of 32FC1, whose 16 bits are quantised inverse depth, ``a / (value - b)``."""
    head = message.format.split(";")[0].strip()
    if head not in ("16UC1", "32FC1") or "compressedDepth" not in message.format or "rvl" in message.format:
        raise ReconstructionError(
            ErrorCode.BAD_DEPTH,
            f"{what}: format '{message.format}' is not '16UC1; compressedDepth png' or '32FC1; compressedDepth png': "
            "set the publisher's parameter `format` to png",
        )
    data = bytes(message.data)
    body = np.frombuffer(data[COMPRESSED_DEPTH_HEADER:], np.uint8)
    pixels = cv2.imdecode(body, cv2.IMREAD_UNCHANGED) if body.size else None
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ReconstructionError(
            ErrorCode.BAD_DEPTH, f"{what}: {len(data)} bytes hold no PNG of 16 bits: truncated on the way?"
        )
    if head == "16UC1":
        return pixels.astype(np.float32) * np.float32(1e-3)
    a, b = np.frombuffer(data[4:COMPRESSED_DEPTH_HEADER], "<f4")
    inverse = pixels.astype(np.float32) - b
    known = (pixels > 0) & (inverse > 0)
    depth: F32 = np.where(known, a / np.where(known, inverse, np.float32(1)), np.float32(0)).astype(np.float32)
    return _unknown_as_zero(depth)


def image_to_mask(message: Image, what: str = "mask") -> Bool:
    """(H, W) bool, True where a mask or a picture of labels, of 8 or 16 bits, is not zero."""
    dtype = {"mono8": np.uint8, "8UC1": np.uint8, "mono16": np.uint16, "16UC1": np.uint16}.get(message.encoding)
    if dtype is None:
        raise ReconstructionError(
            ErrorCode.BAD_MASK, f"{what}: encoding '{message.encoding}' is not mono8, 8UC1, mono16 or 16UC1"
        )
    mask: Bool = _pixels(message, np.dtype(dtype), 1, what, ErrorCode.BAD_MASK) != 0
    return mask


def _unknown_as_zero(depth: F32) -> F32:
    depth[~np.isfinite(depth) | (depth < 0)] = 0.0
    return depth


def array_to_image(array: NDArray[Any], encoding: str) -> Image:
    """A tightly packed Image without a header: (H, W, 3) uint8 as rgb8, (H, W) uint8 as mono8, or (H, W) depth as
    32FC1 (metres) or 16UC1 (millimetres)."""
    from sensor_msgs.msg import Image

    array = np.ascontiguousarray(array)
    message = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, is_bigendian=0)
    message.step = array.strides[0]
    message.data = array.tobytes()  # bytes: assigning the array itself would check it element by element
    return message


def _pixels(
    message: Image,
    dtype: np.dtype[Any],
    channels: int,
    what: str,
    code: ErrorCode = ErrorCode.BAD_IMAGE,
    rows: float = 1.0,
) -> NDArray[Any]:
    """The message's pixels (rows * H, W) or (rows * H, W, C); its rows may be padded."""
    height, width, step = int(rows * message.height), message.width, message.step
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
            code,
            f"{what}: {len(message.data)} bytes of data, {width} x {message.height} {message.encoding} needs {needed}",
        )
    pixels = np.ndarray(
        (height, width, channels),
        dtype=dtype.newbyteorder(">" if message.is_bigendian else "<"),
        buffer=memoryview(message.data),
        strides=(step, channels * dtype.itemsize, dtype.itemsize),
    )
    return pixels[..., 0] if channels == 1 else pixels
