"""What is checked before the work, what is measured after it, and what the report says: at its limits."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import rendered
from shapes import FOUR_SIDES, cuboid, see

from mvgamba_ros import factories
from mvgamba_ros.checks import check_views, distinct_views
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.camera import project, undistort, undistort_pixels
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Quality
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.texture import view_weights
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.surface.quality import measure_quality
from mvgamba_ros.surface.sample import sample_cloud
from mvgamba_ros.types import Mesh, Prompts, View

SMALL = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=2000, max_faces=1500)
SAME_PLACE, SAME_DEGREES, SAME_PICTURE = 1e-3, 0.2, 8.0
"""Metres, degrees and grey levels: views that differ by less are one view twice."""
CUBE = cuboid([-0.05, -0.05, -0.05], [0.05, 0.05, 0.05])
VIEWS = see(CUBE, [*FOUR_SIDES, [0.2, 0.1, 0.45]], [0.0, 0.0, 0.0])


def refused(code: ErrorCode, views: list[View], options: Options = SMALL, words: str = "") -> None:
    with pytest.raises(ReconstructionError) as caught:
        check_views(views, options)
    assert caught.value.code is code, caught.value.message
    assert words in caught.value.message


def beside(view: View, metres: float = 0.0, degrees: float = 0.0, grey: int = 0) -> View:
    """The view from another place, turned about its optical axis, its picture brighter."""
    T, a = view.T_world_camera.copy(), np.radians(degrees)
    T[:3, 3] += metres * T[:3, 0]
    T[:3, :3] = T[:3, :3] @ [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    return replace(view, T_world_camera=T, image=(view.image.clip(0, 255 - grey) + grey).astype(np.uint8))


def test_views_are_one_below_both_limits_of_place_and_turn() -> None:
    first = VIEWS[0]
    for second, notes in (
        (beside(first, 0.9 * SAME_PLACE, 0.9 * SAME_DEGREES), 1),
        (beside(first, 1.1 * SAME_PLACE), 0),
        (beside(first, 0.0, 1.1 * SAME_DEGREES), 0),
        (replace(beside(first), image=first.image[:200], camera=replace(first.camera, height=200), mask=None), 0),
    ):
        found = check_views([first, second, *VIEWS[1:]], SMALL)[1] if second.mask is not None else None
        if found is None:  # a picture of another size is of another camera
            found = check_views([replace(first, mask=None, depth=None), replace(second, depth=None)], SMALL)[1]
        assert len(found) == notes, found


def test_pictures_from_one_place_may_differ_by_noise_and_no_more() -> None:
    first = VIEWS[0]
    assert check_views([first, beside(first, grey=int(SAME_PICTURE) - 1), *VIEWS[1:]], SMALL)[1] == [
        "from [0.5, 0.0, 0.0] and from [0.5, 0.0, 0.0] are from the same place: they count as one view"
    ]
    refused(ErrorCode.DUPLICATE_VIEW, [first, beside(first, grey=int(SAME_PICTURE) + 4)], words="differ by 12 grey")


def test_what_counts_as_one_place_and_one_picture_can_be_set() -> None:
    def options(config: ViewsConfig) -> Options:
        return replace(SMALL, config=ReconstructionConfig(views=config))

    first = VIEWS[0]
    moved, brighter = beside(first, 1.1 * SAME_PLACE, 1.1 * SAME_DEGREES), beside(first, grey=int(SAME_PICTURE) + 4)
    assert check_views([first, moved], options(ViewsConfig(min_distance=0.01)))[1] == []
    assert len(check_views([first, moved], options(ViewsConfig(min_distance=0.01, min_angle=1.0)))[1]) == 1
    assert len(check_views([first, brighter], options(ViewsConfig(max_difference=20.0)))[1]) == 1


def test_views_from_one_place_count_once_towards_the_fewest() -> None:
    assert distinct_views(VIEWS) == len(VIEWS)
    again = [VIEWS[0], beside(VIEWS[0], 0.9 * SAME_PLACE), VIEWS[1]]
    assert distinct_views(again) == 2
    assert distinct_views([VIEWS[0], beside(VIEWS[0], 1.1 * SAME_PLACE)]) == 2
    assert distinct_views(again, ViewsConfig(min_distance=0.5 * SAME_PLACE)) == 3
    three = replace(SMALL, min_views=3)
    refused(ErrorCode.TOO_FEW_VIEWS, again, three, "2 view(s) from different places, of 3: at least 3")
    refused(ErrorCode.TOO_FEW_VIEWS, VIEWS[:2], three, "2 view(s): at least 3")
    assert len(check_views(VIEWS[:3], three)[0]) == 3


def test_a_region_must_reach_into_every_picture() -> None:
    def region(center: list[float], size: list[float]) -> Options:
        low, high = np.array(center) - np.array(size) / 2, np.array(center) + np.array(size) / 2
        return replace(SMALL, prompts=Prompts(roi=axis_parallel_box(low, high)))

    # from the side, half a metre away, a picture shows 0.53 x 0.40 m
    side = VIEWS[:1]
    for axis, half in ((1, 0.267), (2, 0.2)):
        for sign in (-1.0, 1.0):
            center, small, large = [0.0, 0.0, 0.0], [0.02] * 3, [0.02] * 3
            center[axis], large[axis] = sign * (half + 0.1), 0.4
            refused(ErrorCode.ROI_NOT_VISIBLE, side, region(center, small), "outside the picture of from [0.5")
            check_views(side, region(center, large))
            center[axis] = sign * (half - 0.02)
            check_views(side, region(center, small))
    refused(ErrorCode.ROI_NOT_VISIBLE, side, region([0.8, 0, 0], [0.4] * 3), "behind the camera of from [0.5")
    check_views(side, region([0.8, 0, 0], [0.7] * 3))  # partly before it


def test_pixel_prompts_move_with_the_undistorted_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The segmenter gets the prompts of a lens's image where the straightened image shows the same things."""
    views = rendered.views(3)
    lens = replace(views[0].camera, distortion_model="plumb_bob", distortion=(-0.2, 0.05, 0.0, 0.0, 0.0))
    curved = [replace(views[0], camera=lens), *views[1:]]
    straight = undistort(curved[0])
    given = {}

    def segment(views, prompts, *_):
        given["views"], given["prompts"] = views, prompts
        return Silhouettes([view.mask for view in views], None)

    monkeypatch.setattr(factories, "load_segmenter", lambda *_, **__: segment)
    points, box = np.array([[30.0, 20.0, 1.0], [300.0, 220.0, 0.0]]), (20.0, 10.0, 310.0, 230.0)
    prompts = Prompts(points={0: points, 1: points}, pixel_boxes={0: box, 1: box}, support_height=0.0)
    reconstruct(curved, replace(SMALL, segmenter="classical", prompts=prompts))
    np.testing.assert_array_equal(given["views"][0].image, straight.image)
    moved = given["prompts"]
    np.testing.assert_array_equal(moved.points[1], points)  # that view has no distortion
    assert moved.pixel_boxes[1] == box
    expected = undistort_pixels(lens, straight.camera, points[:, :2])
    assert np.abs(expected - points[:, :2]).max() > 1.5
    np.testing.assert_allclose(moved.points[0], np.column_stack([expected, points[:, 2]]))
    corners = np.array([[x, y] for x in box[::2] for y in box[1::2]])
    corners = undistort_pixels(lens, straight.camera, corners)
    np.testing.assert_allclose(moved.pixel_boxes[0], [*corners.min(0), *corners.max(0)])


def test_one_view_with_depth_finds_the_height_of_its_table() -> None:
    one = reconstruct(rendered.views(2)[:1], SMALL)
    assert one.support_height == pytest.approx(0.0, abs=5e-3)
    assert not any("not known" in note for note in one.notes)


def quality_of(mesh: Mesh, views: list[View], places: int | None = None) -> Quality:
    caster, cloud = Raycaster(mesh), sample_cloud(mesh, 3000)
    weights = view_weights(cloud.points, cloud.normals, views, caster)
    places = len(views) if places is None else places
    return measure_quality(caster, views, weights, places, ReconstructionConfig())


def test_the_truth_is_trusted_and_its_coverage_is_the_share_of_seen_sides() -> None:
    found = quality_of(CUBE, VIEWS)
    assert not found.low and found.reasons == ()
    assert found.silhouette_iou > 0.999 and found.color_error < 1e-3
    assert found.coverage == pytest.approx(5 / 6, abs=0.01)  # none sees the underside
    assert quality_of(CUBE, VIEWS[:3]).coverage == pytest.approx(3 / 6, abs=0.01)


def test_each_fault_has_its_own_reason() -> None:
    painted = replace(CUBE, colors=np.full((8, 3), 255, np.uint8))
    found = quality_of(painted, VIEWS)
    assert found.color_error == pytest.approx((255 * 3 - 200 - 60 - 40) / 3 / 255, abs=0.01)
    assert [reason.split()[0] for reason in found.reasons] == ["colours"]

    larger = replace(CUBE, vertices=CUBE.vertices * 1.2)
    found = quality_of(larger, VIEWS)
    assert 0.6 < found.silhouette_iou < 0.75
    assert found.low and found.reasons[0].startswith("silhouettes match to 0.")

    close = [VIEWS[0], *see(CUBE, [[0.49, 0.06, 0.03], [0.49, -0.06, -0.03]], [0.0, 0.0, 0.0])]
    (spread,) = quality_of(CUBE, close).reasons
    assert spread.startswith("the views span only 16 degrees")

    (few,) = quality_of(CUBE, VIEWS, places=2).reasons
    assert few.startswith("2 view(s)")


def test_the_worst_view_is_named() -> None:
    shifted = [replace(view, mask=np.roll(view.mask, 35 if k == 2 else 12, axis=1)) for k, view in enumerate(VIEWS)]
    (reason,) = [r for r in quality_of(CUBE, shifted).reasons if "IoU" in r]
    assert f"worst in {VIEWS[2].name}" in reason


def test_a_view_that_shows_nothing_of_the_mesh_counts_as_no_match() -> None:
    away = replace(VIEWS[0], T_world_camera=look_at(np.array([0.5, 0.0, 0.0]), np.array([0.5, 1.0, 0.0])))
    found = quality_of(CUBE, [*VIEWS[1:4], away])
    assert found.silhouette_iou == pytest.approx(3 / 4, abs=1e-3)
    assert found.color_error < 1e-3  # there is nothing to compare in that view


def test_the_reported_iou_is_that_of_the_meshs_faces_drawn_into_the_views() -> None:
    """By another renderer, in pictures eight times as large, so that its outlines are thin."""
    views, ious = [replace(view, depth=None) for view in rendered.views(4)], []
    result = reconstruct(views, SMALL)
    for view in views:
        pixels, _ = project(view.camera, view.T_world_camera, result.mesh.vertices)
        drawn = np.zeros((8 * view.camera.height, 8 * view.camera.width), np.uint8)
        for triangle in np.round(8 * pixels[result.mesh.faces] - 0.5).astype(np.int32):
            cv2.fillConvexPoly(drawn, triangle, 1)
        seen = drawn[4::8, 4::8] > 0
        ious.append((view.mask & seen).sum() / (view.mask | seen).sum())
    assert result.quality.silhouette_iou == pytest.approx(np.mean(ious), abs=2e-3)
