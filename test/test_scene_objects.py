"""Several objects in the same views: each is reconstructed for itself, and none costs another anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rendered import PAIR, SIZE, pair_views, regions, render
from transforms3d.axangles import axangle2mat

from mvgamba_ros import factories
from mvgamba_ros.checks import misses
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.world_origin import move_views
from mvgamba_ros.options import Options
from mvgamba_ros.registry import BUILT_IN
from mvgamba_ros.scene_objects import SceneObject, reconstruct_scene
from mvgamba_ros.scene_picture import scene_picture
from mvgamba_ros.types import Box, Prompts

HULL = Options(method="hull", segmenter="multiview", hull_resolution=48, refine_poses="off")
VIEWS = pair_views(5)
NOWHERE = scaled_box(PAIR[0] + [0.0, 0.0, 0.09], PAIR[0] + [0.05, 0.05, 0.15], 1.0)
"""In the air above the first."""


@pytest.fixture(autouse=True)
def two_reds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(BUILT_IN["segmenters"], "multiview", "two_reds:TwoReds.from_options")
    factories._segmenter.cache_clear()
    yield
    factories._segmenter.cache_clear()


def box_of(item: SceneObject) -> tuple[np.ndarray, np.ndarray]:
    assert item.result is not None, item.error
    vertices = item.result.mesh.vertices
    return vertices.min(axis=0), vertices.max(axis=0)


def stands_at(item: SceneObject, center: np.ndarray) -> None:
    low, high = box_of(item)
    np.testing.assert_allclose(low, center - SIZE / 2, atol=0.008)
    np.testing.assert_allclose(high, center + SIZE / 2, atol=0.008)


def test_each_region_becomes_its_object_whatever_the_order_and_whichever_of_them_fails() -> None:
    first, failed, second = reconstruct_scene(VIEWS, HULL, [regions()[0], NOWHERE, regions()[1]])
    stands_at(first, PAIR[0])
    stands_at(second, PAIR[1])
    assert failed.result is None and failed.region is NOWHERE and failed.error is not None
    assert failed.error.code is ErrorCode.EMPTY_SILHOUETTE
    turned = reconstruct_scene(VIEWS, HULL, regions()[::-1])
    for one, other in zip((first, second), turned[::-1], strict=True):
        assert one.result is not None and other.result is not None
        np.testing.assert_array_equal(one.result.mesh.vertices, other.result.mesh.vertices)
        assert one.result.quality == other.result.quality


def test_without_regions_the_objects_are_found_and_the_progress_counts_them() -> None:
    stages: list[tuple[str, float]] = []
    found = reconstruct_scene(VIEWS, HULL, progress=lambda stage, fraction: stages.append((stage, fraction)))
    for item, center in zip(found, PAIR, strict=True):
        stands_at(item, center)
    assert stages[0] == ("find", 0.0) and stages[-1][1] == pytest.approx(1.0)
    assert {"1/2 method", "2/2 method"} <= {stage for stage, _ in stages}
    fractions = [fraction for _, fraction in stages]
    assert fractions == sorted(fractions)


def test_an_object_may_be_named_by_pixels_alone() -> None:
    boxes = {}
    for index, view in enumerate(VIEWS):
        rows, columns = np.nonzero(view.mask)
        pixel = project(view.camera, view.T_world_camera, PAIR[1][None])[0][0]
        near = np.hypot(columns - pixel[0], rows - pixel[1]) < 45
        boxes[index] = (columns[near].min() - 4, rows[near].min() - 4, columns[near].max() + 5, rows[near].max() + 5)
    options = replace(HULL, segmenter="classical", prompts=Prompts(support_height=0.0))
    (found,) = reconstruct_scene(VIEWS, options, [Prompts(pixel_boxes=boxes)])
    assert found.region is None and found.result is not None and found.result.support_height == 0.0
    np.testing.assert_allclose(found.result.box.T_world_box[:3, 3], PAIR[1], atol=0.01)


def test_a_view_that_does_not_show_an_object_is_left_out_for_that_one_alone() -> None:
    aside = VIEWS[0].T_world_camera.copy()
    aside[:3, :3] = aside[:3, :3] @ axangle2mat([0.0, 1.0, 0.0], np.radians(22.0))  # one of them stays
    turned = replace(render(aside, centers=PAIR), name="turned.png")
    seen = [index for index, region in enumerate(regions()) if not misses(turned, region, "")]
    assert len(seen) == 1
    found = reconstruct_scene([*VIEWS[1:], turned], HULL, regions())
    for index, item in enumerate(found):
        stands_at(item, PAIR[index])
        assert item.result is not None and item.views == ((0, 1, 2, 3, 4) if index in seen else (0, 1, 2, 3))
        assert len(item.result.masks) == len(item.views) and (item.mask(4) is not None) == (index in seen)
        assert any("outside the picture of turned.png" in note for note in item.result.notes) == (index not in seen)
    assert scene_picture([*VIEWS[1:], turned], found).shape[1] == 1280


def test_far_from_the_origin_they_are_found_where_they_are() -> None:
    far = np.array([4.0e6, 1.0e5, 0.0])
    found = reconstruct_scene(move_views(VIEWS, far), replace(HULL, prompts=Prompts(support_height=0.0)))
    for item, center in zip(found, PAIR + far, strict=True):
        assert item.region is not None
        np.testing.assert_allclose(item.region.T_world_box[:3, 3], center, atol=1e-6)
        stands_at(item, center)


def test_what_cannot_be_found_is_one_error_for_all() -> None:
    with pytest.raises(ReconstructionError, match="segmenter classical finds one object: give a region") as raised:
        reconstruct_scene(VIEWS, replace(HULL, segmenter="classical"))
    assert raised.value.code is ErrorCode.BAD_OPTION
    empty = [replace(view, image=np.full_like(view.image, 128 + k)) for k, view in enumerate(VIEWS)]
    with pytest.raises(ReconstructionError, match="nothing that stands out") as raised:
        reconstruct_scene(empty, HULL)
    assert raised.value.code is ErrorCode.EMPTY_SILHOUETTE


@pytest.mark.parametrize("found", [["mug"], [Box(np.eye(4), np.array([0.1, -0.1, 0.1]))], [Box(np.eye(3), np.ones(3))]])
def test_a_finder_that_breaks_its_contract_is_named(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("two_reds.TwoReds.find_objects", lambda *_: found)
    with pytest.raises(ReconstructionError, match=r"segmenter 'multiview' of mvgamba_ros found .* not") as raised:
        reconstruct_scene(VIEWS, HULL)
    assert raised.value.code is ErrorCode.BAD_OPTION


def test_cancelled_in_the_second_object_the_work_ends() -> None:
    stages: list[str] = []
    with pytest.raises(ReconstructionError) as raised:
        reconstruct_scene(
            VIEWS,
            HULL,
            regions(),
            lambda stage, _: stages.append(stage),
            lambda: bool(stages) and stages[-1].startswith("2/2"),
        )
    assert raised.value.code is ErrorCode.CANCELLED
