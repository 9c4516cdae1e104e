"""A shape that is `low` by its expected error says what raises that error, and what to do against it."""

from __future__ import annotations

from mvgamba_ros.config.expected_chamfer_config import ExpectedChamferConfig
from mvgamba_ros.surface.expected_chamfer import COLUMNS, chamfer_reason

USUAL = dict(zip(COLUMNS, ExpectedChamferConfig().usual, strict=True))


def test_where_little_was_seen_more_views_are_the_remedy_and_poses_are_not_blamed() -> None:
    reason = chamfer_reason({**USUAL, "vertices": USUAL["vertices"] + 1.5}, 3.0)
    assert "by what they rest on" in reason
    assert reason.endswith("add views, from heights and sides that have none yet, or depth")
    assert "poses" not in reason


def test_where_the_pictures_contradict_the_shape_poses_are_to_be_checked() -> None:
    reason = chamfer_reason({**USUAL, "photo": USUAL["photo"] + 2.0, "vertices": USUAL["vertices"] + 0.1}, 3.0)
    assert reason.index("apart between views") < reason.index("by what they rest on")
    assert "check poses, intrinsics and masks" in reason
