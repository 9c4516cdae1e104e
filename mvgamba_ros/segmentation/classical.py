"""The default segmenter: no weights, only what the robot knows. Poses, the support plane, colours, and agreement.

Every pixel of a window gets log-odds of being on the object from four witnesses: colour (histograms of object and
surroundings, learned over all views), the support plane's texture (`plane`), depth where there is any, and the other
views' silhouettes (`carving`). A minimum cut turns the sum into labels, the labels teach colours and silhouettes, and
after a few rounds the borders are cut once more at full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import crop, resample
from mvgamba_ros.segmentation import plane
from mvgamba_ros.segmentation.carving import UNSEEN, Carving
from mvgamba_ros.segmentation.colors import cells, histogram
from mvgamba_ros.segmentation.cut import best_labels
from mvgamba_ros.segmentation.region import Window, common_region, make_windows
from mvgamba_ros.segmentation.segmenter import check_cancelled, check_prompts, view_label
from mvgamba_ros.types import F32, Bool, Box, Cancelled, Progress, Prompts, View

ROUNDS = 4
SIDE = 224
"""Longer side of a window while labels are sought."""
SEARCH_SIDE = 160
"""The same while the object is looked for without a region of interest."""
FINE_SIDE = 640
"""Longer side of a window while borders are refined."""
SMOOTHNESS = 1.6
"""Cost of a border through flat colour, log-odds per pixel."""
SMALLEST = 12
"""A silhouette of fewer window pixels is none."""
AGREEMENT = 0.5
"""Silhouettes whose common hull explains less than this share of any of them disagree."""


@dataclass
class _State:
    """What is known of one window while it is being labelled."""

    window: Window
    cells: np.ndarray
    edges: np.ndarray
    fixed: F32  # log-odds that do not change: depth
    labels: Bool
    odds: F32  # own log-odds, without the other views' silhouettes


class ClassicalSegmenter:
    """Silhouettes from poses, support plane, colour and agreement; needs no weights.

    Without a region of interest the object is taken to stand in the middle of all views. Works on undistorted views.
    """

    name = "classical"

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[Bool]:
        check_prompts(views, prompts)
        region, height = prompts.roi, prompts.support_height
        if region is None:
            states, carving = _label(views, prompts, common_region(views), height, SEARCH_SIDE, True, cancelled)
            found = _bounds(states, carving)
            if found is not None:
                region = found
        if region is not None:
            states, carving = _label(views, prompts, region, height, SIDE, False, cancelled)
        _check(views, states, carving)
        masks = []
        for index, view in enumerate(views):
            check_cancelled(cancelled)
            masks.append(_refine(view, states[index]))
        if progress is not None:
            progress("segment", 1.0)
        return masks


def _label(
    views: Sequence[View],
    prompts: Prompts,
    region: Box,
    height: float | None,
    side: int,
    searching: bool,
    cancelled: Cancelled | None,
) -> tuple[list[_State], Carving]:
    """Labels every window of ``region``. ``searching``: the region is far larger than the object, which stands
    somewhere near its middle."""
    windows = make_windows(views, region, prompts, side)
    if height is None:
        height, _ = plane.estimate_height(windows, region, anywhere=searching)
    states = [_begin(window, region, height) for window in windows]
    carving = Carving(windows, region, _floor(region, height))
    pairs = plane.compare(windows, height) if height is not None and len(views) > 1 else [[] for _ in views]
    _first_guess(states, pairs, searching)
    for turn in range(ROUNDS):
        check_cancelled(cancelled)
        if turn:
            _learn(states, pairs, height is not None)
        _agree(states, carving, certain=turn / (ROUNDS - 1))
        if searching:
            _keep_one_object(states)
    return states, carving


def _bounds(states: Sequence[_State], carving: Carving) -> Box | None:
    """A box half as large again as what all silhouettes agree on; None where they agree on nothing."""
    votes = carving.gather([np.where(state.labels, 1.0, -1.0).astype(np.float32) for state in states])
    seen = (votes != UNSEEN).sum(axis=0)
    filled = carving.points[(votes.min(axis=0) > -0.3) & (seen >= min(2, len(states)))]
    if len(filled) == 0:
        return None
    low, high = filled.min(axis=0), filled.max(axis=0)
    T = np.eye(4)
    T[:3, 3] = (low + high) / 2
    return Box(T, 1.5 * (high - low) + 2.0 * carving.cell)


def _floor(region: Box, height: float | None) -> float | None:
    return None if height is None else height + 0.01 * float(region.size.min())


def _edges(lab: F32) -> np.ndarray:
    """(h, w, 2) uint8: lightness, and the direction in which hues differ most."""
    hue = lab[..., 1:].reshape(-1, 2) - lab[..., 1:].reshape(-1, 2).mean(axis=0)
    direction = np.linalg.eigh(hue.T @ hue)[1][:, -1]
    chroma = (hue @ direction).reshape(lab.shape[:2])
    return np.stack([np.clip(lab[..., 0] * 2.55, 0, 255), np.clip(127.5 + 2.55 * chroma, 0, 255)], -1).astype(np.uint8)


def _begin(window: Window, region: Box, height: float | None) -> _State:
    fixed = np.zeros(window.shape, np.float32)
    return _State(window, cells(window.lab), _edges(window.lab), fixed, window.allowed.copy(), fixed)


def _background(states: Sequence[_State], outside: Sequence[Bool], shadows: bool) -> list[F32]:
    """Density of the surroundings' colours for each window: half its own, half everyone's."""
    counts = [histogram(state.cells, mask.astype(np.float32)) for state, mask in zip(states, outside, strict=True)]
    shared = np.mean(counts, axis=0)
    answer = [0.5 * own + 0.5 * shared for own in counts]
    if shadows:
        lit = np.concatenate([s.window.lab[mask][::7] for s, mask in zip(states, outside, strict=True)])
        if len(lit):
            darker = histogram(cells(np.concatenate([share * lit for share in (0.5, 0.6, 0.7, 0.8, 0.9)]).astype(np.float32)))
            answer = [density + SHADOW * darker for density in answer]
    return answer


SHADOW = 0.15
FLOOR = 3e-5
"""Density of a colour never seen: a histogram cell has about this share of all colours."""


def _first_guess(states: Sequence[_State], pairs: Sequence[Sequence[plane.PlanePair]], searching: bool) -> None:
    """Log-odds before anything is known of the object: what the surroundings and the plane do not explain."""
    outside = [_rim(state) if searching else ~state.window.allowed for state in states]
    background = _background(states, outside, bool(pairs[0]))
    inside = [state.window.allowed & ~mask for state, mask in zip(states, outside, strict=True)]
    within = np.mean(
        [histogram(s.cells, mask.astype(np.float32)) for s, mask in zip(states, inside, strict=True)], axis=0
    )
    first = []
    for state, density in zip(states, background, strict=True):
        # colours that the middle has more of than the rim
        odds = 2.0 * np.log((within[state.cells] + FLOOR) / (density[state.cells] + FLOOR)) - 1.0
        first.append(np.where(state.window.allowed, np.clip(odds, -2.0, 2.0), -4.0).astype(np.float32))
    for _ in range(2):
        belief = [_probability(odds) for odds in first]
        for index, state in enumerate(states):
            windows = [other.window for other in states]
            total = np.clip(first[index], -2, 2) + plane.evidence(pairs[index], state.window, windows, belief)
            state.odds = np.where(state.window.allowed, total, -4.0).astype(np.float32)
        first = [0.5 * old + 0.5 * state.odds for old, state in zip(first, states, strict=True)]
    if searching:
        for state in states:
            state.odds -= 1.5 * _distance_from_middle(state.window) ** 2
    for state in states:
        state.labels = (state.odds > 0.0) & state.window.allowed


def _rim(state: _State) -> Bool:
    height, width = state.window.shape
    rim = np.ones((height, width), bool)
    by, bx = max(2, height // 8), max(2, width // 8)
    rim[by:-by, bx:-bx] = False
    return rim | ~state.window.allowed


def _distance_from_middle(window: Window) -> F32:
    """(h, w): distance from the region's middle, 1 at the edge of the area where the object may be."""
    rows, columns = np.nonzero(window.allowed)
    y, x = np.mgrid[: window.shape[0], : window.shape[1]]
    reach = max(np.ptp(rows), np.ptp(columns), 1) / 2.0
    middle = (rows.min() + rows.max()) / 2.0, (columns.min() + columns.max()) / 2.0
    return (np.hypot(y - middle[0], x - middle[1]) / reach).astype(np.float32)


def _probability(odds: F32) -> F32:
    return (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)


def _learn(states: Sequence[_State], pairs: Sequence[Sequence[plane.PlanePair]], on_plane: bool) -> None:
    """New log-odds from the labels: colours of object and surroundings, and the plane with known occlusions."""
    windows = [state.window for state in states]
    kernel = np.ones((5, 5), np.uint8)
    surely_off = [cv2.dilate(state.labels.astype(np.uint8), kernel) == 0 for state in states]
    background = _background(states, surely_off, on_plane)
    inside = [histogram(state.cells, state.labels.astype(np.float32)) for state in states]
    weights = np.array([float(state.labels.sum()) + 1.0 for state in states])
    shared = np.average(inside, axis=0, weights=weights)
    hidden = [cv2.GaussianBlur(state.labels.astype(np.float32), (0, 0), 1.0) for state in states]
    for index, state in enumerate(states):
        on = 0.5 * inside[index] + 0.5 * shared
        color = np.log((on[state.cells] + FLOOR) / (background[index][state.cells] + FLOOR))
        total = np.clip(color, -4.0, 4.0) + plane.evidence(pairs[index], state.window, windows, hidden)
        state.odds = np.where(state.window.allowed, total, -6.0).astype(np.float32)


def _agree(states: Sequence[_State], carving: Carving, certain: float) -> None:
    """Cuts every window, with the silhouettes of the others as a witness that weighs more as ``certain`` grows."""
    several = len(states) > 1
    beliefs = []
    for state in states:
        smooth = cv2.GaussianBlur(np.clip(state.odds, -4, 4), (0, 0), 1.5)
        labelled = np.where(state.labels, 3.0, -3.0).astype(np.float32)
        beliefs.append(((1 - certain) * smooth + certain * labelled).astype(np.float32))
    votes = carving.gather(beliefs) if several else None
    for index, state in enumerate(states):
        total = state.odds + state.fixed
        if votes is not None:
            others = np.delete(votes, index, axis=0)
            worst = others.min(axis=0)
            reachable = carving.full(index, carving.render(index, worst, -4.0), state.window)
            total = total + np.clip(reachable, -4.0, 1.0)
        state.labels = best_labels(
            total,
            state.edges,
            state.window.allowed,
            state.window.on,
            SMOOTHNESS,
        )


def _keep_one_object(states: Sequence[_State]) -> None:
    """Of several blobs, pieces near each other taken as one, the one that weighs most; far from the middle less."""
    for state in states:
        side = max(3, max(state.window.shape) // 20) | 1
        joined = cv2.dilate(state.labels.astype(np.uint8), np.ones((side, side), np.uint8))
        count, blobs = cv2.connectedComponents(joined)
        if count < 3:
            continue
        weight = np.exp(-((2.0 * _distance_from_middle(state.window)) ** 2)) * state.labels
        mass = np.bincount(blobs.ravel(), weight.ravel(), minlength=count)
        mass[0] = 0.0
        state.labels = state.labels & (blobs == int(mass.argmax()))


def _check(views: Sequence[View], states: Sequence[_State], carving: Carving) -> None:
    for index, state in enumerate(states):
        if state.labels.sum() < SMALLEST:
            raise ReconstructionError(
                ErrorCode.EMPTY_SILHOUETTE,
                f"nothing that stands out from its surroundings was found in {view_label(views, index)}: check that "
                "the region of interest holds the object, give a point on it, or change light or background",
            )
    if len(states) < 2:
        return
    votes = carving.gather([np.where(state.labels, 1.0, -1.0).astype(np.float32) for state in states])
    hull = np.where(votes.min(axis=0) > -0.5, 1.0, -1.0).astype(np.float32)
    for index, state in enumerate(states):
        covered = carving.full(index, carving.render(index, hull, -1.0), state.window) > 0.0
        share = float((covered & state.labels).sum() / state.labels.sum())
        if share < AGREEMENT:
            raise ReconstructionError(
                ErrorCode.SILHOUETTES_DISAGREE,
                f"only {share:.0%} of the silhouette in {view_label(views, index)} is explained by the other views: "
                "check that view's pose and time stamp, that the object stood still, or give a region of interest",
            )


def _refine(view: View, state: _State) -> Bool:
    """The labels at full resolution: a cut in the band around their border, with the colours of its two sides."""
    window = state.window
    x0, y0, x1, y1 = window.rect
    scale = min(1.0, FINE_SIDE / max(x1 - x0, y1 - y0))
    size = max(2, round((x1 - x0) * scale)), max(2, round((y1 - y0) * scale))
    full = np.zeros(view.image.shape[:2], bool)
    shrunk = size[0] / window.shape[1]
    labels = _without_specks(state)
    if shrunk > 1.05:
        fine = make_fine(view, window, size)
        soft = cv2.resize(cv2.GaussianBlur(labels.astype(np.float32), (0, 0), 0.8), size)
        band = 1.5 * shrunk
        surely_on = cv2.distanceTransform((soft > 0.5).astype(np.uint8), cv2.DIST_L2, 3) > band
        surely_off = cv2.distanceTransform((soft <= 0.5).astype(np.uint8), cv2.DIST_L2, 3) > band
        near = ~surely_off & ~surely_on
        kernel = np.ones((9, 9), np.uint8)
        around = cv2.dilate(near.astype(np.uint8), kernel, iterations=2) > 0
        flat = cells(fine)
        on = histogram(flat, (surely_on & around).astype(np.float32))
        off = histogram(flat, (surely_off & around).astype(np.float32))
        color = np.log((on[flat] + FLOOR) / (off[flat] + FLOOR))
        odds = cv2.resize(state.odds, size) * 0.3 + np.clip(color, -3, 3) * 0.6 + (soft - 0.5) * 4.0
        labels = best_labels(odds.astype(np.float32), _edges(fine), ~surely_off, surely_on, SMOOTHNESS)
    soft = cv2.resize(labels.astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    full[y0:y1, x0:x1] = soft > 0.5
    return full


def make_fine(view: View, window: Window, size: tuple[int, int]) -> F32:
    rgb = resample(view.image, view.camera, crop(view.camera, *window.rect, *size))
    return cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)  # type: ignore[return-value]


def _without_specks(state: _State) -> Bool:
    """The labels without islands that are small beside the largest, and without holes that little speaks for."""
    labels = state.labels.copy()
    count, blobs, stats, _ = cv2.connectedComponentsWithStats(labels.astype(np.uint8), connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    for blob in range(1, count):
        if area[blob] < 0.03 * area[1:].max() and not state.window.on[blobs == blob].any():
            labels[blobs == blob] = False
    size = int(labels.sum())
    count, blobs, stats, _ = cv2.connectedComponentsWithStats((~labels).astype(np.uint8), connectivity=4)
    for blob in range(1, count):
        inside = blobs == blob
        x, y, w, h, pixels = stats[blob]
        enclosed = x > 0 and y > 0 and x + w < labels.shape[1] and y + h < labels.shape[0]
        if (
            enclosed
            and (pixels < 0.004 * size or state.odds[inside].mean() > -1.5)
            and not state.window.off[inside].any()
        ):
            labels[inside] = True
    return labels
