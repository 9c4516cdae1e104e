"""A view that all others contradict is named and left out; the rest goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rendered
from scipy.spatial.transform import Rotation

from mvgamba_ros import Options, Prompts, observation, reconstruct
from mvgamba_ros.consensus import check_poses
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.observation import segment
from mvgamba_ros.pose_refinement.odd_view import outline_residuals
from mvgamba_ros.pose_refinement.plane_search import refine_on_a_hidden_plane
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.types import F64, View

HULL = Options(
    method="hull",
    segmenter="masks",
    prompts=Prompts(support_height=0.0),
    hull_resolution=64,
    cloud_points=4000,
    max_faces=2000,
    refine=False,
)
FAR_OFF: F64 = rigid(Rotation.from_euler("x", 15, degrees=True).as_matrix(), np.array([0.05, 0.04, 0.0]))


def on_a_plain_table(count: int) -> list[View]:
    """Views that only their silhouettes can compare, by their names."""
    views = []
    for v, view in enumerate(rendered.views(count)):
        assert view.mask is not None
        plain = np.where(view.mask[..., None], view.image, np.uint8(150))
        views.append(replace(view, image=plain, depth=None, name=f"picture {v}"))
    return views


def with_a_wrong_pose(views: Sequence[View], *wrong: int) -> list[View]:
    return [
        replace(view, T_world_camera=view.T_world_camera @ FAR_OFF) if v in wrong else view
        for v, view in enumerate(views)
    ]


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_wrong_pose_among_four_is_left_out_by_name_on_a_table_without_texture(wrong: int) -> None:
    views = with_a_wrong_pose(on_a_plain_table(4), wrong)
    found = reconstruct(views, HULL)
    assert found.poses is not None and found.poses.left_out == (wrong,)
    (note,) = [note for note in found.notes if "left out" in note]
    assert note.startswith(f"picture {wrong} left out") and "pose" in note and "mask" in note
    np.testing.assert_allclose(np.sort(found.box.size), np.sort(rendered.SIZE), atol=0.012)
    assert not any("outlines miss" in reason for reason in found.quality.reasons)


def test_a_mask_that_shows_the_gripper_too_is_left_out() -> None:
    views = on_a_plain_table(5)
    mask = np.array(views[3].mask)
    mask[:80, :60] = True
    views[3] = replace(views[3], mask=mask)
    found = reconstruct(views, HULL)
    assert found.poses is not None and found.poses.left_out == (3,) and len(found.masks) == 5
    assert len(found.poses.view_mm) == len(found.poses.view_deg) == 5


def test_pixel_boxes_and_one_wrong_pose_do_not_blame_a_good_view() -> None:
    views = with_a_wrong_pose(on_a_plain_table(4), 1)
    boxes = {}
    for v, view in enumerate(views):
        assert view.mask is not None
        rows, columns = np.nonzero(view.mask)
        boxes[v] = (columns.min() - 4.0, rows.min() - 4.0, columns.max() + 5.0, rows.max() + 5.0)
    views = [replace(view, mask=None) for view in views]
    found = reconstruct(
        views, replace(HULL, segmenter="classical", prompts=Prompts(pixel_boxes=boxes, support_height=0.0))
    )
    assert found.poses is not None and found.poses.left_out == (1,)
    np.testing.assert_allclose(np.sort(found.box.size), np.sort(rendered.SIZE), atol=0.012)


def test_where_two_views_contradict_two_none_is_left_out() -> None:
    found = reconstruct(with_a_wrong_pose(on_a_plain_table(4), 1, 2), HULL)
    assert found.quality.low and found.poses is not None and not found.poses.left_out


def test_too_few_views_that_are_left_are_refused() -> None:
    views = with_a_wrong_pose(on_a_plain_table(4), 2)
    with pytest.raises(ReconstructionError, match=r"3 view.*of 4.*min_views.*picture 2 left out") as error:
        reconstruct(views, replace(HULL, min_views=4))
    assert error.value.code == ErrorCode.TOO_FEW_VIEWS


def test_many_views_that_cannot_be_segmented_together_are_tried_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of fourteen are wrong, in two of three groups."""
    views, tries = on_a_plain_table(14), []
    truth = {view.name: view.mask for view in views}

    def run(options: Options, some: Sequence[View], *args: Any) -> Silhouettes:
        tries.append(len(some))
        for view in some:
            if view.name in ("picture 3", "picture 7"):
                raise ReconstructionError(ErrorCode.SILHOUETTES_DISAGREE, "picture 0 is not explained")
        return Silhouettes([truth[view.name] for view in some])  # type: ignore[misc]

    monkeypatch.setattr(observation, "run_segmenter", run)
    options = replace(HULL, segmenter="classical")
    bare = [replace(view, mask=None) for view in views]
    nothing = lambda stage, fraction: None  # noqa: E731
    found = check_poses(segment(bare, options, nothing, lambda: False), options, nothing, lambda: False)
    assert found.kept == [v for v in range(14) if v not in (3, 7)]
    assert [view.name for view in found.views] == [f"picture {v}" for v in found.kept]
    assert "picture 3, picture 7 left out" in found.notes[-1] and "picture 0 is not explained" in found.notes[-1]
    assert len(found.masks) == 14 and not found.masks[3].any()
    assert sum(tries) < 14 + 14 + 2 * 5 * 4 + 12 + 1


def test_a_large_hand_eye_error_is_corrected_on_a_table_of_unknown_height() -> None:
    """Without silhouettes, as where segmentation fails under such poses; these then agree."""
    error = rigid(Rotation.from_euler("x", 3, degrees=True).as_matrix(), np.array([0.02, 0.01, 0.0]))
    views = [replace(view, T_world_camera=view.T_world_camera @ error) for view in rendered.views(4)]
    masks = [view.mask for view in views if view.mask is not None]
    config = Options().config.poses
    assert outline_residuals(views, masks, config).root_mean_square > 3.0
    found = refine_on_a_hidden_plane(views, rendered.CENTER, config)
    assert found is not None and found.correction.hand_eye_sigma_deg < 2.0
    views = [replace(view, T_world_camera=T) for view, T in zip(views, found.T_world_camera, strict=True)]
    assert outline_residuals(views, masks, config).root_mean_square < 1.0
    plain = [replace(view, image=np.full_like(view.image, 150)) for view in views]
    assert refine_on_a_hidden_plane(plain, rendered.CENTER, config) is None


def test_the_hidden_plane_is_sought_where_segmentation_fails_and_its_poses_taken_where_outlines_meet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = rigid(Rotation.from_euler("x", 5, degrees=True).as_matrix(), np.array([0.02, 0.01, 0.0]))
    views = [replace(v, T_world_camera=v.T_world_camera @ error, depth=None) for v in rendered.views(4)]
    truth = {view.image.tobytes(): view.mask for view in views}
    poses = {view.image.tobytes(): view.T_world_camera for view in views}

    def run(options: Options, some: Sequence[View], *args: Any) -> Silhouettes:
        if any(np.array_equal(view.T_world_camera, poses[view.image.tobytes()]) for view in some):
            raise ReconstructionError(ErrorCode.SILHOUETTES_DISAGREE, "not under these poses")
        return Silhouettes([truth[view.image.tobytes()] for view in some])  # type: ignore[misc]

    monkeypatch.setattr(observation, "run_segmenter", run)
    monkeypatch.setattr(observation, "estimate_support_height", lambda *args: (None, 0.0))
    bare = [replace(view, mask=None) for view in views]
    options = replace(HULL, segmenter="classical", prompts=Prompts())
    found = reconstruct(bare, options)
    assert found.poses is not None and not found.poses.left_out
    assert any("hand-eye calibration is" in note for note in found.notes)
    np.testing.assert_allclose(np.sort(found.box.size)[:2], np.sort(rendered.SIZE)[:2], atol=0.012)


def test_a_region_that_was_guessed_is_known_to_what_judges_the_outlines() -> None:
    bare = [replace(view, mask=None, depth=None) for view in rendered.views(4)]
    found = segment(bare, replace(HULL, segmenter="classical"), lambda stage, fraction: None, lambda: False)
    assert found.region is not None and (found.region.size > rendered.SIZE).all()
