"""Views compared through a plane: a plane sweep over its heights, and one view warped onto another by its homography.

The support plane's texture is consistent in all views, the object on it is not (`segmentation.plane_matching`); these
are the comparisons that this takes, over every pixel and every height hypothesis. On numpy arrays; what is not finite
is not compared, seen or matched.
``backend``: ``"cpu"`` (native, the default) or ``"reference"`` (OpenCV and numpy). Pictures are sampled bilinearly,
pixels' centres at whole numbers; beyond the border as at it. ValueError for shapes that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.kernels import homography_cpu
from mvgamba_ros.kernels.arguments import check_picture, check_shape, is_native
from mvgamba_ros.types import F32, F64, Bool


def plane_sweep(
    pictures: Sequence[F32],
    base_pixels: F64,
    vertical: F64,
    heights: F64,
    tolerance: float,
    min_common: int,
    backend: str | None = None,
) -> tuple[F64, F64]:
    """Photo-consistency of N points of a horizontal plane over pairs of V views, at each of ``heights`` (H,): the sum
    of agreements, and how many points were compared, (H,) both.

    ``pictures``: (h, w, 4) each, three colours and 1 where the picture counts. ``base_pixels`` (V, 3, N): homogeneous
    pixels of the points at height 0, centres at whole numbers; ``vertical`` (V, 3): what a metre of height adds to
    them, the vertical vanishing point. The medians of what two views show may differ, as their exposures do; beyond
    that, colours closer than ``tolerance`` agree by 1 less their distance over ``tolerance``. Pairs of views that both
    show fewer than ``min_common`` points are not compared.
    """
    V, N = len(pictures), base_pixels.shape[-1]
    check_shape("base_pixels", base_pixels, (V, 3, N))
    check_shape("vertical", vertical, (V, 3))
    check_shape("heights", heights, (len(heights),))
    for picture in pictures:
        check_picture("a picture", picture, 4)
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}")
    if is_native(backend):
        return homography_cpu.plane_sweep(pictures, base_pixels, vertical, heights, tolerance, min_common)
    agreement, compared = np.zeros((2, len(heights)))
    for k, height in enumerate(heights):
        views = zip(pictures, base_pixels, vertical, strict=True)
        colors, valid = zip(*(_at(*view, height) for view in views), strict=True)
        for i in range(V):
            for j in range(i):
                both = np.flatnonzero(valid[i] & valid[j])
                if len(both) < max(min_common, 1):
                    continue
                difference = colors[i].take(both, axis=1) - colors[j].take(both, axis=1)
                distance = np.sqrt(((difference - medians(difference)) ** 2).sum(axis=0))
                agreement[k] += np.maximum(1.0 - distance / tolerance, 0.0).sum()
                compared[k] += len(both)
    return agreement, compared


def _at(picture: F32, base_pixels: F64, vertical: F64, height: float) -> tuple[F32, Bool]:
    """Colours (3, N) of the points at ``height``, and which of them the picture shows, (N,)."""
    x, y, z = base_pixels + height * vertical[:, None]
    in_front = z > 0.0
    z = np.where(in_front, z, 1.0)
    columns, rows = (np.clip(p / z, -1e4, 1e4).astype(np.float32) for p in (x, y))
    seen = sample(picture, columns[None], rows[None])[0]
    valid = in_front & _inside(columns, rows, picture.shape) & (seen[:, 3] > 0.5) & np.isfinite(seen).all(axis=1)
    return np.ascontiguousarray(seen[:, :3].T), valid


def warp_by_homography(
    shape: tuple[int, int], depth_row: F64, homography: F64, picture: F32, backend: str | None = None
) -> tuple[F32, F32, Bool, F32]:
    """Where each pixel (h, w) of ``shape`` has its point of a plane in another view, and the other ``picture``
    (h', w', 8) warped onto it.

    Pixels are (x, y, 1), centres at halves. ``depth_row`` (3,): its product with a pixel is positive where the plane is
    in front of the camera; ``homography`` (3, 3) gives the homogeneous pixel in the other view, its last entry the
    depth there.

    -> columns and rows there, float32, whether both cameras have the point in front of them and the other shows it,
    (h, w) each, and the warped picture, (8, h, w).
    """
    check_shape("depth_row", depth_row, (3,))
    check_shape("homography", homography, (3, 3))
    check_picture("picture", picture, 8)
    if is_native(backend):
        return homography_cpu.warp_by_homography(shape, depth_row, homography, picture)
    x, y = np.arange(shape[1]) + 0.5, np.arange(shape[0])[:, None] + 0.5

    def product(row: F64) -> F64:
        return row[0] * x + (row[1] * y + row[2])

    depth = product(homography[2])
    in_front = (product(depth_row) > 0.0) & (depth > 0.0)
    scale = np.divide(1.0, depth, out=np.zeros(shape), where=in_front)
    columns, rows = (np.clip(product(row) * scale - 0.5, -1e4, 1e4).astype(np.float32) for row in homography[:2])
    halves = [sample(np.ascontiguousarray(half), columns, rows) for half in (picture[..., :4], picture[..., 4:])]
    warped = np.ascontiguousarray(np.dstack(halves).transpose(2, 0, 1))
    return columns, rows, in_front & _inside(columns, rows, picture.shape), warped


def match_colors(
    lab: F32, lower: F32, upper: F32, tolerance: float, offsets: Sequence[int], chance: F32, backend: str | None = None
) -> tuple[Bool, F32]:
    """Where colours ``lab`` (3, h, w) are within ``tolerance`` of the range ``lower`` to ``upper``, (3, h, w) both.

    And ``chance`` (h, w), or where that is more, the share of the four pixels at one of ``offsets`` beside whose ranges
    the colour is within ``tolerance`` of too: how likely a match by chance is. Beyond a border, pixels go on at the
    opposite one. -> (h, w) both
    """
    if lab.ndim != 3 or lab.shape[0] != 3 or 0 in lab.shape:
        raise ValueError(f"lab must be (3, h, w) of at least one pixel, got {tuple(lab.shape)}")
    for name, x, expected in (("lower", lower, lab), ("upper", upper, lab), ("chance", chance, lab[0])):
        check_shape(name, x, expected.shape)
    if is_native(backend):
        return homography_cpu.match_colors(lab, lower, upper, tolerance, offsets, chance)

    def near(lower: F32, upper: F32) -> Bool:
        return ((lab - np.clip(lab, lower, upper)) ** 2).sum(axis=0) < tolerance**2

    for k in offsets:
        beside = np.zeros(chance.shape, np.float32)
        for move in ((0, k, 0), (0, -k, 0), (0, 0, k), (0, 0, -k)):
            beside += 0.25 * near(*(np.roll(x, move, axis=(0, 1, 2)) for x in (lower, upper)))
        chance = np.maximum(chance, beside)
    return near(lower, upper), chance


def sample(picture: F32, columns: F32, rows: F32) -> F32:
    """``picture`` (h, w) or (h, w, C), C at most 4, at ``columns`` and ``rows``, of one shape."""
    return cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore


def medians(rows: F32) -> F32:
    """(R, 1) of ``rows`` (R, N): `np.median`'s, which for rows this short takes longer to begin than to sort."""
    upper = rows.shape[1] // 2
    lower = (rows.shape[1] - 1) // 2
    parted = np.partition(rows, (lower, upper), axis=1)
    return 0.5 * (parted[:, lower, None] + parted[:, upper, None])


def _inside(columns: F32, rows: F32, shape: tuple[int, ...]) -> Bool:
    return (columns > 0) & (rows > 0) & (columns < shape[1] - 1) & (rows < shape[0] - 1)
