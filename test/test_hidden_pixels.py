"""Hidden pixels reach the views from segmenters, files and benchmarks, and are checked on the way."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import rendered
from covered import FROM_MASKS, GREEN, cover, covered_views, right_of_its_middle
from shapes import cuboid, see

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks.occlusion import covered_cases, hidden_share
from mvgamba_ros import factories, observation, reconstruct
from mvgamba_ros.checks import check_arrays, check_views
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import undistort
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.types import View


@pytest.fixture(scope="module")
def whole() -> list[View]:
    return rendered.views(6)


def test_hidden_pixels_move_with_the_picture_when_the_lens_is_straightened(whole: list[View]) -> None:
    covered = covered_views(whole, 0)[0]
    lens = replace(covered.camera, distortion_model="plumb_bob", distortion=(-0.2, 0.05, 0.0, 0.0, 0.0))
    straight = undistort(replace(covered, camera=lens))
    assert straight.hidden is not None and straight.hidden.dtype == np.bool_
    green = (straight.image == GREEN).all(axis=2)
    assert mask_iou(straight.hidden, green) > 0.95


@pytest.mark.parametrize("hidden", [np.zeros((3, 3), bool), np.zeros((240, 320), np.uint8), "none"])
def test_hidden_of_another_size_or_type_is_refused_by_name(whole: list[View], hidden: object) -> None:
    views = [replace(whole[0], hidden=hidden), *whole[1:]]
    with pytest.raises(ReconstructionError, match="hidden") as error:
        check_arrays(views)
        check_views(views, FROM_MASKS)
    assert error.value.code == ErrorCode.BAD_MASK


class Labels:
    """A segmenter that sees a post in the first view."""

    provenance: ClassVar[dict[str, str]] = {}

    def __call__(self, views: list[View], *_: object) -> Silhouettes:
        post = [right_of_its_middle(rendered.render(view.T_world_camera)) for view in views]
        hidden = [part & (index == 0) for index, part in enumerate(post)]
        return Silhouettes(
            [~part & (view.image[..., 0] > 0) for view, part in zip(views, hidden, strict=True)], hidden=hidden
        )


def test_what_a_segmenter_says_is_hidden_reaches_the_views(whole: list[View], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (factories, observation):
        monkeypatch.setattr(module, "load_segmenter", lambda options: Labels())
    bare = [replace(view, mask=None) for view in whole]
    seen = observation.segment(bare, FROM_MASKS, lambda stage, fraction: None, lambda: False).views
    assert all(view.hidden is not None and view.mask is not None for view in seen)
    assert [bool(view.hidden.any()) for view in seen if view.hidden is not None] == [True] + 5 * [False]


def test_a_mask_of_ones_own_keeps_its_own_hidden_pixels(whole: list[View], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (factories, observation):
        monkeypatch.setattr(module, "load_segmenter", lambda options: Labels())
    views = [whole[0], cover(whole[1], right_of_its_middle(whole[1])), *(replace(v, mask=None) for v in whole[2:])]
    seen = observation.segment(views, FROM_MASKS, lambda stage, fraction: None, lambda: False).views
    assert [bool(view.hidden is not None and view.hidden.any()) for view in seen] == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    np.testing.assert_array_equal(seen[0].mask, whole[0].mask)


def test_a_mask_that_is_hidden_altogether_is_no_silhouette(whole: list[View]) -> None:
    views = [replace(whole[0], hidden=np.ones_like(whole[0].mask, bool)), *whole[1:]]
    with pytest.raises(ReconstructionError, match="hidden") as error:
        reconstruct(views, FROM_MASKS)
    assert error.value.code == ErrorCode.EMPTY_SILHOUETTE


def test_the_benchmarks_box_covers_some_of_the_object_and_no_label_is_both() -> None:
    thing = cuboid([-0.03, -0.03, 0.0], [0.03, 0.03, 0.08])
    seen = see(thing, [[0.4, 0.0, 0.3], [-0.2, 0.35, 0.3], [-0.2, -0.35, 0.3]], [0.0, 0.0, 0.03])
    cases = covered_cases(seen, thing, np.random.default_rng(1))
    assert 0.03 < hidden_share(cases) < 1.0
    for whole, covered in zip(seen, cases["all of it"], strict=True):
        assert covered.mask is not None and covered.hidden is not None
        assert not (covered.mask & covered.hidden).any()
        np.testing.assert_array_equal(covered.mask | covered.hidden & whole.mask, whole.mask)
        np.testing.assert_array_equal(covered.image[covered.mask], whole.image[covered.mask])
