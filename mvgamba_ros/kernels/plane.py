"""Views of a plane: whether they agree on its texture (plane sweep), and where one view's picture matches another's.

On the support plane all views show the same texture, on the object they do not (`segmentation.plane_matching`); these
are the comparisons that this takes, over every pixel and every height that is tried. On numpy arrays, which are finite.
``backend``: ``"cpu"`` (native, the default) or ``"reference"`` (OpenCV and numpy). Pictures are sampled between their
pixels, whose centres are whole numbers; beyond the border as at it. ValueError for shapes that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.kernels import plane_cpu
from mvgamba_ros.kernels.arguments import check_shape, is_native
from mvgamba_ros.types import F32, F64, Bool


def plane_agreement(
    pictures: Sequence[F32],
    flat: F64,
    up: F64,
    heights: F64,
    reach: float,
    min_common: int,
    backend: str | None = None,
) -> tuple[F64, F64]:
    """How many of N points of the plane have like colours in pairs of V views, at each of ``heights`` (H,), and how
    many were compared, (H,) both.

    ``pictures``: (h, w, 4) each, three colours and 1 where the picture counts. Homogeneous pixels of the points, whole
    numbers at the pixels' centres, are ``flat`` (V, 3, N) at height 0, and ``up`` (V, 3) is what a metre adds. The
    medians of what two views show may differ, they expose differently; beyond that, colours closer than ``reach`` are
    alike by 1 less their distance over ``reach``. Two views that show fewer than ``min_common`` points both are not
    compared.
    """
    V, N = len(pictures), flat.shape[-1]
    check_shape("flat", flat, (V, 3, N))
    check_shape("up", up, (V, 3))
    for picture in pictures:
        check_shape("a picture", picture, (*picture.shape[:2], 4))
    if is_native(backend):
        return plane_cpu.plane_agreement(pictures, flat, up, heights, reach, min_common)
    alike, compared = np.zeros((2, len(heights)))
    for k, height in enumerate(heights):
        colors, valid = zip(*(_at(*view, height) for view in zip(pictures, flat, up, strict=True)), strict=True)
        for i in range(V):
            for j in range(i):
                both = np.flatnonzero(valid[i] & valid[j])
                if len(both) < min_common:
                    continue
                difference = colors[i].take(both, axis=1) - colors[j].take(both, axis=1)
                distance = np.sqrt(((difference - medians(difference)) ** 2).sum(axis=0))
                alike[k] += np.maximum(1.0 - distance / reach, 0.0).sum()
                compared[k] += len(both)
    return alike, compared


def _at(picture: F32, flat: F64, up: F64, height: float) -> tuple[F32, Bool]:
    """Colours (3, N) of the points at ``height``, and which of them the picture shows, (N,)."""
    x, y, z = flat + height * up[:, None]
    ahead = z > 0.0
    z = np.where(ahead, z, 1.0)
    columns, rows = (np.clip(p / z, -1e4, 1e4).astype(np.float32) for p in (x, y))
    seen = sample(picture, columns[None], rows[None])[0]
    valid = ahead & _inside(columns, rows, picture.shape) & (seen[:, 3] > 0.5)
    return np.ascontiguousarray(seen[:, :3].T), valid


def through_plane(
    shape: tuple[int, int], ahead: F64, to_other: F64, picture: F32, backend: str | None = None
) -> tuple[F32, F32, Bool, F32]:
    """Where each pixel (h, w) of ``shape`` has its point of a plane in another view, and what that shows there.

    Of the pixel (x, y, 1), centres at halves, ``ahead`` (3,) says how far ahead of the camera the point is, where that
    is positive, and ``to_other`` (3, 3) its homogeneous pixel there, third how far ahead. ``picture``: (h', w', 8).

    -> columns and rows there, float32, whether both cameras have the point before them and the other shows it, (h, w)
    each, and what it shows, (8, h, w).
    """
    check_shape("ahead", ahead, (3,))
    check_shape("to_other", to_other, (3, 3))
    check_shape("picture", picture, (*picture.shape[:2], 8))
    if is_native(backend):
        return plane_cpu.through_plane(shape, ahead, to_other, picture)
    x, y = np.arange(shape[1]) + 0.5, np.arange(shape[0])[:, None] + 0.5

    def row(H: F64) -> F64:
        return H[0] * x + (H[1] * y + H[2])

    depth = row(to_other[2])
    before_both = (row(ahead) > 0.0) & (depth > 0.0)
    scale = np.divide(1.0, depth, out=np.zeros(shape), where=before_both)
    columns, rows = (np.clip(row(H) * scale - 0.5, -1e4, 1e4).astype(np.float32) for H in to_other[:2])
    halves = [sample(np.ascontiguousarray(half), columns, rows) for half in (picture[..., :4], picture[..., 4:])]
    shown = np.ascontiguousarray(np.dstack(halves).transpose(2, 0, 1))
    return columns, rows, before_both & _inside(columns, rows, picture.shape), shown


def matches(
    lab: F32, lower: F32, upper: F32, tolerance: float, steps: Sequence[int], chance: F32, backend: str | None = None
) -> tuple[Bool, F32]:
    """Where colours ``lab`` (3, h, w) are within ``tolerance`` of the range ``lower`` to ``upper``, (3, h, w) both.

    And ``chance`` (h, w), or where that is more, the share of the four pixels at one of ``steps`` beside whose ranges
    the colour is within ``tolerance`` of too. Beyond a border, pixels go on at the opposite one. -> (h, w) both
    """
    check_shape("lab", lab, (3, *lab.shape[1:]))
    for name, x, expected in (("lower", lower, lab), ("upper", upper, lab), ("chance", chance, lab[0])):
        check_shape(name, x, expected.shape)
    if is_native(backend):
        return plane_cpu.matches(lab, lower, upper, tolerance, steps, chance)

    def near(lower: F32, upper: F32) -> Bool:
        return ((lab - np.clip(lab, lower, upper)) ** 2).sum(axis=0) < tolerance**2

    for k in steps:
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
