"""Picture files of a capture: bounded before they are decoded, in RGB order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.image_size import encoded_size
from mvgamba_ros.types import F32

LARGEST_PIXELS = 100_000_000
"""Of a picture. Set by hand: above any camera's of a robot, and 0.3 GB."""
UNREADABLE = 'replace the file, or take it out of the capture\'s list ("frames" in transforms.json)'
"""What to do about a picture of a capture that `read_image` refuses."""
PNG, PNG_END, CHECKSUM = b"\x89PNG\r\n\x1a\n", b"IEND", 4
"""What a PNG begins with, the name of its last chunk, which is empty, and the bytes after that."""
HEIF = (".heic", ".heif", ".hif")
"""Endings of the pictures of Apple's phones."""


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height that a picture's header states, pixels. Raises ValueError, and MISSING_PACKAGE for HEIF without
    its decoder."""
    return _heif(path).size if path.suffix.lower() in HEIF else encoded_size(path)


def read_image(path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3 or 4) uint8 or uint16, RGB order, as stored: not turned by EXIF. Raises ValueError for
    anything else in the file, and MISSING_PACKAGE for HEIF without its decoder."""
    width, height = picture_size(path)
    if width * height > LARGEST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {LARGEST_PIXELS}")
    if path.suffix.lower() in HEIF:
        return np.asarray(_heif(path))
    content = path.read_bytes()
    if _cut_off(content):
        raise ValueError("is cut off, its end is missing")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)  # imread dies of names not UTF-8
    if pixels is None:
        raise ValueError("is damaged or cut off, and cannot be decoded")
    if pixels.dtype not in (np.uint8, np.uint16) or (pixels.ndim == 3 and pixels.shape[2] < 3):
        raise ValueError(f"is a picture of {pixels.dtype} {pixels.shape}, not of 8 or 16 bits, grey or in colour")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return pixels


def _cut_off(content: bytes) -> bool:
    """Whether the end of a PNG is missing; told here, as libpng writes a line of its own to stderr."""
    end = content.rfind(PNG_END)
    return content.startswith(PNG) and (end < 0 or end + len(PNG_END) + CHECKSUM > len(content))


def _heif(path: Path) -> Any:
    """A HEIF picture, opened; its own rotation, which belongs to the coded picture, is applied by the decoder."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"{path}: HEIF pictures need pillow-heif: pip install 'mvgamba_ros[heic]', or save them as JPEG or PNG",
        ) from error
    return pillow_heif.open_heif(path, convert_hdr_to_8bit=True)


def encode_png(pixels: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3 or 4) RGB or RGBA, uint8 or uint16, as the content of a PNG file."""
    _, content = cv2.imencode(".png", pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.ndim == 3 else pixels)
    return content.tobytes()


def depth_to_millimetres(depth: F32) -> NDArray[np.uint16]:
    """(H, W) metres as the whole millimetres of a 16-bit picture; 0 where unknown, and beyond 65.5 m."""
    millimetres = np.rint(np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0) * 1e3)
    known = (millimetres > 0) & (millimetres < 65536)
    return np.where(known, millimetres, 0).astype(np.uint16)
