"""What the check of the poses leaves for the shape: views, their silhouettes and their prompts belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rendered

from mvgamba_ros import observation
from mvgamba_ros.consensus import check_poses
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.observation import Observation, segment
from mvgamba_ros.options import Options
from mvgamba_ros.pose_refinement.refine_poses import RefinedPoses
from mvgamba_ros.reconstruction import PoseCorrection
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.types import Box, Prompts, View

VIEWS = [replace(view, name="") for view in rendered.views(4)]
TRUTH = {view.image.tobytes(): view.mask for view in VIEWS}
BOXES = {v: (10.0 * v, 0.0, 300.0, 200.0) for v in range(4)}
OPTIONS = Options(
    use_masks=True, prompts=Prompts(pixel_boxes=BOXES, support_height=0.0, roi=Box(np.eye(4), np.ones(3)))
)


def observe(views: Sequence[View], options: Options = OPTIONS) -> Observation:
    found = segment(views, options, lambda stage, fraction: None, lambda: False)
    return check_poses(found, options, lambda stage, fraction: None, lambda: False)


@pytest.fixture
def segmented(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[View], Options]]:
    """What the segmenter was given, call by call; the second of four views is found to be wrong."""
    calls: list[tuple[list[View], Options]] = []

    def run(options: Options, views: Sequence[View], progress: Any, cancelled: Any) -> Silhouettes:
        calls.append((list(views), options))
        return Silhouettes([TRUTH[view.image.tobytes()] for view in views])  # type: ignore[misc]

    def refine(views: Sequence[View], *args: Any) -> RefinedPoses:
        nothing = np.zeros(len(views))
        correction = PoseCorrection(np.eye(4), 0.0, 0.0, nothing, nothing, 0.0, 0.0, left_out=(1,))
        return RefinedPoses(np.stack([view.T_world_camera for view in views]), 0.0, correction, ["left out"], [])

    monkeypatch.setattr(observation, "run_segmenter", run)
    monkeypatch.setattr(observation, "refine_poses", refine)
    return calls


def test_without_a_view_the_others_keep_their_names_prompts_and_silhouettes(segmented: list[Any]) -> None:
    """Masks that were given stay as they are, and those that were found are found again."""
    given = [view if v == 2 else replace(view, mask=None) for v, view in enumerate(VIEWS)]
    observed = observe(given)
    assert observed.kept == [0, 2, 3] and [view.name for view in observed.views] == ["view 0", "view 2", "view 3"]
    again, options = segmented[1]
    assert [view.mask is not None for view in again] == [False, True, False]
    assert options.prompts.pixel_boxes == {0: BOXES[0], 1: BOXES[2], 2: BOXES[3]} == observed.prompts.pixel_boxes
    assert observed.masks_given == [False, False, True, False] and len(observed.masks) == 4
    for v, view in zip(observed.kept, observed.views, strict=True):
        np.testing.assert_array_equal(view.mask, VIEWS[v].mask)
        np.testing.assert_array_equal(view.mask, observed.masks[v])
    assert observed.notes == ["left out"]


def test_parallel_lines_of_sight_leave_the_failure_of_the_segmentation_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any) -> Silhouettes:
        raise ReconstructionError(ErrorCode.SILHOUETTES_DISAGREE, "the segmenter's own words")

    monkeypatch.setattr(observation, "run_segmenter", fail)
    T = VIEWS[0].T_world_camera
    views = []
    for shift in (0.0, 0.05):
        moved = T.copy()
        moved[0, 3] += shift
        views.append(replace(VIEWS[0], T_world_camera=moved))
    with pytest.raises(ReconstructionError, match="the segmenter's own words"):
        observe(views, Options())
