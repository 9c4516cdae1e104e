"""Without a region of interest: the search grows where outlines end on its edge, and blames no region of the user's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.object_search import find_region, grown_region
from mvgamba_ros.segmentation.classical.window_segmentation import segment_windows
from mvgamba_ros.segmentation.classical.window_state import SegmentedWindows
from mvgamba_ros.segmentation.windows import clear_of_cameras, make_windows
from mvgamba_ros.types import Box, Prompts

VIEWS = rendered.views(4)
LOW, HIGH = rendered.CENTER - rendered.SIZE / 2, rendered.CENTER + rendered.SIZE / 2
CONFIG = SegmentationConfig()
LEARNED = objectness.learned(objectness.load(), CONFIG.objectness)


def segmented(region: Box) -> SegmentedWindows:
    prompts = Prompts(support_height=0.0)
    windows = make_windows(VIEWS, region, prompts, 112, CONFIG.windows)
    return segment_windows(LEARNED, windows, region, prompts, False, None, CONFIG)


def test_a_guessed_region_that_cuts_the_object_grows_there_and_only_there() -> None:
    half = axis_parallel_box(LOW - 0.02, np.array([rendered.CENTER[0], *(HIGH[1:] + 0.02)]))
    larger = grown_region(segmented(half), half, VIEWS, CONFIG)
    assert larger is not None
    low, high = (larger.T_world_box[:3, 3] + sign * larger.size / 2 for sign in (-1, 1))
    assert high[0] > rendered.CENTER[0] + 0.01 and low[0] == pytest.approx(LOW[0] - 0.02)


def test_a_guessed_region_around_the_object_stays() -> None:
    around = axis_parallel_box(LOW - 0.03, HIGH + 0.03)
    assert grown_region(segmented(around), around, VIEWS, CONFIG) is None


def test_a_guessed_region_keeps_clear_of_the_cameras() -> None:
    wide = Box(rigid(np.eye(3), rendered.CENTER), np.full(3, 0.9))
    clear = clear_of_cameras(wide, VIEWS)
    inside = np.array([view.T_world_camera[:3, 3] - rendered.CENTER for view in VIEWS])
    assert (np.abs(inside).max(axis=1) > clear.size[0] / 2).all() and clear.size[0] > 0.4
    make_windows(VIEWS, clear, Prompts(), 64)


def test_an_error_of_a_guessed_region_does_not_blame_one_that_nobody_gave() -> None:
    wide = Box(rigid(np.eye(3), rendered.CENTER), np.full(3, 0.9))
    with pytest.raises(
        ReconstructionError, match=r"search region that was guessed.*give a region of interest"
    ) as caught:
        make_windows(VIEWS, wide, Prompts(), 64)
    assert caught.value.code is ErrorCode.BAD_ROI
    with pytest.raises(ReconstructionError, match=r"inside the region of interest.*make the region smaller"):
        make_windows(VIEWS, wide, Prompts(roi=wide), 64)


def test_of_many_views_the_search_takes_those_furthest_apart_and_keeps_their_prompts() -> None:
    crowded = [*VIEWS[:1] * 9, *VIEWS]
    few = replace(CONFIG, search=replace(CONFIG.search, views=4))
    x, y = rendered.CENTER[:2]
    point = {12: np.array([[160.0, 120.0, 1.0]])}
    region = find_region(
        LEARNED,
        crowded,
        Prompts(points=point, support_height=0.0),
        None,
        few,
    )
    assert np.abs(region.T_world_box[:2, 3] - [x, y]).max() < 0.02
    assert (region.size > rendered.SIZE).all()
