"""Prompts and windows of segmentation at their limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rendered import CENTER, SIZE, views

from mvgamba_ros.checks import check_views
from mvgamba_ros.config.support_plane_config import PlaneMatchingConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.plane_matching import for_pictures
from mvgamba_ros.segmentation.support_plane import estimate_support_height
from mvgamba_ros.segmentation.windows import distance_from_middle, make_windows
from mvgamba_ros.types import Prompts, View

SCENE = views(2)
REGION = axis_parallel_box(CENTER - 0.7 * SIZE, CENTER + 0.7 * SIZE)


def refused(prompts: Prompts, code: ErrorCode, words: str) -> None:
    with pytest.raises(ReconstructionError) as caught:
        check_views(SCENE, Options(prompts=prompts))
    assert caught.value.code is code
    assert words in caught.value.message


@pytest.mark.parametrize("box", [(10, 10, 12, 12), (-5, -5, 2, 2), (318, 238, 400, 400), (0, 0, 320, 240)])
def test_a_pixel_box_of_two_pixels_inside_the_image_is_enough(box: tuple[float, ...]) -> None:
    check_views(SCENE, Options(prompts=Prompts(pixel_boxes={1: box})))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "box",
    [(10, 10, 11.9, 12), (10, 10, 12, 11.9), (-5, 0, 1.9, 9), (318.1, 0, 400, 9), (0, 239, 9, 999), (9, 9, 5, 20)],
)
def test_a_smaller_one_is_refused_with_the_images_size(box: tuple[float, ...]) -> None:
    refused(Prompts(pixel_boxes={1: box}), ErrorCode.BAD_OPTION, "view 1 covers less than 2 x 2")  # type: ignore


@pytest.mark.parametrize("rows", [[[0.0, 0.0, 1]], [[319.9, 239.9, 0], [5, 5, 1]]])
def test_points_inside_the_image_are_taken(rows: list[list[float]]) -> None:
    check_views(SCENE, Options(prompts=Prompts(points={0: np.array(rows)})))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[320.0, 5, 1]], "inside the 320 x 240"),
        ([[5, 240.0, 1]], "inside the 320 x 240"),
        ([[-0.1, 5, 1]], "inside the 320 x 240"),
        ([[5, -0.1, 1]], "inside the 320 x 240"),
        ([[5, 5, 2]], "label 1"),
        ([[5, 5, 0.5]], "label 1"),
        ([5, 5, 1], "shape (3,): give (N, 3)"),
        ([[5, 5]], "shape (1, 2): give (N, 3)"),
    ],
)
def test_points_off_the_image_or_without_a_label_are_refused(rows: list[float], words: str) -> None:
    refused(Prompts(points={1: np.array(rows)}), ErrorCode.BAD_OPTION, words)


def test_prompts_are_of_views_that_are_there() -> None:
    for index in (-1, 2):
        refused(Prompts(points={index: np.zeros((1, 3))}), ErrorCode.BAD_OPTION, f"point prompt for view {index}")
        refused(Prompts(pixel_boxes={index: (0, 0, 9, 9)}), ErrorCode.BAD_OPTION, f"pixel box for view {index}")


@pytest.mark.parametrize("size", [[0.1, 0.1], [0.1, np.inf, 0.1], [0.1, 0.1, -0.1]])
def test_a_region_has_three_sides(size: list[float]) -> None:
    refused(Prompts(roi=replace(REGION, size=np.array(size))), ErrorCode.BAD_ROI, "each of 3 sides must be positive")


def test_a_windows_area_is_the_outline_of_the_projected_region() -> None:
    for window in make_windows(SCENE, REGION, Prompts(roi=REGION), 224):
        points = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 3)) * REGION.size + CENTER
        pixels, _ = project(window.camera, window.T_world_camera, points)
        x, y = np.floor(pixels).astype(int).T
        assert window.allowed[y, x].mean() > 0.995
        corners = np.stack(np.meshgrid(*([[-0.5, 0.5]] * 3)), -1).reshape(-1, 3) * REGION.size + CENTER
        pixels, _ = project(window.camera, window.T_world_camera, corners)
        rows, columns = np.nonzero(window.allowed)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(found, [*pixels.min(0), *pixels.max(0)], atol=1.5)
        assert max(window.shape) == 224


def test_points_mark_their_place_and_win_over_the_region() -> None:
    pixels, _ = project(SCENE[0].camera, SCENE[0].T_world_camera, CENTER[None])
    (x, y), corner = pixels[0], (2.0, 2.0)
    points = np.array([[x, y, 0.0], [*corner, 1.0]])
    wide = axis_parallel_box(CENTER - 3.0 * SIZE, CENTER + 3.0 * SIZE)
    window = make_windows(SCENE[:1], wide, Prompts(roi=wide, points={0: points}), 224)[0]
    scale = window.shape[1] / (window.rect[2] - window.rect[0])
    u, v = (np.array([x, y]) - window.rect[:2]) * scale
    assert window.off[int(v), int(u)] and not window.allowed[int(v), int(u)]
    inside = window.rect[0] <= corner[0] and window.rect[1] <= corner[1]
    assert window.on.any() == inside
    assert not (window.on & window.off).any() and (window.allowed[window.on]).all()
    rows, columns = np.nonzero(window.off)
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], [u, v], atol=0.75)


def test_a_pixel_box_bounds_the_area_in_its_own_view_only() -> None:
    box = (150.0, 90.0, 170.0, 130.0)
    plain = make_windows(SCENE, REGION, Prompts(roi=REGION), 224)
    boxed = make_windows(SCENE, REGION, Prompts(roi=REGION, pixel_boxes={0: box}), 224)
    np.testing.assert_array_equal(boxed[1].allowed, plain[1].allowed)
    scale = boxed[0].shape[1] / (boxed[0].rect[2] - boxed[0].rect[0])
    low, high = ((np.array(end) - boxed[0].rect[:2]) * scale for end in (box[:2], box[2:]))
    y, x = np.mgrid[: boxed[0].shape[0], : boxed[0].shape[1]] + 0.5
    for margin in (1, -1):  # whole pixels
        inside = (x > low[0] - margin) & (x < high[0] + margin) & (y > low[1] - margin) & (y < high[1] + margin)
        beyond, within = boxed[0].allowed & ~inside, ~boxed[0].allowed & plain[0].allowed & inside
        assert not (beyond if margin > 0 else within).any() and inside.sum() > 100


def test_distance_from_the_middle_is_one_at_the_edge_of_the_area() -> None:
    window = make_windows(SCENE, REGION, Prompts(roi=REGION), 224)[0]
    allowed = np.zeros(window.shape, bool)
    allowed[20:61, 30:131] = True
    distance = distance_from_middle(replace(window, allowed=allowed))
    assert distance[40, 80] == 0.0
    assert distance[40, 30] == distance[40, 130] == 1.0
    assert distance[60, 80] == pytest.approx(0.4)
    assert (distance_from_middle(replace(window, allowed=np.zeros_like(allowed))) == 1.0).all()


def test_the_share_of_depth_in_the_plane_decides_whether_there_is_one() -> None:
    """A table whose depth readings are scattered over 20 cm has no height; one with a third of them is a table."""
    rng = np.random.default_rng(0)
    found = []
    for noisy in (0.0, 0.5, 1.0):
        scene = []
        for view in views(3):
            assert view.depth is not None
            scatter = (rng.random(view.depth.shape) < noisy) * rng.normal(0.0, 0.1, view.depth.shape)
            plain = np.full_like(view.image, 128)  # no texture to tell the height by
            scene.append(replace(view, mask=None, image=plain, depth=(view.depth + scatter).astype(np.float32)))
        found.append(estimate_support_height(scene, Prompts(roi=REGION))[0])
    assert found[0] == pytest.approx(0.0, abs=1e-3)
    assert found[1] == pytest.approx(0.0, abs=3e-3)
    assert found[2] is None


def test_lightness_counts_more_where_all_pictures_are_grey() -> None:
    found, config = views(3), PlaneMatchingConfig()
    mono = [replace(view, image=np.repeat(view.image[..., 1:2], 3, axis=2)) for view in found]
    region = axis_parallel_box(CENTER - SIZE, CENTER + SIZE)

    def weights(pictures: list[View]) -> tuple[float, ...]:
        return for_pictures(make_windows(pictures, region, Prompts(), 160), config).channel_weights

    assert weights(found) == weights([*mono[:2], found[2]]) == config.channel_weights
    assert weights(mono) == (config.grey_weight, *config.channel_weights[1:])
    assert config.grey_weight > 3 * config.channel_weights[0]


def test_grey_pictures_are_noted_unless_masks_are_given() -> None:
    found = views(3)
    mono = [replace(view, image=np.repeat(view.image[..., 1:2], 3, axis=2)) for view in found]
    assert not any("grey" in note for note in check_views(found, Options())[1])
    assert any("all pictures are grey" in note for note in check_views(mono, Options())[1])
    assert not any("grey" in note for note in check_views(mono, Options(use_masks=True))[1])
