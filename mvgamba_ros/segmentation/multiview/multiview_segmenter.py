"""The learned segmenter: one network sees all views of a region, and labels the wanted object and other things.

With a region of interest the windows that show it are labelled together (`region_labels`) and their borders refined at
full resolution. Without one, things are searched for in the middle of all views, in a region that narrows down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.boxes import axis_parallel_box, box_corners, in_box
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.geometry.view_spread import spread_views
from mvgamba_ros.options import Options
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.classical.border import refine_border
from mvgamba_ros.segmentation.classical.components import fill_small_holes, without_islands
from mvgamba_ros.segmentation.multiview import instance_network
from mvgamba_ros.segmentation.multiview.region_labels import RegionLabels, Thing, label_region
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import UNSEEN, OccupancyGrid, check_silhouettes
from mvgamba_ros.segmentation.support_plane import refine_support_height, support_height
from mvgamba_ros.segmentation.windows import clear_of_cameras, common_region
from mvgamba_ros.types import F64, Bool, Box, Cancelled, Progress, Prompts, View


class MultiviewSegmenter:
    """Segments undistorted, posed views by the instance network, whose weights come with the package (BAD_CHECKPOINT
    where they cannot be read). Without a region of interest the object is expected in the middle of all views."""

    name = "multiview"

    def __init__(
        self, config: SegmentationConfig = SegmentationConfig(), weights: Path = instance_network.SHIPPED
    ) -> None:
        self.config = config
        self.network = instance_network.load(weights)

    @classmethod
    def from_options(cls, options: Options) -> MultiviewSegmenter:
        """The factory that is registered."""
        return cls(options.config.segmentation)

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        def report(fraction: float) -> None:
            stop_if(cancelled)
            if progress is not None:
                progress("segment", fraction)

        check_prompts(views, prompts)
        report(0.0)
        if prompts.roi is not None:
            found = label_region(self.network, views, prompts.roi, prompts, False, self.config)
        else:
            found = self._settled(self._search(views, prompts, cancelled), views, prompts, cancelled)
        region = found.region
        report(0.5)
        labels = [(odds > 0.0) & w.allowed for odds, w in zip(found.wanted, found.windows, strict=True)]
        grid = OccupancyGrid(found.windows, region, None, self.config.agreement)
        check_silhouettes(views, labels, grid)
        report(0.8)

        def border(index: int) -> Bool:
            stop_if(cancelled)
            window, odds = found.windows[index], found.wanted[index]
            kept = without_islands(labels[index], window, self.config.components)
            kept = fill_small_holes(kept, window.off, self.config.components)
            return refine_border(views[index], window, kept, odds, self.config)

        masks = each(border, range(len(views)))
        if progress is not None:
            progress("segment", 1.0)
        height = self._height(views, found, grid, labels, prompts)
        hidden = [
            _at_full_size(odds > 0.0, window.rect, mask.shape) & ~mask
            for odds, window, mask in zip(found.other, found.windows, masks, strict=True)
        ]
        return Silhouettes(masks, height, region, hidden if any(other.any() for other in hidden) else None)

    def find_objects(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None = None) -> list[Box]:
        """As `mvgamba_ros.segmentation.segmenter.ObjectFinder`: looked at once more each by itself, where small."""
        check_prompts(views, prompts)
        config, region = self.config, prompts.roi
        if region is None:
            region = clear_of_cameras(common_region(views, prompts, config.windows), views, config.windows)
        views, prompts = _few(views, prompts, region.T_world_box[:3, 3], config.search.views)
        found = label_region(self.network, views, region, prompts, True, config)
        aim = region.T_world_box[:3, 3]
        things = sorted(found.things, key=lambda t: float(np.linalg.norm(t.box.T_world_box[:3, 3] - aim)))
        boxes: list[Box] = []
        for thing in things:
            closer = self._closer(thing, region, views, prompts)
            box = self._settled(self._around(closer), views, prompts, cancelled).region
            if all(_shared(box, other) < config.instances.same for other in boxes):
                boxes.append(box)
        return boxes

    def _closer(self, thing: Thing, region: Box, views: Sequence[View], prompts: Prompts) -> Thing:
        """A thing that is small in its region, looked at again in one whose cells are finer."""
        if (thing.box.size > self.config.instances.max_share * region.size).any():
            return thing
        closer = clear_of_cameras(Box(thing.box.T_world_box, np.full(3, 2.0 * thing.box.size.max())), views)
        again = label_region(self.network, views, closer, prompts, True, self.config)
        if not again.things:
            return thing
        return meant(again, views, Prompts(), thing.box.T_world_box[:3, 3])

    def _around(self, thing: Thing) -> Box:
        return Box(thing.box.T_world_box, thing.box.size * (1.0 + 2.0 * self.config.instances.growth))

    def _settled(
        self, region: Box, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None
    ) -> RegionLabels:
        """The labels in a region that was guessed, once it fits what is wanted in it: moved, grown and shrunk to what
        all views agree on."""
        config = self.config
        chosen, own = _few(views, prompts, region.T_world_box[:3, 3], config.search.views)
        for _ in range(config.instances.max_moves if len(views) > 1 else 0):
            stop_if(cancelled)
            found = label_region(self.network, chosen, region, own, False, config)
            labels = [(odds > 0.0) & w.allowed for odds, w in zip(found.wanted, found.windows, strict=True)]
            fitting = self._fitting(found, labels)
            if fitting is None or _shared(fitting, region) > config.instances.settled:
                break
            region = clear_of_cameras(fitting, views, config.windows)
        else:
            return label_region(self.network, views, region, prompts, False, config)
        if len(chosen) == len(views):
            return found
        return label_region(self.network, views, region, prompts, False, config)

    def _fitting(self, found: RegionLabels, labels: list[Bool]) -> Box | None:
        """A box around what ``labels`` agree on, larger by the usual share, and by a further one where that ends on the
        region's sides; None where they agree on nothing."""
        grid = OccupancyGrid(found.windows, found.region, None, self.config.agreement)
        votes = grid.votes(labels)
        agreed = (votes.min(axis=0) > self.config.search.min_vote) & ((votes != UNSEEN).sum(axis=0) >= 2)
        if not agreed.any():
            return None
        points = transform(np.linalg.inv(found.region.T_world_box), grid.points[agreed])
        low, high = points.min(axis=0) - grid.cell / 2, points.max(axis=0) + grid.cell / 2
        half = found.region.size / 2.0
        grown = self.config.instances.growth * (high - low)
        low = low - grown * np.where(low < grid.cell - half, 2.0, 1.0)
        high = high + grown * np.where(high > half - grid.cell, 2.0, 1.0)
        middle = transform(found.region.T_world_box, ((low + high) / 2.0)[None])[0]
        return Box(rigid(found.region.T_world_box[:3, :3], middle), high - low)

    def _search(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None) -> Box:
        """A region around the thing that is meant."""
        config = self.config
        region = clear_of_cameras(common_region(views, prompts, config.windows), views, config.windows)
        views, prompts = _few(views, prompts, region.T_world_box[:3, 3], config.search.views)
        aim = region.T_world_box[:3, 3].copy()
        for _ in range(config.instances.max_searches):
            stop_if(cancelled)
            found = label_region(self.network, views, region, prompts, True, config)
            thing = meant(found, views, prompts, aim, config.instances.rival)
            aim = thing.box.T_world_box[:3, 3]
            if (thing.box.size > config.instances.max_share * region.size).any() or len(views) == 1:
                break
            region = clear_of_cameras(Box(thing.box.T_world_box, np.full(3, 2.0 * thing.box.size.max())), views)
        return self._around(thing)

    def _height(
        self, views: Sequence[View], found: RegionLabels, grid: OccupancyGrid, labels: list[Bool], prompts: Prompts
    ) -> float | None:
        """The support plane's height as the views show it, refined around what was found."""
        height = found.height
        if prompts.support_height is not None:
            height, _ = support_height(found.windows, found.region, False, self.config)
        votes = grid.votes(labels)
        points = grid.points[(votes.min(axis=0) > self.config.search.min_vote) & ((votes != UNSEEN).sum(axis=0) >= 2)]
        if height is None or len(points) == 0:
            return height
        half = grid.cell / 2
        around = axis_parallel_box(points.min(axis=0) - half, points.max(axis=0) + half)
        return refine_support_height(views, around, height, self.config)


def _at_full_size(labels: Bool, rect: tuple[int, int, int, int], size: tuple[int, ...]) -> Bool:
    """A window's ``labels`` (h, w) in its whole picture (H, W), False outside the window."""
    x0, y0, x1, y1 = rect
    full = np.zeros(size, bool)
    full[y0:y1, x0:x1] = cv2.resize(labels.astype(np.float32), (x1 - x0, y1 - y0)) > 0.5
    return full


def meant(found: RegionLabels, views: Sequence[View], prompts: Prompts, aim: F64, rival: float | None = None) -> Thing:
    """The thing that the prompts name, or the one nearest to ``aim`` (3,), where the views look.

    Raises EMPTY_SILHOUETTE where nothing stands in the region, and AMBIGUOUS where no prompt names the thing and
    another one is at least ``rival`` times as likely to be meant.
    """
    if not found.things:
        raise ReconstructionError(
            ErrorCode.EMPTY_SILHOUETTE,
            "nothing that stands out from its background was found in the middle of the views: give a region of "
            "interest, a pixel box or a point on the object, or change light or background",
        )
    likely = [thing.score * _closeness(thing, views, prompts, aim) for thing in found.things]
    best = int(np.argmax(likely))
    chosen = found.things[best]
    if rival is None or prompts.pixel_boxes or any(np.asarray(rows)[:, 2].any() for rows in prompts.points.values()):
        return chosen
    others = [k for k, thing in enumerate(found.things) if likely[k] >= rival * likely[best] and _apart(thing, chosen)]
    if others:
        second = max(others, key=likely.__getitem__)
        boxes = [chosen.box, found.things[second].box]
        first, other = map(_described, boxes)
        raise ReconstructionError(
            ErrorCode.AMBIGUOUS,
            f"two things could be meant: {first} and {other}. Give a region of interest around one, or a pixel box or "
            "a point on it; or have all of them: `mvgamba reconstruct --all`, ~/reconstruct_scene",
            boxes,
        )
    return chosen


def _apart(one: Thing, other: Thing) -> bool:
    """Whether neither's middle lies in the other's box: two peaks of one thing are no rivals."""
    middles = one.box.T_world_box[:3, 3], other.box.T_world_box[:3, 3]
    return not in_box(one.box, middles[1]) and not in_box(other.box, middles[0])


def _described(box: Box) -> str:
    size = " x ".join(f"{side:.3f}" for side in box.size)
    return f"one of {size} m at ({', '.join(f'{x:.3f}' for x in box.T_world_box[:3, 3])}) m"


def _closeness(thing: Thing, views: Sequence[View], prompts: Prompts, aim: F64) -> float:
    """How likely a thing is meant by its place, (0, 1]: its middle's distance from ``aim`` in halves of its own size
    and a centimetre; next to 0 where its middle is off a prompted box, or a point on the object is off its own box."""
    middle = thing.box.T_world_box[:3, 3]
    for index, view in enumerate(views):
        if index in prompts.pixel_boxes:
            pixel = project(view.camera, view.T_world_camera, middle[None])[0][0]
            x0, y0, x1, y1 = prompts.pixel_boxes[index]
            if not (x0 <= pixel[0] <= x1 and y0 <= pixel[1] <= y1):
                return 1e-6
        points = prompts.points.get(index, np.zeros((0, 3)))
        corners, depth = project(view.camera, view.T_world_camera, box_corners(thing.box))
        if (depth > 0.0).all():
            outline = cv2.convexHull(corners.astype(np.float32))
            if any(cv2.pointPolygonTest(outline, (x, y), False) < 0.0 for x, y, on in points if on):
                return 1e-6
    away = transform(inverse(thing.box.T_world_box), aim[None])[0]
    reach = thing.box.size / 2.0 + 0.01
    return float(np.exp(-0.5 * np.square(away[:2] / reach[:2]).sum()))


def _shared(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, [0, 1], along the first one's axes."""
    corners = transform(inverse(one.T_world_box), box_corners(other))
    low, high = corners.min(axis=0), corners.max(axis=0)
    half = one.size / 2.0
    both = float(np.prod(np.maximum(np.minimum(high, half) - np.maximum(low, -half), 0.0)))
    return both / (float(np.prod(one.size)) + float(np.prod(high - low)) - both)


def _few(views: Sequence[View], prompts: Prompts, centre: F64, most: int) -> tuple[Sequence[View], Prompts]:
    """At most ``most`` views, those that lie furthest apart around ``centre`` (3,) and the prompted ones, and the
    prompts by their numbers among them."""
    if len(views) <= most:
        return views, prompts
    chosen = spread_views(np.stack([view.T_world_camera for view in views]), centre, most)
    chosen = sorted({*chosen, *prompts.pixel_boxes, *prompts.points})
    pixel_boxes = {k: prompts.pixel_boxes[i] for k, i in enumerate(chosen) if i in prompts.pixel_boxes}
    points = {k: prompts.points[i] for k, i in enumerate(chosen) if i in prompts.points}
    return [views[i] for i in chosen], replace(prompts, pixel_boxes=pixel_boxes, points=points)
