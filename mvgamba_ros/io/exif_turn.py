"""Pictures that their EXIF orientation turns: which way they belong to their intrinsics.

Cameras hold the pixels as the sensor gave them and leave the turn to a tag; some tools apply it (phones, browsers),
others leave the pixels as they are (COLMAP, OpenCV unchanged). Which of the two a pose and intrinsics belong to is
known by the size that they state, or not at all. Orientations: Exif 2.32, tag 0x0112.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgamba_ros.io.camera_sizes import same_shape
from mvgamba_ros.io.image_files import HEIF
from mvgamba_ros.io.transforms_intrinsics import bad_capture

ORIENTATION = 0x0112


def exif_turn(path: Path, size: tuple[int, int], stated: tuple[int, int] | None) -> int:
    """The EXIF orientation (5 to 8) by which a picture is to be turned to fit its intrinsics, or 1 for as it is stored.

    ``size``: width and height as stored, ``stated``: those that belong to the intrinsics, where known. Raises
    BAD_CAPTURE where a picture has an orientation and sizes do not tell whether intrinsics and pose belong to the
    turned picture.
    """
    orientation = exif_orientation(path)
    if orientation == 1:
        return 1
    if orientation >= 5 and stated is not None:
        stored, turned = same_shape(stated, size), same_shape(stated, (size[1], size[0]))
        if stored != turned:
            return orientation if turned else 1
    raise bad_capture(
        path,
        f"has EXIF orientation {orientation}, and whether its intrinsics and pose belong to the picture as stored "
        f"({size[0]} x {size[1]}) or as turned is not known: "
        + ("state width and height, or " if orientation >= 5 and stated is None else "")
        + "turn the pixels (mogrify -auto-orient) or take out the tag (exiftool -Orientation=)",
    )


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) ``pixels`` turned by an EXIF orientation, 1 to 8, to (W, H, ...) for those from 5 on."""
    across = pixels.swapaxes(0, 1)
    ways = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: across,
        6: across[:, ::-1],
        7: across[::-1, ::-1],
        8: across[::-1],
    }
    return np.ascontiguousarray(ways.get(orientation, pixels))


def exif_orientation(path: Path) -> int:
    """The orientation that a picture's EXIF states, 1 to 8; 1, as stored, where it states none."""
    if path.suffix.lower() in HEIF:
        return 1  # turned by its decoder
    from PIL import Image

    try:
        with Image.open(path) as picture:
            orientation = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # of a broken header: whatever its parser stumbles over; decoding the pixels tells
        return 1
    return orientation if isinstance(orientation, int) and 2 <= orientation <= 8 else 1
