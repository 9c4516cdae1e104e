"""What the support plane tells: its texture looks the same from all views, the object on it does not.

Warped through the right plane, one view's picture of the table matches another's, shadows included, since they lie
on it; a pixel on the object lands behind the object and does not match, except by chance. How often chance alone
makes colours match is measured, so a plain table simply has nothing to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.ndimage import uniform_filter

from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.kernels.plane import matches, medians, sample, through_plane
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.color_model import CELLS, cells
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, F64, Bool

TOLERANCE = 7.0
"""Two colours match within this distance in L*a*b*, after a shift of up to a pixel."""
WEIGHT = (0.7, 1.0, 1.0, 0.0)
"""Of L*, a*, b*, and a fourth that OpenCV asks for. Lightness counts less than hue: exposure differs between views."""
BESIDE, BESIDE_WIDE = (6, 20), (4, 8, 20)
"""Pixels beside its partner at which a pixel must not match as well, for its match to mean something: in a window
around the object, and in one wide enough to search it in, where it may be small."""

Part = tuple[slice, slice]
ALL: Part = (slice(None), slice(None))
"""Rows and columns of a window."""
ENOUGH = 4000
"""So many pixels say how two cameras' exposures differ; more take longer and say the same."""


@dataclass(frozen=True)
class PlanePair:
    """How window i compares with window j through the plane. All (h, w), over window i's pixels.

    ``seen``: the pixel's plane point is in window j; ``outside``: and in neither window may the object be there;
    ``match``: the colours agree; ``columns``, ``rows``: where in window j it is, float32; ``chance``: how often a pixel
    picked from window j at random would have matched.
    """

    j: int
    seen: Bool
    outside: Bool
    match: Bool
    columns: F32
    rows: F32
    chance: F32

    def on(self, labels: Bool) -> Bool:
        """(h, w): the plane point is on what is labelled in window j."""
        return self.seen & (sample(labels.astype(np.float32), self.columns, self.rows) > 0.5)

    @cached_property
    def reliable(self) -> float | None:
        """How often table matches table, where both windows surely show it; no better than chance if the height is
        wrong. None where that is too little to say."""
        matches = self.match[self.outside]
        return float(np.clip(matches.mean(), 0.05, 0.97)) if len(matches) >= 100 else None

    @cached_property
    def likely(self) -> F32:
        """``chance``, never sure."""
        return np.clip(self.chance, 0.03, 0.95)


def _from_plane(window: Window, height: float) -> F64:
    """(3, 3): of a point (x, y, 1) of the world's plane z = ``height``, the homogeneous pixel, its z-depth third."""
    P = projection(window.camera, window.T_world_camera)
    return np.column_stack([P[:, 0], P[:, 1], height * P[:, 2] + P[:, 3]])


def weighted(window: Window) -> F32:
    """(h, w, 3): the window's colours as they are compared."""
    return cv2.multiply(cv2.GaussianBlur(window.lab, (0, 0), 0.7), WEIGHT)  # type: ignore[call-overload]


def compare(
    windows: Sequence[Window], height: float, searching: bool = False, neighbours: int = 6
) -> list[list[PlanePair]]:
    """For each window its comparisons with the (at most ``neighbours``) windows nearest to it in direction.
    ``searching``: the object may be small in its windows."""
    steps = BESIDE_WIDE if searching else BESIDE
    labs = [weighted(window) for window in windows]
    looks = [_looks(window, lab) for window, lab in zip(windows, labs, strict=True)]
    from_plane = [_from_plane(window, height) for window in windows]
    axes = np.array([window.T_world_camera[:3, 2] for window in windows])

    def comparisons(i: int) -> list[PlanePair]:
        window, lab, colors = windows[i], np.ascontiguousarray(labs[i].transpose(2, 0, 1)), cells(labs[i])
        to_plane = np.linalg.inv(from_plane[i])
        others = [j for j in np.argsort(-axes @ axes[i]) if j != i][:neighbours]
        pairs = []
        for j in others:
            # two pictures of a plane are a homography apart
            columns, rows, seen, shown = through_plane(window.shape, to_plane[2], from_plane[j] @ to_plane, looks[j])
            lower, upper = shown[:3], shown[3:6]
            outside = seen & ~window.allowed & (shown[6] < 0.5)
            # the two cameras may expose differently: match the medians of what both show of the table
            table = np.flatnonzero(outside)
            table = table[:: max(1, len(table) // ENOUGH)]
            gain = np.zeros((3, 1), np.float32)
            if len(table) > 200:
                mine, least, most = (x.reshape(3, -1).take(table, axis=1) for x in (lab, lower, upper))
                gain = medians(mine - 0.5 * (least + most))
            lower, upper = lower + gain[:, None], upper + gain[:, None]
            by_color = _share(cells(labs[j] + gain[:, 0]))[colors]
            match, chance = matches(lab, lower, upper, TOLERANCE, steps, by_color)
            pairs.append(PlanePair(int(j), seen, outside, seen & match, columns, rows, chance))
        return pairs

    return each(comparisons, range(len(windows)))


def _looks(window: Window, lab: F32) -> F32:
    """(h, w, 8): lowest and highest value in each pixel's 3x3 neighbourhood in ``lab``, whatever a misalignment of a
    pixel could show; where the object may be; and nothing."""
    kernel = np.ones((3, 3), np.uint8)
    allowed = window.allowed.astype(np.float32)
    return np.dstack([cv2.erode(lab, kernel), cv2.dilate(lab, kernel), allowed, np.zeros_like(allowed)])


def _share(cells_shown: np.ndarray) -> F32:
    """For each cell of colours the share of a picture's pixels, of which these are the cells, that are near it."""
    counts = np.bincount(cells_shown.ravel(), minlength=int(np.prod(CELLS))).astype(np.float32).reshape(CELLS)
    return ((27.0 / cells_shown.size) * uniform_filter(counts, 3, mode="constant")).ravel()


def most_evidence(pairs: Sequence[PlanePair]) -> float:
    """How sure of the object `evidence` can be, log-odds: surroundings that are not on the plane, a wall or a cloth, do
    not match either, so no surer than the share of the surroundings that do allows."""
    told = [pair for pair in pairs if pair.reliable is not None]
    if not told:
        return 4.0
    compared, matching = np.zeros((2, *told[0].seen.shape), np.uint8)
    for pair in told:
        compared += pair.outside
        matching += pair.outside & pair.match
    table = float(np.mean(matching[compared > 0] >= 0.5 * compared[compared > 0]))
    return min(4.0, -float(np.log(max(1.0 - table, 0.02))))


def evidence(
    pairs: Sequence[PlanePair],
    shape: tuple[int, int],
    object_odds: Sequence[F32] | None,
    most: float,
    part: Part,
) -> F32:
    """(h, w) log-odds that a pixel of the window of ``shape`` is not on the plane; 0 outside of the ``part`` asked for.
    ``object_odds``: (h, w) probability per window that a pixel is on the object, which hides the plane behind it, None
    while nothing is known of it. ``most``: of `most_evidence`."""
    total = np.zeros(shape, np.float32)
    asked = total[part]
    for pair in pairs:
        if pair.reliable is None:
            continue
        likely, on_plane = pair.likely[part], np.float32(pair.reliable)
        if object_odds is not None:
            hidden = sample(object_odds[pair.j], pair.columns[part], pair.rows[part])
            on_plane = hidden * likely + (1.0 - hidden) * pair.reliable
        ratio = np.maximum((1.0 - likely) / np.maximum(1.0 - on_plane, 0.03), 1.0)
        np.copyto(ratio, likely / np.maximum(on_plane, likely), where=pair.match[part])
        asked += pair.seen[part] * np.log(ratio, out=ratio)
    np.clip(0.8 * asked, -4.0, most, out=asked)
    return total
