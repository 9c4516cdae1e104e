"""Depth that contradicts the poses is set aside by name before it spoils anything; depth that fits is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros.geometry.depth_agreement import without_wrong_depth
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import F32, Prompts, View


def with_depths(views: list[View], change: Callable[[F32, View], F32]) -> list[View]:
    changed = []
    for view in views:
        assert view.depth is not None
        changed.append(replace(view, depth=change(view.depth, view).astype(np.float32)))
    return changed


def test_depth_that_fits_is_kept_with_a_robots_pose_errors_too() -> None:
    generator = np.random.default_rng(0)
    for error in (0.0, 0.005):
        views = [
            replace(view, T_world_camera=view.T_world_camera @ rigid(np.eye(3), generator.normal(0, error, 3)))
            for view in rendered.views(4)
        ]
        kept, notes = without_wrong_depth(views, None)
        assert not notes and all(view.depth is not None for view in kept)


@pytest.mark.parametrize("scale", [1.5, 0.7, 0.3])
def test_depth_of_another_scale_is_set_aside_and_its_ratio_named(scale: float) -> None:
    kept, notes = without_wrong_depth(with_depths(rendered.views(4), lambda depth, _: scale * depth), None)
    assert all(view.depth is None for view in kept)
    (note,) = notes
    assert "set aside" in note and "check its unit" in note
    assert float(note.split()[2]) == pytest.approx(scale, rel=0.02)


def test_depth_of_another_scale_gives_the_shape_of_colour_alone() -> None:
    options = Options(method="hull", hull_resolution=48, cloud_points=1000, prompts=Prompts(support_height=0.0))
    views = rendered.views(4)
    wrong = reconstruct(with_depths(views, lambda depth, _: 1.5 * depth), options)
    alone = reconstruct([replace(view, depth=None) for view in views], options)
    np.testing.assert_array_equal(wrong.mesh.vertices, alone.mesh.vertices)
    assert any("depth is 1.5 times what the poses give" in note for note in wrong.notes)
    assert wrong.quality.low == alone.quality.low and np.isnan(wrong.quality.depth_residual_mm)


def test_one_view_is_compared_with_the_plane() -> None:
    (view,) = with_depths(rendered.views(1), lambda depth, _: 1000.0 * depth)
    (kept,), (note,) = without_wrong_depth([view], 0.0)
    assert kept.depth is None and "support height of 0 m" in note and "depth is 1000 times" in note
    assert without_wrong_depth([view], None)[0][0].depth is not None  # nothing to compare with
    assert not without_wrong_depth(rendered.views(1), 0.0)[1]


def test_one_views_wrong_depth_leaves_the_others_theirs() -> None:
    views = rendered.views(4)
    views[1] = replace(with_depths(views[1:2], lambda depth, _: 1.4 * depth)[0], name="left")
    kept, (note,) = without_wrong_depth(views, None)
    assert [view.depth is None for view in kept] == [False, True, False, False]
    assert note.startswith("left: at most")


def test_an_objects_depth_alone_has_little_in_common_and_is_kept() -> None:
    alone = with_depths(rendered.views(4), lambda depth, view: np.where(view.mask, depth, 0.0))
    assert all(view.depth is not None for view in without_wrong_depth(alone, None)[0])


def test_views_without_depth_stay_what_they_are() -> None:
    views = [replace(view, depth=None) for view in rendered.views(3)]
    kept, notes = without_wrong_depth(views, 0.0)
    assert not notes and all(a is b for a, b in zip(kept, views, strict=True))
