"""Labels of windows: pixels on the object, from what the views show there and from each other.

Every pixel gets log-odds of being on the object from five witnesses: colour (histograms of object and surroundings,
learned over all views), the support plane's texture (`plane`), its looks (`objectness`), depth where there is any, and
the other views' silhouettes (`carving`). A minimum cut turns the sum into labels, the labels teach colours and
silhouettes, and so on until they settle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation import plane_matching as plane
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.components import one_object
from mvgamba_ros.segmentation.classical.graph_cut import best_labels, edges
from mvgamba_ros.segmentation.color_model import FLOOR, cells, histogram
from mvgamba_ros.segmentation.silhouette_agreement import CELLS, SMALLEST, UNSEEN, Carving
from mvgamba_ros.segmentation.support_plane import depth_points, support_height
from mvgamba_ros.segmentation.windows import Window, distance_from_middle
from mvgamba_ros.types import F32, Bool, Box, Cancelled, Prompts

ROUNDS, SETTLED = 4, 0.99
"""So many cuts of every window at most, fewer where one leaves this share of the labels as they were: an object with
fine tips comes to rest late, most do after three."""
SMOOTHNESS = 1.6
"""Cost of a border through flat colour, log-odds per pixel."""
FEW_SURROUNDINGS = 0.15
"""A region that leaves a smaller share of the windows outside tells too little of the surroundings."""
NOVEL = 1e-4
"""Density that the object gives to colours never seen: what the surroundings do not have is likely the object."""
SHADY = 0.06
"""A colour may be a shadow where the density of shadow colours is above this share of its peak."""
SHADOW_TRUST = 0.02
"""What a pixel that may be shadow counts when the object's colours are learned."""
SHADOW = 0.3
"""How common darker versions of the surroundings' colours are taken to be: the object's shadow, seen or not."""
DARKEST_SHADOW, DARKEST_SIDE = 0.25, 0.45
"""Lightness in shadow, and of sides away from the light, beside what is lit."""
SHADE = 0.6
"""How common darker versions of the object's own colours are taken to be: its sides away from the light."""
SHADE_OVER_SHADOW = 4.0
"""How far they may outdo the surroundings' shadow. They answer that explanation of a dark colour and no other: where
the surroundings themselves show the colour, a brown cloth behind a yellow stone, it stays theirs."""
OUT_OF_SIGHT = -1.0
"""Log-odds, while labels are sought, of a cell that a view does not show: mostly all views show the object whole."""
SURELY_PLANE = -1.0
"""A pixel of which the plane says less, log-odds, shows what the surroundings look like: a mat under the object too."""
LOOKS, MOST_LOOKS = 0.35, 4.0
"""What the network's log-odds count, and where they are cut off before: it sees coarsely, and has not seen all."""
DEPTH_ODDS = 2.5
"""Log-odds that a depth reading gives."""
DEPTH_NOISE = 0.004
"""A depth reading this near to the plane may lie on it, metres."""


@dataclass
class State:
    """What is known of one window while it is being labelled."""

    window: Window
    part: plane.Part  # rows and columns around where the object may be
    cells: np.ndarray
    borders: np.ndarray
    fixed: F32  # log-odds that do not change: depth and looks
    most_of_plane: float  # how sure the plane's evidence can be
    labels: Bool
    trust: F32  # how much a labelled pixel teaches the object's colours
    odds: F32  # own log-odds, without the other views' silhouettes
    reach: F32  # log-odds that the other views allow the object on the pixel's ray


@dataclass(frozen=True)
class Labelled:
    """The windows as they are labelled; the grid in which they agree; how each compares with others through the support
    plane, nothing where there is none; and that plane's ``height``, world z in metres."""

    states: list[State]
    carving: Carving
    pairs: list[list[plane.PlanePair]]
    height: float | None


def label(
    network: objectness.Objectness,
    windows: Sequence[Window],
    region: Box,
    prompts: Prompts,
    searching: bool,
    cancelled: Cancelled | None,
) -> Labelled:
    """Labels ``windows`` of ``region``. ``searching``: the region is far larger than the object, which stands
    somewhere near its middle. So it is taken to stand, too, where the region fills the images."""
    searching = searching or float(np.mean([1.0 - window.allowed.mean() for window in windows])) < FEW_SURROUNDINGS
    height = prompts.support_height
    if height is None:
        height, _ = support_height(windows, region, anywhere=searching)
    states = each(lambda window: begin(window, region, height), windows)
    carving = Carving(windows, region, _floor(region, height, searching))
    pairs: list[list[plane.PlanePair]] = [[] for _ in windows]
    if height is not None and len(windows) > 1:
        pairs = plane.compare(windows, height, searching)
        for state, of in zip(states, pairs, strict=True):
            state.most_of_plane = plane.most_evidence(of)
    for state, odds in zip(states, objectness.log_odds(network, windows, pairs), strict=True):
        state.fixed = state.fixed + LOOKS * np.clip(odds, -MOST_LOOKS, MOST_LOOKS)
    _first_guess(states, pairs, searching)
    for turn in range(ROUNDS):
        stop_if(cancelled)
        before = [state.labels for state in states]
        if turn:
            _learn(states, pairs)
        agree(states, carving, certain=turn / (ROUNDS - 1))
        if searching:
            for state in states:
                state.labels = one_object(state.labels, state.window)
        if turn and _settled(before, [state.labels for state in states]):
            break
    return Labelled(states, carving, pairs, height)


def _floor(region: Box, height: float | None, searching: bool) -> float | None:
    """Below it there is no object, world z; a cell's half lower where the cells may be higher than the object."""
    if height is None:
        return None
    return height - 0.5 * region.size.max() / CELLS if searching else height + 0.01 * float(region.size.min())


def begin(window: Window, region: Box, height: float | None) -> State:
    """What is known of ``window`` before anything was compared or learned: its depth, where it has any."""
    fixed = _depth_odds(window, region, height)
    return State(
        window=window,
        part=part_around(window.allowed, 0),
        cells=cells(window.lab),
        borders=edges(window.lab),
        fixed=fixed,
        most_of_plane=0.0,
        labels=window.allowed.copy(),
        trust=np.ones(window.shape, np.float32),
        odds=fixed,
        reach=np.full(window.shape, -4.0, np.float32),
    )


def _depth_odds(window: Window, region: Box, height: float | None) -> F32:
    """(h, w) log-odds from measured depth: in the region and above the plane, or not; 0 where nothing is measured."""
    odds = np.zeros(window.shape, np.float32)
    if window.depth is None:
        return odds
    points, known = depth_points(window)
    in_box = transform(inverse(region.T_world_box), points.reshape(-1, 3)).reshape(points.shape)
    inside = (np.abs(in_box) <= 0.5 * region.size).all(axis=-1)
    if height is None:
        odds[known & ~inside] = -DEPTH_ODDS
    else:
        above = inside & (points[..., 2] > height + DEPTH_NOISE)
        odds[known] = np.where(above, DEPTH_ODDS, -DEPTH_ODDS)[known]
    return odds


def densities(states: Sequence[State], masks: Sequence[Bool]) -> list[F32]:
    """Of the colours that each window has where its mask (h, w) is set."""
    return [histogram(state.cells, mask.astype(np.float32)) for state, mask in zip(states, masks, strict=True)]


def _background(states: Sequence[State], outside: Sequence[Bool], shadow: F32) -> list[F32]:
    """Density of the surroundings' colours for each window: half its own, half everyone's, and their ``shadow``."""
    counts = densities(states, outside)
    shared = np.mean(counts, axis=0)
    return [0.5 * own + 0.5 * shared + shadow for own in counts]


def _darker(states: Sequence[State], where: Sequence[Bool], least: float) -> F32:
    """Density of the colours that what is seen there has in less light, down to a share of ``least``: hue kept,
    lightness and chroma scaled down."""
    lit = np.concatenate(
        [s.window.lab.reshape(-1, 3).take(np.flatnonzero(mask)[::7], 0) for s, mask in zip(states, where, strict=True)]
    )
    shares = np.arange(least, 0.96, 0.1, dtype=np.float32)
    darker = lit.T[:, None] * shares[:, None]  # (3, shares, N): channel by channel, as `cells` takes them
    return histogram(cells(np.moveaxis(darker, 0, -1)))


def _first_guess(states: Sequence[State], pairs: Sequence[Sequence[plane.PlanePair]], searching: bool) -> None:
    """Log-odds before anything is known of the object: what the surroundings and the plane do not explain."""
    away = [_rim(state) if searching else ~state.window.allowed for state in states]
    outside = [mask | (odds < SURELY_PLANE) for mask, odds in zip(away, _of_plane(states, pairs, None), strict=True)]
    shady = _darker(states, outside, DARKEST_SHADOW)
    background = _background(states, outside, SHADOW * shady)
    inside = [state.window.allowed & ~mask for state, mask in zip(states, outside, strict=True)]
    within = np.mean(densities(states, inside), axis=0)
    first = []
    for state, density in zip(states, background, strict=True):
        # colours that the middle has more of than the rim
        odds = 2.0 * np.log((within[state.cells] + FLOOR) / (density[state.cells] + FLOOR)) - 1.0
        first.append(np.where(state.window.allowed, np.clip(odds, -2.0, 2.0), -4.0).astype(np.float32))
    shadows = [shady[state.cells] > SHADY * shady.max() for state in states]
    lit = sum(float(((odds > 0) & ~shadow).sum()) for odds, shadow in zip(first, shadows, strict=True))
    if lit > 0.5 * sum(float((odds > 0).sum()) for odds in first):
        # the object has colours of its own, so what looks like a shadow is taken for one until learned otherwise
        first = [np.where(shadow, np.minimum(o, -2.0), o) for o, shadow in zip(first, shadows, strict=True)]
        for state, shadow in zip(states, shadows, strict=True):
            state.trust = np.where(shadow, SHADOW_TRUST, 1.0).astype(np.float32)
    for _ in range(2):
        told = _of_plane(states, pairs, [_probability(odds) for odds in first])
        for state, odds, of_plane in zip(states, first, told, strict=True):
            total = np.clip(odds, -2, 2) + state.fixed + of_plane
            state.odds = np.where(state.window.allowed, total, -4.0).astype(np.float32)
        first = [0.5 * old + 0.5 * state.odds for old, state in zip(first, states, strict=True)]
    if searching:
        for state in states:
            state.odds -= 1.5 * distance_from_middle(state.window) ** 2
    for state in states:
        state.labels = (state.odds > 0.0) & state.window.allowed


def _of_plane(
    states: Sequence[State], pairs: Sequence[Sequence[plane.PlanePair]], object_odds: Sequence[F32] | None
) -> list[F32]:
    """`plane.evidence`, (h, w) of each window: all over where nothing is known of the object, else where it may be."""
    parts = [plane.ALL if object_odds is None else state.part for state in states]
    return [
        plane.evidence(of, state.window.shape, object_odds, state.most_of_plane, part)
        for state, of, part in zip(states, pairs, parts, strict=True)
    ]


def _rim(state: State) -> Bool:
    height, width = state.window.shape
    rim = np.ones((height, width), bool)
    by, bx = max(2, height // 8), max(2, width // 8)
    rim[by:-by, bx:-bx] = False
    return rim | ~state.window.allowed


def _probability(odds: F32) -> F32:
    return (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)


def _learn(states: Sequence[State], pairs: Sequence[Sequence[plane.PlanePair]]) -> None:
    """New log-odds from the labels: colours of object and surroundings, and the plane with known occlusions."""
    kernel = np.ones((5, 5), np.uint8)
    # what all other views take for the object teaches nothing of the surroundings: a dark side once taken for a shadow
    # would be one for good
    surely_off = [(cv2.dilate(state.labels.astype(np.uint8), kernel) == 0) & (state.reach < 0.0) for state in states]
    shadow = SHADOW * _darker(states, surely_off, DARKEST_SHADOW)
    background = _background(states, surely_off, shadow)
    inside = [histogram(state.cells, state.labels * state.trust) for state in states]
    weights = np.array([float(state.labels.sum()) + 1.0 for state in states])
    shared = np.average(inside, axis=0, weights=weights)
    hidden: list[F32] = [cv2.GaussianBlur(state.labels.astype(np.float32), (0, 0), 1.0) for state in states]  # type: ignore[misc]
    shaded = SHADE * _darker(states, [state.labels & (state.trust == 1.0) for state in states], DARKEST_SIDE)
    shaded = np.minimum(shaded, SHADE_OVER_SHADOW * shadow)
    told = _of_plane(states, pairs, hidden)
    for index, state in enumerate(states):
        on = 0.5 * inside[index] + 0.5 * shared + NOVEL + shaded
        part = state.part
        flat = state.cells[part]
        color = np.log((on[flat] + FLOOR) / (background[index][flat] + FLOOR))
        total = np.clip(color, -4.0, 4.0) + state.fixed[part] + told[index][part]
        state.odds = np.full(state.window.shape, -6.0, np.float32)
        np.copyto(state.odds[part], total, where=state.window.allowed[part], casting="same_kind")


def _settled(before: Sequence[Bool], after: Sequence[Bool]) -> bool:
    """Whether `SETTLED` of what is labelled, before or after, is so both times."""
    both = sum(int(np.count_nonzero(a & b)) for a, b in zip(before, after, strict=True))
    either = sum(int(np.count_nonzero(a | b)) for a, b in zip(before, after, strict=True))
    return both >= SETTLED * either


def agree(states: Sequence[State], carving: Carving, certain: float) -> None:
    """Cuts every window, with what the others show as a witness: their log-odds, and their labels the more the more
    ``certain``. One that has found nothing must not take from the others what they found: its labels do not count."""
    several = len(states) > 1
    beliefs = []
    for state in states:
        smooth = cv2.GaussianBlur(np.clip(state.odds, -4, 4), (0, 0), 1.5)
        labelled = np.where(state.labels, 3.0, -3.0).astype(np.float32)
        share = certain if np.count_nonzero(state.labels) >= SMALLEST else 0.0
        beliefs.append(((1 - share) * smooth + share * labelled).astype(np.float32))
    votes = carving.gather(beliefs) if several else None

    def cut(index: int, state: State) -> None:
        total = state.odds
        if votes is not None:
            others = np.delete(votes, index, axis=0)
            worst = np.where(others == UNSEEN, OUT_OF_SIGHT, others).min(axis=0).astype(np.float32)
            state.reach = carving.full(index, carving.render(index, worst, -4.0))
            total = total + np.clip(state.reach, -4.0, 1.0)
        state.labels = best_labels(total, state.borders, state.window.allowed, state.window.on, SMOOTHNESS)

    each(cut, range(len(states)), states)
