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

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.colors import CELLS, cells
from mvgamba_ros.segmentation.region import Window, distance_from_middle
from mvgamba_ros.types import F32, F64, Bool, Box

TOLERANCE = 7.0
"""Two colours match within this distance in L*a*b*, after a shift of up to a pixel."""
WEIGHT = np.array([0.7, 1.0, 1.0], np.float32)
"""Lightness counts less than hue: exposure differs between views."""
BESIDE, BESIDE_WIDE = (6, 20), (4, 8, 20)
"""Pixels beside its partner at which a pixel must not match as well, for its match to mean something: in a window
around the object, and in one wide enough to search it in, where it may be small."""
FINEST = 0.0005
"""Heights are told apart no finer than this, metres."""
HEIGHTS = 64
"""Heights tried over the region's own."""
LEAST_REACH = 0.02
"""Heights are tried from below the region's middle to above it by this at least, however thin it is, metres."""
CLEAR = 0.1
"""A plane of less clarity than this is not believed."""
NEARBY, NEARBY_STEP = 0.003, 0.001
"""A height that a coarser look has found is right within the first; heights that far from it are tried in such steps,
metres."""
RIVAL = 0.5
"""Nor is one where a height elsewhere has more than this share of its clarity."""
MIDDLE = 0.5
"""An object that may be anywhere is taken to be nearer to the middle than this, where 1 is its region's edge: its own
flat top is a plane too."""


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
        return self.seen & (_sample(labels.astype(np.float32), self.columns, self.rows) > 0.5)

    @cached_property
    def reliable(self) -> float | None:
        """How often table matches table, where both windows surely show it; no better than chance if the height is
        wrong. None where that is too little to say."""
        matches = self.match[self.outside]
        return float(np.clip(matches.mean(), 0.05, 0.97)) if len(matches) >= 100 else None

    @cached_property
    def verdicts(self) -> tuple[F32, F32]:
        """1 where the colours agree, and 1 where they do not; both 0 where the plane is not seen."""
        return (self.seen & self.match).astype(np.float32), (self.seen & ~self.match).astype(np.float32)

    @cached_property
    def likely(self) -> F32:
        """``chance``, never sure."""
        return np.clip(self.chance, 0.03, 0.95)


def plane_points(window: Window, height: float) -> tuple[np.ndarray, Bool]:
    """Where each pixel's ray meets the plane z = ``height``: (h, w, 3) world points, (h, w) True where it does."""
    origin, directions = rays(window.camera, window.T_world_camera)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (height - origin[2]) / directions[..., 2]
    hit = np.isfinite(along) & (along > 0.0)
    return origin + directions * np.where(hit, along, 0.0)[..., None], hit


def _envelope(lab: F32) -> tuple[F32, F32]:
    """Lowest and highest value in each pixel's 3x3 neighbourhood: whatever a pixel's misalignment could show."""
    kernel = np.ones((3, 3), np.uint8)
    return cv2.erode(lab, kernel), cv2.dilate(lab, kernel)  # type: ignore[return-value]


def _sample(image: F32, columns: F32, rows: F32) -> F32:
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore


def compare(
    windows: Sequence[Window], height: float, searching: bool = False, neighbours: int = 6
) -> list[list[PlanePair]]:
    """For each window its comparisons with the (at most ``neighbours``) windows nearest to it in direction.
    ``searching``: the object may be small in its windows."""
    steps = BESIDE_WIDE if searching else BESIDE
    labs = [cv2.GaussianBlur(window.lab, (0, 0), 0.7) * WEIGHT for window in windows]
    envelopes = [_envelope(lab) for lab in labs]
    axes = np.array([window.T_world_camera[:3, 2] for window in windows])

    def comparisons(i: int) -> list[PlanePair]:
        window = windows[i]
        points, hit = plane_points(window, height)
        others = [j for j in np.argsort(-axes @ axes[i]) if j != i][:neighbours]
        pairs = []
        for j in others:
            other = windows[j]
            pixels, z = project(other.camera, other.T_world_camera, points.reshape(-1, 3))
            at = np.nan_to_num(pixels - 0.5, nan=-1e4).reshape(*window.shape, 2).astype(np.float32)
            columns, rows = np.clip(at[..., 0], -1e4, 1e4), np.clip(at[..., 1], -1e4, 1e4)
            seen = hit & (z.reshape(window.shape) > 0) & (columns > 0) & (rows > 0)
            seen &= (columns < other.shape[1] - 1) & (rows < other.shape[0] - 1)
            lower, upper = _sample(envelopes[j][0], columns, rows), _sample(envelopes[j][1], columns, rows)
            outside = seen & ~window.allowed & (_sample(other.allowed.astype(np.float32), columns, rows) < 0.5)
            # the two cameras may expose differently: match the medians of what both show of the table
            gain = np.zeros(3, np.float32)
            if outside.sum() > 200:
                gain = _medians((labs[i][outside] - 0.5 * (lower[outside] + upper[outside])).T)[:, 0]
            lower, upper = lower + gain, upper + gain
            match = seen & _matches(labs[i], lower, upper)
            chance = _chance(labs[i], labs[j] + gain, lower, upper, steps)
            pairs.append(PlanePair(int(j), seen, outside, match, columns, rows, chance))
        return pairs

    return each(comparisons, range(len(windows)))


def _chance(lab: F32, other: F32, lower: F32, upper: F32, steps: Sequence[int]) -> F32:
    """(h, w): how often each colour of ``lab`` would match without a plane: the share of all pixels of the ``other``
    image that it matches, or of those ``steps`` beside its partner (``lower``, ``upper``), whichever is higher. An
    object of one colour matches itself, whatever the plane."""
    counts = np.bincount(cells(other).ravel(), minlength=int(np.prod(CELLS))).astype(np.float32).reshape(CELLS)
    share = (27.0 / other[..., 0].size) * uniform_filter(counts, 3, mode="constant").ravel()
    height, width = lab.shape[:2]
    far = max(steps)
    low, high = (np.pad(x, ((far, far), (far, far), (0, 0)), mode="wrap") for x in (lower, upper))
    chance = share[cells(lab)]
    for k in steps:
        beside = np.zeros((height, width), np.float32)
        for dy, dx in ((0, k), (0, -k), (k, 0), (-k, 0)):
            moved = np.s_[far + dy : far + dy + height, far + dx : far + dx + width]
            beside += 0.25 * _matches(lab, low[moved], high[moved])
        chance = np.maximum(chance, beside)
    return chance


def _matches(lab: F32, lower: F32, upper: F32) -> Bool:
    away = cv2.max(cv2.max(cv2.subtract(lower, lab), cv2.subtract(lab, upper)), 0.0)  # type: ignore[call-overload]
    return cv2.transform(cv2.multiply(away, away), np.ones((1, 3), np.float32)) < TOLERANCE**2


def evidence(pairs: Sequence[PlanePair], shape: tuple[int, int], object_odds: Sequence[F32]) -> F32:
    """(h, w) log-odds that a pixel of the window of ``shape`` is not on the plane. ``object_odds``: (h, w) probability
    per window that a pixel is on the object, which hides the plane behind it."""
    total, compared, matching = (np.zeros(shape, np.float32) for _ in range(3))
    for pair in pairs:
        if pair.reliable is None:
            continue
        compared += pair.outside
        matching += pair.outside & pair.match
        hidden = _sample(object_odds[pair.j], pair.columns, pair.rows)
        on_plane = (1.0 - hidden) * pair.reliable + hidden * pair.likely
        matched = pair.likely / np.maximum(on_plane, pair.likely)
        unmatched = np.maximum((1.0 - pair.likely) / np.maximum(1.0 - on_plane, 0.03), 1.0)
        alike, unlike = pair.verdicts
        total += alike * np.log(matched) + unlike * np.log(unmatched)
    # surroundings that are not on the plane, a wall or a cloth, do not match either: no more than their share allows
    table = float((matching >= 0.5 * compared)[compared > 0].mean()) if compared.any() else 0.0
    return np.clip(0.8 * total, -4.0, min(4.0, -np.log(max(1.0 - table, 0.02))))


def estimate_height(windows: Sequence[Window], region: Box, anywhere: bool = False) -> tuple[float | None, float]:
    """Height of the textured horizontal plane through ``region`` that the windows agree on, and how clearly, [0, 1].

    The clarity is the share of the plane's points, beyond those that agree by chance at nearby heights, on which the
    views agree. The height is None where that is too small to trust: never a guess. The region itself, where the
    object hides the plane, is left out; of one that the object may be ``anywhere`` in, the middle.
    """
    if len(windows) < 2 or not all(window.T_world_camera[2, 2] < -0.1 for window in windows):
        return None, 0.0  # a table is looked down at
    center = region.T_world_box[:3, 3]
    reach = max(float(np.abs(region.T_world_box[2, :3]) @ region.size) / 2, LEAST_REACH)
    low = center[2] - 1.25 * reach
    high = min(center[2] + 0.25 * reach, min(window.T_world_camera[2, 3] for window in windows) - 0.02)
    step = max(2.0 * reach / HEIGHTS, FINEST)
    if high - low < 8 * step:
        return None, 0.0
    planes = _planes(windows, region, anywhere)
    heights = np.arange(low, high + step, step)
    scores = np.array([_agreement(planes, height) for height in heights])
    share = scores[:, 0] / np.maximum(scores[:, 1], 1.0)
    enough = scores[:, 1] >= max(400.0, 0.25 * float(scores[:, 1].max()))
    excess = np.zeros(len(heights))
    for k in range(3, len(heights) - 3):  # above what is usual a little higher and lower: a peak, not a slope
        near = enough & (np.abs(np.arange(len(heights)) - k) > 2) & (np.abs(np.arange(len(heights)) - k) <= 8)
        if enough[k] and near[:k].any() and near[k:].any():
            usual = max(float(np.median(share[:k][near[:k]])), float(np.median(share[k:][near[k:]])))
            excess[k] = (share[k] - usual) / max(1.0 - usual, 1e-3)
    best = int(excess.argmax())
    clarity, height = float(np.clip(excess[best], 0.0, 1.0)), float(heights[best])
    rival = float(excess[np.abs(np.arange(len(heights)) - best) > 3].max())
    if clarity < CLEAR or rival > RIVAL * clarity:
        return None, clarity
    return _finest(planes, height, step), clarity


def refine_height(windows: Sequence[Window], region: Box, height: float) -> float:
    """``height`` of `estimate_height` in windows of a wider region, as exactly as these tell."""
    planes = _planes(windows, region, anywhere=False)
    return _finest(planes, _best(planes, height + np.arange(-NEARBY, NEARBY + FINEST, NEARBY_STEP)), NEARBY_STEP)


def _finest(planes: Sequence[_Plane], height: float, step: float) -> float:
    """The height near ``height``, where steps of ``step`` have found it, in steps of `FINEST`."""
    while step > FINEST:
        step /= 2.0
        height = _best(planes, height + step * np.arange(-1, 2))
    return height


def _best(planes: Sequence[_Plane], heights: np.ndarray) -> float:
    """The height at which the largest share of the plane's points looks alike: how many are seen changes with it."""
    alike, compared = np.array([_agreement(planes, height) for height in heights]).T
    return float(heights[np.argmax(alike / np.maximum(compared, 1.0))])


def _planes(windows: Sequence[Window], region: Box, anywhere: bool) -> list[_Plane]:
    """Each window's grid of points on the plane around ``region``; see `estimate_height`."""
    radius, center = 0.75 * float(np.linalg.norm(region.size)), region.T_world_box[:3, 3]
    line = np.linspace(-radius, radius, 64)
    grid = np.stack(np.meshgrid(line + center[0], line + center[1]), axis=-1).reshape(-1, 2)
    return each(lambda window: _Plane.of(window, grid, anywhere), windows)


@dataclass(frozen=True)
class _Plane:
    """A grid of points on the plane z = 0 in one window's homogeneous pixels, (3, N), and what one metre up adds, (3,).
    ``picture`` (h, w, 4): colour, and 1 where the window counts."""

    picture: F32
    flat: F64
    up: F64

    @classmethod
    def of(cls, window: Window, grid: F64, anywhere: bool) -> _Plane:
        lab = cv2.GaussianBlur(window.lab, (0, 0), 0.7) * WEIGHT
        counts = distance_from_middle(window) > MIDDLE if anywhere else ~window.allowed
        picture = np.dstack([lab, counts.astype(np.float32)])
        M = window.camera.K @ inverse(window.T_world_camera)[:3]
        return cls(picture, M[:, :2] @ grid.T + M[:, 3:], M[:, 2])

    def at(self, height: float) -> tuple[F32, Bool]:
        """Colours (3, N) of the grid's points at ``height``, and which of them the window shows, (N,)."""
        x, y, z = self.flat + height * self.up[:, None]
        ahead = z > 0.0
        z = np.where(ahead, z, 1.0)
        columns = np.clip(x / z - 0.5, -1e4, 1e4).astype(np.float32)
        rows = np.clip(y / z - 0.5, -1e4, 1e4).astype(np.float32)
        inside = ahead & (columns > 0) & (rows > 0)
        inside &= (columns < self.picture.shape[1] - 1) & (rows < self.picture.shape[0] - 1)
        seen = _sample(self.picture, columns[None], rows[None])[0]
        return np.ascontiguousarray(seen[:, :3].T), inside & (seen[:, 3] > 0.5)


def _agreement(planes: Sequence[_Plane], height: float) -> tuple[float, float]:
    """How many points of the plane look alike in a pair of views, each counted up to 1, and how many were compared."""
    colors, valid = zip(*(each.at(height) for each in planes), strict=True)
    alike, compared = 0.0, 0.0
    for i in range(len(colors)):
        for j in range(i):
            both = np.flatnonzero(valid[i] & valid[j])
            if len(both) < 60:
                continue
            difference = colors[i].take(both, axis=1) - colors[j].take(both, axis=1)
            difference -= _medians(difference)  # the views may expose differently
            distance = np.sqrt((difference**2).sum(axis=0))
            alike += float(np.maximum(1.0 - distance / (1.5 * TOLERANCE), 0.0).sum())
            compared += float(len(both))
    return alike, compared


def _medians(rows: F32) -> F32:
    """(R, 1) of finite ``rows`` (R, N): `np.median`'s, which for rows this short takes longer to begin than to sort."""
    upper = rows.shape[1] // 2
    lower = (rows.shape[1] - 1) // 2
    parted = np.partition(rows, (lower, upper), axis=1)
    return 0.5 * (parted[:, lower, None] + parted[:, upper, None])
