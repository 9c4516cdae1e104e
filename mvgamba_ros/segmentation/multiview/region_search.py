"""Regions around things, where none is given: searched for in the middle of all views, and fitted to what is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.boxes import box_overlap
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.segmentation.multiview.instance_network import InstanceNetwork
from mvgamba_ros.segmentation.multiview.meant_thing import meant
from mvgamba_ros.segmentation.multiview.region_labels import RegionLabels, Thing, label_region
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid
from mvgamba_ros.segmentation.windows import clear_of_cameras, common_region, few_views
from mvgamba_ros.types import Bool, Box, Cancelled, Prompts, View

OUT_OF_SIGHT = (ErrorCode.ROI_NOT_VISIBLE, ErrorCode.BAD_ROI)
"""Why a guessed region cannot be looked at again: a view does not show it, or stands in it."""


class RegionSearch:
    """Regions of things, by the instance network."""

    def __init__(self, network: InstanceNetwork, config: SegmentationConfig) -> None:
        self.network, self.config = network, config

    def one(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None) -> RegionLabels:
        """The labels around the thing that is meant.

        Raises EMPTY_SILHOUETTE, AMBIGUOUS, BAD_ROI, ROI_NOT_VISIBLE and CANCELLED.
        """
        return self._settled(self._narrowed(views, prompts, cancelled), views, prompts, cancelled)

    def all(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None) -> list[Box]:
        """A region around each thing, nearest to where the views look first. One that a view does not show, or that is
        too near to a camera, stays as it was first seen."""
        config, region = self.config, prompts.roi
        if region is None:
            region = clear_of_cameras(common_region(views, prompts, config.windows), views, config.windows)
        views, prompts = few_views(views, prompts, region.T_world_box[:3, 3], config.search.views)
        found = label_region(self.network, views, region, prompts, True, config)
        aim = region.T_world_box[:3, 3]
        things = sorted(found.things, key=lambda t: float(np.linalg.norm(t.box.T_world_box[:3, 3] - aim)))
        boxes: list[Box] = []
        for thing in things:
            box = self._around(thing)
            try:
                box = self._around(self._closer(thing, region, views, prompts))
                box = self._settled(box, views, prompts, cancelled).region
            except ReconstructionError as error:
                if error.code not in OUT_OF_SIGHT:
                    raise
            if all(box_overlap(box, other) < config.instances.same for other in boxes):
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
        grid = OccupancyGrid(found.windows, found.region, None, self.config.agreement)
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

    def _narrowed(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None) -> Box:
        """A region around the thing that is meant."""
        config = self.config
        region = clear_of_cameras(common_region(views, prompts, config.windows), views, config.windows)
        views, prompts = few_views(views, prompts, region.T_world_box[:3, 3], config.search.views)
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
