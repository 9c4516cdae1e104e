"""Regions around things, where none is given: searched for in the middle of all views, and fitted to what is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.boxes import box_overlap, in_box
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.segmentation.multiview.instance_network import InstanceNetwork
from mvgamba_ros.segmentation.multiview.meant_thing import meant
from mvgamba_ros.segmentation.multiview.region_labels import RegionLabels, Thing, label_region
from mvgamba_ros.segmentation.multiview.standing_things import standing_things
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid
from mvgamba_ros.segmentation.windows import clear_of_cameras, common_region, few_views
from mvgamba_ros.types import F64, Bool, Box, Cancelled, Prompts, View


@contextmanager
def suppress_out_of_sight() -> Iterator[None]:
    """Passes over a guessed region that cannot be looked at again: a view does not show it, or stands in it."""
    try:
        yield
    except ReconstructionError as error:
        if error.code not in (ErrorCode.ROI_NOT_VISIBLE, ErrorCode.BAD_ROI):
            raise


class RegionSearch:
    """Regions of things, by the instance network."""

    def __init__(self, network: InstanceNetwork, config: SegmentationConfig) -> None:
        self.network, self.config = network, config

    def one(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None) -> RegionLabels:
        """The labels around the thing that is meant.

        Raises EMPTY_SILHOUETTE, AMBIGUOUS, BAD_ROI, ROI_NOT_VISIBLE and CANCELLED.
        """
        thing, aim, height = self._narrowed(views, prompts, cancelled)
        prompts = replace(prompts, support_height=height)
        labels = self._settled(self._around(thing), views, prompts, cancelled)
        beside = self._beside(thing, labels.region)
        if beside:  # it was one of several that touch each other
            found = replace(thing, box=self._inner(labels.region))
            meant([found, *beside], views, prompts, aim, self.config.instances.rival)
        return labels

    def all(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None) -> list[Box]:
        """A region around each thing, nearest to where the views look first. One that a view does not show, or that is
        too near to a camera, stays as it was first seen."""
        config, region = self.config, prompts.roi
        if region is None:
            region = common_region(views, prompts, config.windows, config.instances.whole)
            region = clear_of_cameras(region, views, config.windows)
        views, prompts = few_views(views, prompts, region.T_world_box[:3, 3], config.search.views)
        aim = region.T_world_box[:3, 3]
        found = self._searched(views, region, prompts)
        prompts = replace(prompts, support_height=found.height)
        things: list[Thing] = []
        for thing in found.things:
            stop_if(cancelled)
            things += self._closer(thing, region, views, prompts)
        things.sort(key=lambda thing: float(np.linalg.norm(thing.box.T_world_box[:3, 3] - aim)))
        boxes: list[Box] = []
        while things:
            thing = things.pop(0)
            box = self._around(thing)
            with suppress_out_of_sight():
                box = self._settled(box, views, prompts, cancelled).region
            if not any(self._same(box, other) for other in boxes):
                boxes.append(box)
                things[:0] = self._beside(thing, box)
        return boxes

    def _beside(self, thing: Thing, region: Box) -> list[Thing]:
        """The parts of a thing that are none of what was found in ``region``, which was settled around it."""
        inner = self._inner(region)
        return [part for part in thing.parts if not in_box(inner, part.box.T_world_box[:3, 3])]

    def _searched(self, views: Sequence[View], region: Box, prompts: Prompts) -> RegionLabels:
        """The labels of a wide region, and what stands in it."""
        found = label_region(self.network, views, region, prompts, True, self.config)
        return replace(found, things=standing_things(found, self.config))

    def _closer(self, thing: Thing, region: Box, views: Sequence[View], prompts: Prompts) -> list[Thing]:
        """The things that one turns out to be, looked at again in a smaller region, whose cells are finer."""
        closer = Box(thing.box.T_world_box, np.full(3, self.config.instances.closer * thing.box.size.max()))
        closer = clear_of_cameras(closer, views, self.config.windows)
        if closer.size.max() > region.size.max():
            return [thing]
        with suppress_out_of_sight():
            again = self._searched(views, closer, prompts).things
            return [each for each in again if in_box(thing.box, each.box.T_world_box[:3, 3])] or [thing]
        return [thing]

    def _same(self, one: Box, other: Box) -> bool:
        """Whether two regions are about one thing."""
        inner = self._inner(one), self._inner(other)
        if box_overlap(*inner) >= self.config.instances.same:
            return True
        return in_box(inner[0], other.T_world_box[:3, 3]) and in_box(inner[1], one.T_world_box[:3, 3])

    def _inner(self, region: Box) -> Box:
        """The box of a thing that `_around` made this of."""
        return Box(region.T_world_box, region.size / (1.0 + 2.0 * self.config.instances.growth))

    def _around(self, thing: Thing) -> Box:
        return Box(thing.box.T_world_box, thing.box.size * (1.0 + 2.0 * self.config.instances.growth))

    def _settled(
        self, region: Box, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None
    ) -> RegionLabels:
        """The labels in a region that was guessed, once it fits what is wanted in it: moved, grown and shrunk to what
        all views agree on."""
        config = self.config
        chosen, own = few_views(views, prompts, region.T_world_box[:3, 3], config.search.views)
        for _ in range(config.instances.max_moves if len(views) > 1 else 0):
            stop_if(cancelled)
            found = label_region(self.network, chosen, region, own, False, config)
            labels = [(odds > 0.0) & w.allowed for odds, w in zip(found.wanted, found.windows, strict=True)]
            fitting = self._fitting(found, labels)
            if fitting is None or box_overlap(fitting, region) > config.instances.settled:
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
        grid = OccupancyGrid(found.windows, found.region, found.height, self.config.agreement)
        agreed = grid.agreed(labels, self.config.search.min_vote)
        if not len(agreed):
            return None
        points = transform(inverse(found.region.T_world_box), agreed)
        low, high = points.min(axis=0) - grid.cell / 2, points.max(axis=0) + grid.cell / 2
        half = found.region.size / 2.0
        grown = self.config.instances.growth * (high - low)
        low = low - grown * np.where(low < grid.cell - half, 2.0, 1.0)
        high = high + grown * np.where(high > half - grid.cell, 2.0, 1.0)
        middle = transform(found.region.T_world_box, ((low + high) / 2.0)[None])[0]
        return Box(rigid(found.region.T_world_box[:3, :3], middle), high - low)

    def _narrowed(
        self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None
    ) -> tuple[Thing, F64, float | None]:
        """The thing that is meant, where the views look (3,), and the support plane's height where it shows: around a
        thing that fills the pictures, or in its shadow, little shows it."""
        config = self.config
        region = clear_of_cameras(common_region(views, prompts, config.windows), views, config.windows)
        views, prompts = few_views(views, prompts, region.T_world_box[:3, 3], config.search.views)
        middle = aim = region.T_world_box[:3, 3].copy()
        for _ in range(config.instances.max_searches):
            stop_if(cancelled)
            found = self._searched(views, region, prompts)
            prompts = replace(prompts, support_height=found.height)
            thing = meant(found.things, views, prompts, aim, config.instances.rival)
            aim = thing.box.T_world_box[:3, 3]
            if (thing.box.size > config.instances.max_share * region.size).any() or len(views) == 1:
                break
            region = clear_of_cameras(Box(thing.box.T_world_box, np.full(3, 2.0 * thing.box.size.max())), views)
        return thing, middle, prompts.support_height
