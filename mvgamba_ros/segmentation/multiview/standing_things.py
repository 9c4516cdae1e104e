"""Things in a wide region: pieces of what the views agree on, divided where the network sees several middles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.segmentation.multiview.region_labels import RegionLabels, Thing, apart
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid
from mvgamba_ros.types import F32, F64, Bool, Box


def standing_things(found: RegionLabels, config: SegmentationConfig) -> list[Thing]:
    """What stands in the region of ``found``, most certain first.

    Cells on which the views agree (`OccupancyGrid.agreed_cells`) fall into connected pieces. Each is a thing; its parts
    are the middles of `RegionLabels.things` in it, where there are several. A piece that shows nothing in most views
    which larger ones do not show is where silhouettes of others cross, and no thing. Middles beside all pieces are
    things by themselves.
    """
    grid = OccupancyGrid(found.windows, found.region, None, config.agreement)
    labels = [(odds > 0.0) & w.allowed for odds, w in zip(found.thing, found.windows, strict=True)]
    on = grid.agreed_cells(labels, config.search.min_vote)
    if found.height is not None:  # silhouettes of flat things meet below the plane, too
        on &= grid.points[:, 2] > found.height
    numbers, count = ndimage.label(on.reshape(grid.counts), np.ones((3, 3, 3)))
    numbers = numbers.ravel()
    sizes = np.bincount(numbers, minlength=count + 1)
    covered = [np.zeros(w.shape, bool) for w in found.windows]
    loose, things = _without_doubles(found.things), []
    for number in np.argsort(-sizes[1:], kind="stable") + 1:
        cells = numbers == number
        own = [middle for middle in loose if _near(grid.points[cells], grid.cell, middle)]
        shown = [grid.max_along_rays(i, cells.astype(np.float32), 0.0) > 0.5 for i in range(len(found.windows))]
        on_it = [s & label for s, label in zip(shown, labels, strict=True)]
        new = [(s & ~c).sum() / max(s.sum(), 1) for s, c in zip(on_it, covered, strict=True)]
        small = sizes[number] < config.instances.min_cells or np.median(new) < config.instances.min_new
        if (small and not own) or not any(s.any() for s in on_it):
            continue
        covered = [c | s for c, s in zip(covered, shown, strict=True)]
        loose = [middle for middle in loose if all(middle is not each for each in own)]
        score = max([middle.score for middle in own], default=0.0) or _certainty(found.thing, on_it)
        box = _box_of(grid.points[cells], grid.cell, found.region)
        things.append(Thing(box, score, tuple(own) if len(own) > 1 else ()))
    return sorted(things + loose, key=lambda thing: -thing.score)


def _without_doubles(things: Sequence[Thing]) -> list[Thing]:
    """Things without those that are not `apart` from a surer one."""
    kept: list[Thing] = []
    for thing in things:
        if all(apart(thing, surer) for surer in kept):
            kept.append(thing)
    return kept


def _near(cells: F64, cell: float, thing: Thing) -> bool:
    """Whether the thing's middle lies on cells (N, 3) or a step beside them, seen from above."""
    away = np.abs(cells - thing.box.T_world_box[:3, 3])[:, :2].max(axis=1)
    return bool(away.min() <= 1.5 * cell)


def _certainty(odds: Sequence[F32], pixels: Sequence[Bool]) -> float:
    """The mean probability of log-odds (h, w) at the pixels, over the views that have any."""
    return float(
        np.mean([(1.0 / (1.0 + np.exp(-o[at]))).mean() for o, at in zip(odds, pixels, strict=True) if at.any()])
    )


def _box_of(points: F64, cell: float, region: Box) -> Box:
    """The box about cells (N, 3) along the region's axes."""
    local = transform(inverse(region.T_world_box), points)
    low, high = local.min(axis=0) - cell / 2, local.max(axis=0) + cell / 2
    middle = transform(region.T_world_box, ((low + high) / 2)[None])[0]
    return Box(rigid(region.T_world_box[:3, :3], middle), high - low)
