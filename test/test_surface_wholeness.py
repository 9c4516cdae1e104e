"""Ends that nobody saw, several things taken for one, outlines that no picture shows, and planes at another height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import rendered

from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.surface.outline_support import unsupported_outline
from mvgamba_ros.surface.standing_parts import count_standing
from mvgamba_ros.surface.wholeness import widest_gap
from mvgamba_ros.types import Bool, Prompts, View

VIEWS = rendered.views(6)
LOW, HIGH = rendered.CENTER - rendered.SIZE / 2, rendered.CENTER + rendered.SIZE / 2
MASKS = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=3000, max_faces=2000)


def cut_at_the_top(view: View, share: float) -> View:
    """The view whose picture begins so far below the top of the silhouette, of its height."""
    rows = np.flatnonzero(view.mask.any(axis=1))
    first = int(rows[0] + share * (rows[-1] - rows[0]))
    K = view.camera.K.copy()
    K[1, 2] -= first
    camera = replace(view.camera, K=K, height=view.camera.height - first)
    return replace(view, image=view.image[first:], mask=view.mask[first:], depth=None, camera=camera)


def made_of(views: Sequence[View], **prompts: object) -> Reconstruction:
    return reconstruct(views, replace(MASKS, prompts=Prompts(**{"support_height": 0.0, **prompts})))


def test_an_object_seen_whole_is_complete_and_alone() -> None:
    quality = made_of(VIEWS).quality
    assert quality.completeness == 1.0 and quality.objects == 1 and not quality.low, quality.reasons


def test_an_object_that_leaves_all_pictures_ends_near_where_it_does_and_is_low() -> None:
    result = made_of([cut_at_the_top(view, 0.3) for view in VIEWS])
    assert result.quality.completeness < 0.9
    assert any("leaves the picture at the top in 6 of 6 views" in reason for reason in result.quality.reasons)
    assert result.mesh.vertices[:, 2].max() < HIGH[2] + 0.01


def test_an_object_that_leaves_one_picture_is_whole_where_the_others_show_it() -> None:
    result = made_of([cut_at_the_top(VIEWS[0], 0.3), *VIEWS[1:]])
    assert result.quality.completeness < 1.0 and not result.quality.low, result.quality.reasons
    assert abs(result.mesh.vertices[:, 2].max() - HIGH[2]) < 0.005


def test_a_silhouette_that_reaches_the_edge_of_the_region_is_low_and_names_it() -> None:
    narrow = axis_parallel_box(LOW + np.array([0.015, -0.02, -0.01]), HIGH + 0.02)
    found = reconstruct(
        VIEWS, replace(MASKS, segmenter="classical", prompts=Prompts(roi=narrow, support_height=0.0))
    ).quality
    assert found.low and found.completeness < 0.97
    assert any("edge of the region of interest" in reason and "larger" in reason for reason in found.reasons)


def test_a_region_that_ends_at_the_table_is_no_open_end() -> None:
    snug = axis_parallel_box(LOW - np.array([0.012, 0.012, 0.001]), HIGH + 0.012)
    found = reconstruct(VIEWS, replace(MASKS, segmenter="classical", prompts=Prompts(roi=snug, support_height=0.0)))
    assert not found.quality.low, found.quality.reasons


def ball(field: np.ndarray, points: np.ndarray, middle: Sequence[float], radius: float) -> np.ndarray:
    return np.maximum(field, radius - np.linalg.norm(points - np.array(middle), axis=-1))


@pytest.fixture(scope="module")
def grid() -> tuple[np.ndarray, np.ndarray]:
    """Points (64, 64, 64, 3) of a cube of 20 cm that stands on z = 0, and a field that is empty there."""
    line = np.arange(64) * 0.2 / 63
    points = np.stack(np.meshgrid(line - 0.1, line - 0.1, line, indexing="ij"), axis=-1)
    return points, np.full(points.shape[:3], -1.0)


def standing(values: np.ndarray, points: np.ndarray) -> int:
    return count_standing(DistanceField(values.astype(np.float32), points[0, 0, 0], 0.2 / 63), 0.0)


def test_two_things_that_touch_are_counted(grid: tuple[np.ndarray, np.ndarray]) -> None:
    points, empty = grid
    apart = ball(ball(empty, points, (-0.04, 0, 0.04), 0.042), points, (0.042, 0, 0.04), 0.04)
    assert standing(apart, points) == 2


def test_a_handle_is_no_thing_of_its_own(grid: tuple[np.ndarray, np.ndarray]) -> None:
    points, empty = grid
    pot = ball(ball(empty, points, (-0.03, 0, 0.05), 0.05), points, (0.045, 0, 0.07), 0.02)
    pot = ball(pot, points, (0.025, 0, 0.065), 0.009)
    assert standing(pot, points) == 1


def test_an_outline_through_flat_colour_has_no_support() -> None:
    def shifted(mask: Bool) -> Bool:
        return np.roll(mask, 40, axis=1)

    assert unsupported_outline(VIEWS) < 0.02
    wrong = [replace(view, mask=shifted(view.mask)) for view in VIEWS]
    assert unsupported_outline(wrong) > 0.5


def test_support_is_the_same_in_pictures_of_another_size() -> None:
    def enlarged(view: View) -> View:
        size = (1280, 960)
        mask = cv2.resize(view.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        return replace(view, image=cv2.resize(view.image, size, interpolation=cv2.INTER_CUBIC), mask=mask)

    assert unsupported_outline([enlarged(view) for view in VIEWS]) < 0.05


def test_a_table_seen_at_another_height_than_given_is_named_with_both() -> None:
    roi = axis_parallel_box(LOW - 0.03, HIGH + 0.02)
    told = replace(MASKS, segmenter="classical", prompts=Prompts(roi=roi, support_height=-0.015))
    quality = reconstruct(VIEWS, told).quality
    assert quality.low
    assert any("15 mm above the support height given, -0.015 m" in reason for reason in quality.reasons)


def test_an_object_above_its_plane_is_named_with_the_distance() -> None:
    quality = made_of(VIEWS, support_height=-0.05).quality
    assert any("mm above the surface at -0.050 m" in reason for reason in quality.reasons), quality.reasons


def test_views_that_see_too_little_of_what_does_not_face_down_are_low() -> None:
    tall = replace(rendered.views(3)[0], name="front")
    close = [tall, *(rendered.render(T) for T in rendered.orbit(48)[1:3])]
    reasons = made_of(close).quality.reasons
    assert any("of the surface that does not face down (at least 65% expected)" in reason for reason in reasons)


def test_views_of_one_side_are_noted() -> None:
    front = [rendered.render(T) for T in rendered.orbit(12)[:4]]
    assert widest_gap(front, rendered.CENTER) == pytest.approx(270.0, abs=1.0)
    assert any("all views are from one side" in note for note in made_of(front).notes)
    assert not any("one side" in note for note in made_of(VIEWS).notes)
