"""A pixel that another thing covers says nothing of the object behind it: neither of its shape nor of its colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered
import torch
from covered import FROM_MASKS, ROI, SURFACE, covered_views, without_hidden
from shapes import camera, cuboid, see

from mvgamba_ros import reconstruct
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occlusion import possible, uncovered_image, visible
from mvgamba_ros.geometry.unit_cube import fit
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.pose_refinement.odd_view import outline_residuals
from mvgamba_ros.rendering.crops import known_pixels, make_crops
from mvgamba_ros.surface.amodal_silhouettes import with_amodal_masks
from mvgamba_ros.surface.measured_depth import measured_depths
from mvgamba_ros.surface.outline_support import unsupported_outline
from mvgamba_ros.types import View


@pytest.fixture(scope="module")
def whole() -> list[View]:
    return rendered.views(6)


def hull_of(views: list[View]) -> DistanceField:
    return carve(views, ROI, 48, 0.0)


# Shape


def test_an_occluder_in_front_carves_nothing_behind(whole: list[View]) -> None:
    covered = covered_views(whole, 0, 3)
    assert (hull_of(covered).sample(SURFACE) > 0.0).all()
    assert (hull_of(without_hidden(covered)).sample(SURFACE) < -1e-3).mean() > 0.2  # taken as whole, it carves


def test_where_it_is_hidden_the_hull_goes_on_no_further_than_the_other_views_let_it(whole: list[View]) -> None:
    hull, others = hull_of(covered_views(whole, 0)), hull_of(whole[1:])
    inside = hull.origin + hull.voxel * np.argwhere(hull.values > 0.0)
    assert (others.sample(inside) > -0.5 * others.voxel).all()


def test_a_lone_view_takes_the_object_to_end_where_it_is_hidden(whole: list[View]) -> None:
    covered = covered_views(whole, 0)[0]
    alone, bare = hull_of([covered]), hull_of(without_hidden([covered]))
    np.testing.assert_array_equal(alone.values, bare.values)


def test_two_views_of_which_one_is_covered_show_the_object_whole(whole: list[View]) -> None:
    assert (hull_of(covered_views(whole, 0)[:2]).sample(SURFACE) > 0.0).all()


def test_of_two_things_that_hide_each_other_each_is_carved_alone() -> None:
    """Labels do not say what is in front: every pixel of the other one is hidden, also where it stands behind."""
    here, there = ([-0.03, -0.03, 0.0], [0.03, 0.03, 0.08]), ([-0.03, 0.05, 0.0], [0.03, 0.1, 0.1])
    eyes = [[0.4, 0.1, 0.3], [0.1, 0.4, 0.4], [-0.4, 0.1, 0.3], [0.05, -0.4, 0.25]]
    first, second = (see(cuboid(*box), eyes, [0.0, 0.03, 0.03], camera()) for box in (here, there))
    views = []
    for own, other in zip(first, second, strict=True):
        assert own.mask is not None and own.depth is not None and other.mask is not None and other.depth is not None
        behind = own.mask & other.mask & (other.depth > own.depth)
        in_front = other.mask & ~behind
        views.append(replace(own, mask=own.mask & ~in_front, hidden=in_front))
    assert sum(np.count_nonzero(own.mask) for own in first if own.mask is not None) > 1.1 * sum(
        np.count_nonzero(view.mask) for view in views if view.mask is not None
    )
    hull = carve(views, resolution=64, support_height=0.0)
    alone = carve(first, resolution=64, support_height=0.0)
    inside = np.random.default_rng(0).uniform(*np.array(here) * 0.97, (2000, 3))
    assert (hull.sample(inside) > 0.0).all()
    assert alone.volume() <= hull.volume() < 1.2 * alone.volume()
    assert (hull.sample(np.random.default_rng(0).uniform(*np.array(there), (2000, 3))) < 0.0).mean() > 0.97


def test_a_thing_that_does_not_meet_the_silhouette_hides_nothing_of_it(whole: list[View]) -> None:
    far = np.zeros_like(whole[0].mask, bool)
    far[:40, :40] = True
    assert not (possible(replace(whole[0], hidden=far)) & far).any()


def test_the_completed_silhouette_is_that_of_the_whole_object(whole: list[View]) -> None:
    covered = covered_views(whole, 0)
    completed = with_amodal_masks(covered, hull_of(covered), 0.0)
    assert covered[0].mask is not None and completed[0].mask is not None and whole[0].mask is not None
    assert mask_iou(covered[0].mask, whole[0].mask) < 0.75
    assert mask_iou(completed[0].mask, whole[0].mask) > 0.93
    assert completed[1] is covered[1]
    np.testing.assert_array_equal(visible(completed[0]), covered[0].mask)


# Colours and depth


def greens(colors: np.ndarray) -> int:
    return int(np.count_nonzero(colors[:, 1].astype(int) > colors[:, 0].astype(int) + 60))


def test_the_colours_of_what_covers_it_do_not_get_onto_the_object(whole: list[View]) -> None:
    covered = covered_views(whole, 0, 3)
    painted = [replace(v, mask=w.mask, hidden=None) for v, w in zip(covered, whole, strict=True)]
    assert greens(reconstruct(covered, FROM_MASKS).mesh.colors) == 0
    assert greens(reconstruct(painted, FROM_MASKS).mesh.colors) > 20


def test_a_view_does_not_count_as_seeing_what_is_hidden_from_it(whole: list[View]) -> None:
    seen = [reconstruct(views, FROM_MASKS).mesh for views in (whole, covered_views(whole, 0, 3))]
    assert seen[0].seen is not None and seen[1].seen is not None
    assert seen[1].seen.mean() < seen[0].seen.mean() - 0.2


def test_quality_is_judged_by_what_is_visible(whole: list[View]) -> None:
    best = reconstruct(whole, FROM_MASKS).quality
    quality = reconstruct(covered_views(whole, 0, 3), FROM_MASKS).quality
    assert quality.silhouette_iou == pytest.approx(best.silhouette_iou, abs=0.02)
    assert quality.color_error < best.color_error + 0.01
    assert quality.depth_residual_mm < best.depth_residual_mm + 1.0
    assert not quality.low


def test_a_shape_whose_silhouettes_are_mostly_hidden_is_low(whole: list[View]) -> None:
    config = replace(ReconstructionConfig(), quality=replace(ReconstructionConfig().quality, max_hidden_share=0.05))
    quality = reconstruct(covered_views(whole, 0, 3), replace(FROM_MASKS, config=config)).quality
    assert quality.low and any("of the silhouettes are hidden by other things" in reason for reason in quality.reasons)


def test_the_network_sees_the_objects_own_colours_where_it_is_hidden(whole: list[View]) -> None:
    covered = covered_views(whole, 0)
    view = with_amodal_masks(covered, hull_of(covered), 0.0)[0]
    assert view.mask is not None and view.hidden is not None
    assert greens(view.image[view.mask]) > 0
    assert greens(uncovered_image(view, 2)[view.mask]) == 0
    crops = make_crops([view], fit(*hull_of(whole).bounds()), 64, 1.1)
    assert not (crops.rgb[0, 0, 1] > crops.rgb[0, 0, 0] + 0.25).any()
    known = known_pixels([view, whole[1]], 64, 1.1)
    assert 0.1 < float((known[0] < 0.5).float().mean()) < 0.5
    assert torch.equal(known[1], torch.ones(64, 64))


def test_depth_of_what_covers_it_is_not_the_objects(whole: list[View]) -> None:
    covered = covered_views(whole, 0)
    completed = with_amodal_masks(covered, hull_of(covered), 0.0)
    found = measured_depths(completed, hull_of(whole), 0.0)[0]
    true = measured_depths(whole, hull_of(whole), 0.0)[0]
    assert found is not None and true is not None
    assert float(found.front[found.front.isfinite()].min()) > float(true.front[true.front.isfinite()].min()) - 2e-3


# Outlines


def test_an_outline_beside_what_covers_it_is_not_the_objects_own(whole: list[View]) -> None:
    covered = covered_views(whole, 0, 3)
    config = ReconstructionConfig().poses
    missed = [
        outline_residuals(views, [visible(v) for v in views], config).root_mean_square
        for views in (whole, covered, without_hidden(covered))
    ]
    assert missed[1] == pytest.approx(missed[0], abs=0.2)
    assert missed[2] > missed[0] + 0.5


def test_an_outline_beside_what_covers_it_needs_no_change_of_colour(whole: list[View]) -> None:
    covered = covered_views(whole, *range(6))
    alike = [replace(view, image=seen.image) for view, seen in zip(covered, whole, strict=True)]
    assert unsupported_outline(alike) < unsupported_outline(whole) + 0.02
    assert unsupported_outline(without_hidden(alike)) > unsupported_outline(whole) + 0.1


# What stays as it is


def test_the_order_of_views_changes_nothing(whole: list[View]) -> None:
    covered = covered_views(whole, 0, 3)
    first, second = hull_of(covered), hull_of(covered[::-1])
    np.testing.assert_allclose(first.sample(SURFACE), second.sample(SURFACE), atol=0.1 * first.voxel)
    assert first.volume() == pytest.approx(second.volume(), rel=2e-3)


def test_where_nothing_is_hidden_nothing_changes(whole: list[View]) -> None:
    nothing = [replace(view, hidden=np.zeros_like(view.mask, bool)) for view in whole]
    np.testing.assert_allclose(hull_of(whole).values, hull_of(nothing).values, atol=1e-7)
    first, second = reconstruct(whole, FROM_MASKS), reconstruct(nothing, FROM_MASKS)
    np.testing.assert_allclose(first.mesh.vertices, second.mesh.vertices, atol=1e-6)  # decimation has threads
    assert first.quality.silhouette_iou == pytest.approx(second.quality.silhouette_iou, abs=1e-6)
    assert first.quality.coverage == pytest.approx(second.quality.coverage, abs=1e-6)
