"""What all capture readers share: pictures with what is known of each, read into views.

A reader lists `PosedPicture`; here files are found missing, turned, of another size, masked the wrong way round, and
so on, the same for each format.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mvgamba_ros.errors import ErrorCode, boundary, short
from mvgamba_ros.io.camera_sizes import resized
from mvgamba_ros.io.depth_files import read_depth
from mvgamba_ros.io.depth_units import check_depth_unit
from mvgamba_ros.io.exif_turn import exif_turn, turned
from mvgamba_ros.io.image_files import UNREADABLE, picture_size, read_image
from mvgamba_ros.io.object_masks import check_masks, object_mask
from mvgamba_ros.io.transforms_intrinsics import bad_capture
from mvgamba_ros.types import F32, F64, Bool, Camera, View

LARGEST_CAPTURE = 8_000_000_000
"""Bytes of all decoded pictures of a capture. Set by hand: 1,200 of 1920 x 1080."""
MILLIMETRE = 1e-3
DARK_BITS = (10, 12)
"""Bits of cameras' colours that are stored in 16 without a shift: where no pixel of a capture is above them."""
FLOATING = (".exr", ".hdr")
MOST_SHOWN = 3
"""Missing pictures that a message names."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PosedPicture:
    """One picture of a capture, in files.

    Attributes:
        name: What messages call it, as the capture's list does.
        picture: Its file; None where the file is missing, and the picture is left out.
        camera: Its intrinsics, or what makes them for a width and height.
        T_world_camera: (4, 4), metres, of the OpenCV optical frame.
        size: Width and height that the intrinsics belong to; None where the capture does not state them.
        mask: File of the object's mask.
        hidden: File of a mask of what may cover the object.
        depth: File of depth.
        depth_step: Metres of one step of a depth of whole numbers; None where the capture does not tell: millimetres.
        trusted: File, of the depth's size, that is 0 where depth is not to be trusted.
    """

    name: str
    picture: Path | None
    camera: Camera | Callable[[int, int], Camera]
    T_world_camera: F64
    size: tuple[int, int] | None = None
    mask: Path | None = None
    hidden: Path | None = None
    depth: Path | None = None
    depth_step: float | None = MILLIMETRE
    trusted: Path | None = None


def present(source: Path, pictures: Sequence[PosedPicture]) -> list[PosedPicture]:
    """Those whose file is there; a warning names the others. Raises BAD_CAPTURE where none is, and where two entries of
    the list found the same file."""
    missing = [short(picture.name) for picture in pictures if picture.picture is None]
    found = [picture for picture in pictures if picture.picture is not None]
    names = ", ".join(missing[:MOST_SHOWN]) + (" ..." if len(missing) > MOST_SHOWN else "")
    if not found:
        raise bad_capture(
            source, f"{names}: its image is missing, as those of all frames are; put them back, or mend the paths"
        )
    owners: dict[Path, str] = {}
    for picture in found:
        assert picture.picture is not None
        other = owners.setdefault(picture.picture, picture.name)
        if other != picture.name:
            raise bad_capture(
                source, f"{short(other)} and {short(picture.name)} are both {picture.picture}: mend the paths"
            )
    if missing:
        log.warning("%s: %d of %d images are missing and left out: %s", source, len(missing), len(pictures), names)
    return found


def picture_sizes_of(source: Path, pictures: Sequence[PosedPicture]) -> list[tuple[int, int]]:
    """Width and height of each view that `read_views` returns, by headers alone. Raises as that."""
    sizes = []
    for entry in present(source, pictures):
        assert entry.picture is not None
        with boundary(ErrorCode.BAD_CAPTURE, entry.picture, UNREADABLE):
            width, height = picture_size(entry.picture)
        swapped = exif_turn(entry.picture, (width, height), _stated(entry)) >= 5
        sizes.append((height, width) if swapped else (width, height))
    return sizes


def read_views(source: Path, pictures: Sequence[PosedPicture]) -> list[View]:
    """Views of the pictures whose file is there, in their order. ``source``: the capture, or its list, for messages.

    Raises BAD_CAPTURE with the file's name and what to do about it, and MISSING_PACKAGE for a file whose decoder is
    not installed.
    """
    views: list[View] = []
    size = 0
    for index, entry in enumerate(present(source, pictures)):
        views.append(_read(entry))
        size += views[-1].image.nbytes + (0 if views[-1].depth is None else views[-1].depth.nbytes)
        if size > LARGEST_CAPTURE:
            raise bad_capture(
                source, f"the pictures of its first {index + 1} frames take {size} bytes; leave frames out"
            )
    _warn_of_scaling(source, pictures, views)
    check_masks(source, views)
    if any(entry.depth_step is None for entry in pictures):
        check_depth_unit(source, views)
    return _in_8_bits(source, views)


def _warn_of_scaling(source: Path, pictures: Sequence[PosedPicture], views: Sequence[View]) -> None:
    stated = [_stated(entry) for entry in pictures if entry.picture is not None]
    found = [(view.camera.width, view.camera.height) for view in views]
    scaled = [(a, b) for a, b in zip(stated, found, strict=True) if a is not None and a != b]
    if scaled:
        (w, h), (width, height) = scaled[0]
        log.warning(
            "%s: intrinsics of %d x %d are scaled to its pictures of %d x %d (%d of %d)",
            *(source, w, h, width, height, len(scaled), len(views)),
        )


def _stated(entry: PosedPicture) -> tuple[int, int] | None:
    return (entry.camera.width, entry.camera.height) if isinstance(entry.camera, Camera) else entry.size


def _read(entry: PosedPicture) -> View:
    path = entry.picture
    assert path is not None
    pixels = _pixels(path)
    orientation = exif_turn(path, (pixels.shape[1], pixels.shape[0]), _stated(entry))
    image, alpha = _split(turned(pixels, orientation))
    height, width = image.shape[:2]
    if isinstance(entry.camera, Camera):
        camera = resized(entry.camera, width, height, f"{path}")
    else:
        camera = entry.camera(width, height)
    mask = _mask(entry.mask, path, (height, width))
    hidden = _mask(entry.hidden, path, (height, width))
    depth: F32 | None = None
    if entry.depth is not None:
        depth = read_depth(entry.depth, entry.depth_step or MILLIMETRE, (width, height), path.name)
        if entry.trusted is not None:
            depth = _only_trusted(depth, entry.trusted)
    mask = alpha if mask is None else mask
    return View(image, camera, entry.T_world_camera, mask, depth, name=entry.name, hidden=hidden)


def _mask(file: Path | None, image: Path, size: tuple[int, int]) -> Bool | None:
    if file is None:
        return None
    mask = object_mask(file, _pixels(file))
    if mask.shape != size:
        height, width = size
        raise bad_capture(file, f"is {mask.shape[1]} x {mask.shape[0]}, its image {image.name} is {width} x {height}")
    return mask


def _only_trusted(depth: F32, path: Path) -> F32:
    import cv2

    trusted = _pixels(path)
    if trusted.ndim != 2:
        raise bad_capture(path, f"confidence must be one channel, this is {trusted.shape}")
    fitted = cv2.resize(trusted, depth.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.where(fitted > 0, depth, np.float32(0.0)).astype(np.float32)


def _pixels(path: Path) -> np.ndarray:
    if path.suffix.lower() in FLOATING:
        raise bad_capture(path, "floating point colours have no range: save the picture with 8 or 16 bits a channel")
    with boundary(ErrorCode.BAD_CAPTURE, path, UNREADABLE):
        return read_image(path)


def _split(pixels: np.ndarray) -> tuple[np.ndarray, Bool | None]:
    """RGB of the bits it has and, where an alpha channel is not opaque all over, the opaque pixels."""
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2), None
    alpha = pixels[..., 3] > np.iinfo(pixels.dtype).max // 2 if pixels.shape[2] == 4 else None
    return np.ascontiguousarray(pixels[..., :3]), None if alpha is None or alpha.all() else alpha


def _in_8_bits(source: Path, views: list[View]) -> list[View]:
    """Colours of 16 bits as 8: their upper ones; of 10 or 12 bits in 16, which no pixel exceeds, the upper of those."""
    deep = [view.image for view in views if view.image.dtype == np.uint16]
    if not deep:
        return views
    highest = max(int(image.max()) for image in deep)
    bits = next((bits for bits in DARK_BITS if highest < 1 << bits), 16)
    if bits < 16 and highest > 0:
        log.warning("%s: no colour is above %d: taken to have %d bits in 16", source, highest, bits)
    shift = bits - 8
    return [
        replace(view, image=np.minimum(view.image >> shift, 255).astype(np.uint8))
        if view.image.dtype == np.uint16
        else view
        for view in views
    ]


def unknown_scale(source: Path, what: str) -> None:
    """Warns that lengths of a capture are in no known unit."""
    log.warning(
        "%s: %s: they are taken as metres; `mvgamba data export CAPTURE --scale METRES_PER_UNIT -o OUT` converts them",
        source,
        what,
    )
