"""Comparison of views through the support plane, by the homography that it induces between each two of them.

Warped through the right plane, one view's image of the table matches another's, shadows included, since they lie on it;
a pixel on the object is mapped to what is behind the object and does not match, except by chance. The rate of chance
matches is measured for each colour, so a plain table gives no evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import uniform_filter

from mvgamba_ros.config.cues_config import ColorConfig
from mvgamba_ros.config.support_plane_config import PlaneMatchingConfig
from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.kernels.homography import match_colors, medians, sample, warp_by_homography
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.color_model import cells, shape
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, F64, Bool

Crop = tuple[slice, slice]
EVERYWHERE: Crop = (slice(None), slice(None))
"""Rows and columns of a window."""


@dataclass(frozen=True)
class PlanePair:
    """Comparison of one window with the window ``other`` through the plane; arrays (h, w) are over the one's pixels.

    ``seen``: the pixel's plane point is in the other window; ``background``: and in neither window may the object be
    there; ``match``: the colours agree; ``columns``, ``rows``: pixel in the other window, float32; ``chance``: rate at
    which pixels of the other window match this one's colour, [0, 1]; ``chance_rate``: the same, clipped;
    ``match_rate``: rate at which background matches background, near chance if the height is wrong; None where too
    little of it is seen.
    """

    other: int
    seen: Bool
    background: Bool
    match: Bool
    columns: F32
    rows: F32
    chance: F32
    chance_rate: F32
    match_rate: float | None

    def lands_on(self, labels: Bool) -> Bool:
        """(h, w): the plane point is on the other window's ``labels``."""
        return self.seen & (sample(labels.astype(np.float32), self.columns, self.rows) > 0.5)


def _from_plane(window: Window, height: float) -> F64:
    """(3, 3): of a point (x, y, 1) of the world's plane z = ``height``, the homogeneous pixel, its z-depth third."""
    P = projection(window.camera, window.T_world_camera)
    return np.column_stack([P[:, 0], P[:, 1], height * P[:, 2] + P[:, 3]])


def for_pictures(windows: Sequence[Window], config: PlaneMatchingConfig) -> PlaneMatchingConfig:
    """``config`` with the weights of colours for pictures with colour, or for pictures that are all grey."""
    if any(np.abs(window.lab[..., 1:]).max() > config.max_grey_chroma for window in windows):
        return config
    return replace(config, channel_weights=(config.grey_weight, *config.channel_weights[1:]))


def weighted_lab(window: Window, config: PlaneMatchingConfig) -> F32:
    """(h, w, 3): the window's smoothed L*a*b* colours, scaled so that distances between them are those compared."""
    weights = *config.channel_weights, 0.0  # OpenCV asks for a fourth
    return cv2.multiply(cv2.GaussianBlur(window.lab, (0, 0), config.blur), weights)  # type: ignore[call-overload]


def compare(
    windows: Sequence[Window],
    height: float,
    searching: bool = False,
    config: PlaneMatchingConfig = PlaneMatchingConfig(),
    color: ColorConfig = ColorConfig(),
) -> list[list[PlanePair]]:
    """For each window its comparisons, through the plane z = ``height`` (metres), with the windows nearest to it in
    direction, at most ``config.neighbors``. ``searching``: the object may be small in its windows."""
    offsets = config.chance_offsets_search if searching else config.chance_offsets
    weighted = for_pictures(windows, config)
    labs = [weighted_lab(window, weighted) for window in windows]
    ranges = [_color_ranges(window, lab) for window, lab in zip(windows, labs, strict=True)]
    from_plane = [_from_plane(window, height) for window in windows]
    axes = np.array([window.T_world_camera[:3, 2] for window in windows])

    def comparisons(i: int) -> list[PlanePair]:
        window, lab, colors = windows[i], np.ascontiguousarray(labs[i].transpose(2, 0, 1)), cells(labs[i], color)
        to_plane = np.linalg.inv(from_plane[i])
        others = [j for j in np.argsort(-axes @ axes[i]) if j != i][: config.neighbors]
        pairs = []
        for j in others:
            # the homography induced by the plane
            columns, rows, seen, shown = warp_by_homography(
                window.shape, to_plane[2], from_plane[j] @ to_plane, ranges[j]
            )
            lower, upper = shown[:3], shown[3:6]
            background = seen & ~window.allowed & (shown[6] < 0.5)
            # the two cameras may expose differently: match the medians of the background that both show
            table = np.flatnonzero(background)
            table = table[:: max(1, len(table) // config.max_exposure_pixels)]
            gain = np.zeros((3, 1), np.float32)
            if len(table) > config.min_exposure_pixels:
                mine, least, most = (x.reshape(3, -1).take(table, axis=1) for x in (lab, lower, upper))
                gain = medians(mine - 0.5 * (least + most))
            lower, upper = lower + gain[:, None], upper + gain[:, None]
            by_color = _color_rate(cells(labs[j] + gain[:, 0], color), color)[colors]
            match, chance = match_colors(lab, lower, upper, config.tolerance, offsets, by_color)
            match &= seen
            matching = match[background]
            rate = float(np.clip(matching.mean(), *config.match_rate)) if len(matching) >= config.min_pixels else None
            chance_rate = np.clip(chance, *config.chance_rate)
            pairs.append(PlanePair(int(j), seen, background, match, columns, rows, chance, chance_rate, rate))
        return pairs

    return each(comparisons, range(len(windows)))


def _color_ranges(window: Window, lab: F32) -> F32:
    """(h, w, 8): least and largest ``lab`` (3 each) in the pixel's 3x3 neighbourhood, so that a misalignment of a pixel
    still matches; 1 where the object may be; and 0."""
    kernel = np.ones((3, 3), np.uint8)
    allowed = window.allowed.astype(np.float32)
    return np.dstack([cv2.erode(lab, kernel), cv2.dilate(lab, kernel), allowed, np.zeros_like(allowed)])


def _color_rate(flat_cells: np.ndarray, color: ColorConfig) -> F32:
    """For each histogram cell, flat, the share of the pixels, given by their cells, in its 3x3x3 neighbourhood."""
    counts: np.ndarray = np.bincount(flat_cells.ravel(), minlength=int(np.prod(shape(color))))
    counts = counts.astype(np.float32).reshape(shape(color))
    return ((27.0 / flat_cells.size) * uniform_filter(counts, 3, mode="constant")).ravel()


def mismatch_limit(pairs: Sequence[PlanePair], config: PlaneMatchingConfig) -> float:
    """Largest log-odds that `off_plane_log_odds` may give: background off the plane, a wall or a cloth, does not match
    either, so a mismatch is worth no more than the share of the background that does match allows."""
    usable = [pair for pair in pairs if pair.match_rate is not None]
    if not usable:
        return config.max_log_odds
    compared, matching = np.zeros((2, *usable[0].seen.shape), np.uint8)
    for pair in usable:
        compared += pair.background
        matching += pair.background & pair.match
    on_plane = float(np.mean(matching[compared > 0] >= config.min_agreeing * compared[compared > 0]))
    return min(config.max_log_odds, -float(np.log(max(1.0 - on_plane, config.min_off_plane))))


def off_plane_log_odds(
    pairs: Sequence[PlanePair],
    size: tuple[int, int],
    object_probability: Sequence[F32] | None,
    limit: float,
    crop: Crop,
    config: PlaneMatchingConfig,
) -> F32:
    """(h, w) log-odds that a pixel of a window of ``size`` is not on the plane, at most ``limit``; 0 outside ``crop``.

    ``object_probability``: (h, w) of each window, that a pixel is on the object, which hides the plane behind it; None
    while nothing is known of it. Each pair adds the log-ratio of the rates of its match, or mismatch, off and on the
    plane.
    """
    log_odds = np.zeros(size, np.float32)
    total = log_odds[crop]
    for pair in pairs:
        if pair.match_rate is None:
            continue
        off_plane, on_plane = pair.chance_rate[crop], np.float32(pair.match_rate)
        if object_probability is not None:
            hidden = sample(object_probability[pair.other], pair.columns[crop], pair.rows[crop])
            on_plane = hidden * off_plane + (1.0 - hidden) * pair.match_rate
        ratio = np.maximum((1.0 - off_plane) / np.maximum(1.0 - on_plane, config.min_mismatch_rate), 1.0)
        np.copyto(ratio, off_plane / np.maximum(on_plane, off_plane), where=pair.match[crop])
        total += pair.seen[crop] * np.log(ratio, out=ratio)
    np.clip(config.weight * total, -config.max_log_odds, limit, out=total)
    return log_odds
