"""What the instance network learns from: regions of tabletop scenes as the segmenter sees them, and their truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.camera import resample
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.segmentation import plane_matching
from mvgamba_ros.segmentation.multiview.region_cells import CELLS
from mvgamba_ros.segmentation.multiview.window_layers import SIDE, fitted, fitted_camera, window_layers
from mvgamba_ros.segmentation.support_plane import support_height
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.synthesis.tabletop import TabletopScene
from mvgamba_ros.types import F32, F64, U8, Box, Camera, Prompts, View

Rng = np.random.Generator


@dataclass(frozen=True)
class ExampleRecipe:
    """Which regions of a scene are asked about. All set by hand."""

    per_scene: int = 4
    """Regions of each scene."""
    wide: float = 0.3
    """Share of regions in which things are searched: large, and around several."""
    empty: float = 0.03
    """Share of regions around nothing."""
    turned: float = 0.4
    """Share of regions that are turned about the vertical."""
    fewer_views: float = 0.4
    """Share of regions that are seen in one to three views, not in all."""
    with_depth: float = 0.25
    """Share of regions whose views have depth, with a sensor's noise and holes."""
    unknown_height: float = 0.15
    """Share of regions whose support plane is not known."""
    given_height: float = 0.25
    """Share of regions whose support plane is known exactly; at the others it is found, or not."""
    prompted: float = 0.1
    """Share of regions with a point on the object, or one off it, in some views."""
    min_pixels: int = 60
    """An object is asked about where two views, or the only one, show this many pixels of it."""


@dataclass(frozen=True)
class InstanceExample:
    """One region in V views.

    Args:
        layers: (V, len(LAYERS), SIDE, SIDE) uint8, of `window_layers`.
        truth: (V, 2, SIDE, SIDE) uint8: share of the wanted object, and of other things, in each pixel, [0, 255].
        cameras: (V, 5) float64: fx, fy, cx, cy of the network's input, and its width + 1000 * height.
        poses: (V, 4, 4) float64 T_world_camera.
        region: (5, 4) float64: T_world_box, and its sides.
        height: Of the support plane as the segmenter was given it, world z in metres; NaN where it is not known.
        middles: (MIDDLES, CELLS[1], CELLS[2]) float32 as the network's: the first is how near a middle is, [0, 1].
        wide: Whether the region is around several things, none of them wanted more than another.
    """

    layers: U8
    truth: U8
    cameras: F64
    poses: F64
    region: F64
    height: float
    middles: F32
    wide: bool


def examples(scene: TabletopScene, rng: Rng, recipe: ExampleRecipe = ExampleRecipe()) -> Iterator[InstanceExample]:
    """The regions of a scene that the recipe draws; fewer than it says where objects hide or regions fit no view."""
    for _ in range(recipe.per_scene):
        kind = rng.random()
        wanted = 0
        if kind < recipe.empty:
            region = _empty_region(scene, rng)
        elif kind < recipe.empty + recipe.wide:
            region = _wide_region(scene, rng)
        else:
            wanted = _wanted(scene, rng, recipe)
            if not wanted:
                continue
            region = _region_around(scene.bounds[wanted - 1], rng)
        if rng.random() < recipe.turned:
            region = _turned(region, rng)
        found = _example(scene, region, wanted, recipe.empty <= kind < recipe.empty + recipe.wide, rng, recipe)
        if found is not None:
            yield found


def _wanted(scene: TabletopScene, rng: Rng, recipe: ExampleRecipe) -> int:
    """Which object is asked about, counted from 1; 0 where none shows enough."""
    shown = np.array(
        [[np.count_nonzero(labels == k + 1) for labels in scene.instances] for k in range(len(scene.bounds))]
    )
    fit = np.flatnonzero((shown >= recipe.min_pixels).sum(axis=1) >= min(2, len(scene.views)))
    if len(fit) == 0:
        return 0
    weights = np.where(fit == 0, 3.0, 1.0)
    return int(rng.choice(fit, p=weights / weights.sum())) + 1


def _region_around(bounds: F64, rng: Rng) -> Box:
    """A region of interest as a person or a detector gives it."""
    sides, center = np.ptp(bounds, axis=0), bounds.mean(axis=0)
    size = np.maximum(sides * rng.uniform(1.02, 2.0 if rng.random() < 0.7 else 1.3), 0.02)
    size = size * rng.uniform(1.0, 1.2, 3)
    return Box(rigid(np.eye(3), center + rng.uniform(-0.4, 0.4, 3) * (size - sides)), size)


def _wide_region(scene: TabletopScene, rng: Rng) -> Box:
    """A cube around the middle of the scene, or a box around all of it."""
    low, high = scene.bounds[:, 0].min(axis=0), scene.bounds[:, 1].max(axis=0)
    if rng.random() < 0.5:
        size = (high - low) * rng.uniform(1.05, 1.6)
        center = (low + high) / 2 + rng.uniform(-0.1, 0.1, 3) * size
    else:
        first = scene.bounds[0]
        size = np.full(3, np.ptp(first, axis=0).max() * rng.uniform(1.5, 4.5))
        center = first.mean(axis=0) + rng.uniform(-0.15, 0.15, 3) * size
    return Box(rigid(np.eye(3), center), np.maximum(size, 0.03))


def _empty_region(scene: TabletopScene, rng: Rng) -> Box:
    """A box on the plane beside everything."""
    low, high = scene.bounds[:, 0].min(axis=0), scene.bounds[:, 1].max(axis=0)
    size = rng.uniform(0.04, 0.15, 3)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    reach = np.linalg.norm((high - low)[:2]) / 2 + np.linalg.norm(size[:2]) / 2
    middle = (low + high)[:2] / 2 + reach * np.array([np.cos(angle), np.sin(angle)])
    return Box(rigid(np.eye(3), np.array([*middle, scene.support_height + 0.45 * size[2]])), size)


def _turned(region: Box, rng: Rng) -> Box:
    angle = rng.uniform(-np.pi / 4, np.pi / 4)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Box(rigid(turn, region.T_world_box[:3, 3]), region.size)


def _example(
    scene: TabletopScene, region: Box, wanted: int, wide: bool, rng: Rng, recipe: ExampleRecipe
) -> InstanceExample | None:
    chosen = list(range(len(scene.views)))
    if rng.random() < recipe.fewer_views:
        count = int(rng.integers(1, len(chosen)))
        chosen = sorted(rng.choice(len(chosen), count, replace=False).tolist())
    deep = rng.random() < recipe.with_depth
    views = [replace(scene.views[v], depth=_measured(scene.views[v], rng) if deep else None) for v in chosen]
    labels = [scene.instances[v] for v in chosen]
    points = _points(labels, wanted, rng) if wanted and rng.random() < recipe.prompted else {}
    prompts = Prompts(roi=region, points=points)
    try:
        windows = make_windows(views, region, prompts, SIDE)
    except ReconstructionError:  # the region is behind a camera or beside a picture
        return None
    kind, height = rng.random(), None
    if kind < recipe.given_height:
        height = scene.support_height
    elif kind < 1.0 - recipe.unknown_height:
        height = support_height(windows, region, anywhere=wide)[0]
    pairs = [[] for _ in views] if height is None or len(views) < 2 else plane_matching.compare(windows, height, wide)
    truth = np.zeros((len(views), 2, SIDE, SIDE), np.uint8)
    for out, view, window, of in zip(truth, views, windows, labels, strict=True):
        h, w = fitted(window)
        own = of == wanted if wanted else np.zeros_like(of, bool)
        for layer, mask in zip(out, (own, (of > 0) & ~own), strict=True):
            small = resample(mask.astype(np.float32), view.camera, window.camera)
            layer[:h, :w] = np.rint(255 * np.clip(cv2.resize(small, (w, h), interpolation=cv2.INTER_AREA), 0, 1))
    cameras = [fitted_camera(window) for window in windows]
    return InstanceExample(
        layers=window_layers(windows, pairs, region, height),
        truth=truth,
        cameras=np.array([[*c.K[[0, 1, 0, 1], [0, 1, 2, 2]], c.width + 1000 * c.height] for c in cameras]),
        poses=np.array([window.T_world_camera for window in windows]),
        region=np.vstack([region.T_world_box, [*region.size, 0.0]]),
        height=np.nan if height is None else float(height),
        middles=_middles(scene.bounds, region),
        wide=wide,
    )


def camera_of(row: F64) -> Camera:
    """The camera of a row of `InstanceExample.cameras`."""
    fx, fy, cx, cy, size = row
    height, width = divmod(int(size), 1000)
    return Camera(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), width, height)


def _measured(view: View, rng: Rng) -> F32:
    """Depth as a sensor gives it: noise that grows with the square of the distance, steps at edges moved, holes."""
    assert view.depth is not None
    depth = view.depth
    noise = rng.uniform(0.0, 4e-3) * rng.standard_normal(depth.shape) * depth**2
    blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 1.0) * 2.0
    shift = cv2.GaussianBlur(rng.standard_normal((*depth.shape, 2)).astype(np.float32), (0, 0), 2.0) * 4.0
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32)
    moved = cv2.remap(depth + blurred, x + shift[..., 0], y + shift[..., 1], cv2.INTER_NEAREST)
    holes = cv2.GaussianBlur(rng.standard_normal(depth.shape).astype(np.float32), (0, 0), 3.0) * 8.0
    edges = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0.01
    lost = (holes > rng.uniform(1.2, 3.0)) | (edges & (rng.random(depth.shape) < 0.5)) | (depth <= 0)
    return np.where(lost, 0.0, moved).astype(np.float32)


def _points(labels: list[U8], wanted: int, rng: Rng) -> dict[int, F64]:
    """A point on the object in some views, and sometimes one off it."""
    points: dict[int, list[list[float]]] = {}
    for view, of in enumerate(labels):
        for label, mask in ((1, of == wanted), (0, of != wanted)):
            where = np.flatnonzero(mask)
            if len(where) and rng.random() < (0.6 if label else 0.2):
                row, column = divmod(int(rng.choice(where)), of.shape[1])
                points.setdefault(view, []).append([column + 0.5, row + 0.5, label])
    return {view: np.array(rows) for view, rows in points.items()}


def _middles(bounds: F64, region: Box) -> F32:
    """`InstanceExample.middles` of objects with ``bounds`` (N, 2, 3), world."""
    _, rows, columns = CELLS
    out = np.zeros((7, rows, columns), np.float32)
    y, x = np.meshgrid(*[2.0 * (np.arange(n) + 0.5) / n - 1.0 for n in (rows, columns)], indexing="ij")
    to_box, half = inverse(region.T_world_box), region.size / 2.0
    for low, high in bounds:
        box = Box(rigid(np.eye(3), (low + high) / 2.0), high - low)
        corners = transform(to_box, box_corners(box)) / half
        middle, sides = (corners.min(axis=0) + corners.max(axis=0)) / 2.0, np.ptp(corners, axis=0)
        if (np.abs(middle[:2]) > 1.0).any():
            continue
        spread = np.maximum(0.15 * sides[:2], [1.5 / columns, 1.5 / rows])
        near = np.exp(-0.5 * (((x - middle[0]) / spread[0]) ** 2 + ((y - middle[1]) / spread[1]) ** 2))
        near[np.unravel_index(int(near.argmax()), near.shape)] = 1.0
        closer = near > out[0]
        values = [near, middle[0] - x, middle[1] - y, np.full_like(x, middle[2]), *(np.full_like(x, s) for s in sides)]
        for channel, value in zip(out, values, strict=True):
            channel[closer] = value[closer]
    return out
