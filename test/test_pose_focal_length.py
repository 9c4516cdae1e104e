"""A wrong focal length shows on the support plane, also where its height is free and poses are corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros import Options, Prompts, reconstruct
from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.pose_refinement.focal_length import focal_doubt
from mvgamba_ros.types import View

CONFIG = PoseRefinementConfig()


def scaled(views: Sequence[View], factor: float) -> list[View]:
    size = np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
    return [replace(view, camera=replace(view.camera, K=view.camera.K * size)) for view in views]


def doubt(views: Sequence[View], height: float | None, given: bool) -> list[str]:
    masks = [view.mask for view in views if view.mask is not None]
    poses = np.stack([view.T_world_camera for view in views])
    return focal_doubt(views, masks, poses, rendered.CENTER, height, given, CONFIG)


@pytest.mark.parametrize(("factor", "height"), [(0.8, -0.006), (1.25, 0.008)])
def test_a_focal_length_that_is_a_fifth_off_is_named_with_the_right_one(factor: float, height: float) -> None:
    (reason,) = doubt(scaled(rendered.views(4), factor), height, given=False)
    found, given = (float(word) for word in reason.replace("(", "").split() if word.isdigit())
    assert given == round(420 * factor) and abs(found / 420 - 1) < 0.1 and "intrinsics" in reason


def test_the_right_focal_length_is_not_doubted_nor_one_on_a_plane_that_is_not_known() -> None:
    views = rendered.views(4)
    assert not doubt(views, 0.0, given=True) and not doubt(views, 0.003, given=False)
    assert not doubt(scaled(views, 0.8), None, given=False)


def test_the_shape_has_its_size_with_a_focal_length_that_is_off() -> None:
    views = [replace(view, depth=None) for view in rendered.views(4)]
    options = Options(method="hull", hull_resolution=48, use_masks=True, prompts=Prompts(support_height=0.0))
    longer = scaled(views, 1.06)
    right, corrected = reconstruct(views, options), reconstruct(longer, options)
    as_given = reconstruct(longer, replace(options, refine_poses="off"))
    size = np.array(right.box.size)
    assert np.abs(np.array(corrected.box.size) - size).max() < 0.001 < np.abs(np.array(as_given.box.size) - size).max()
    assert any("focal length is 5." in note or "focal length is 6." in note for note in corrected.notes)
