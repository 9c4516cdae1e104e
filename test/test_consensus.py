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
