"""What `~/suggest_views` knows of the object, and from what: without a node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rendered
from ros_messages import parameters, pose

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.view_buffer import CapturedView, poses_of
from mvgamba_ros.ros.view_suggestions import suggest
from mvgamba_ros.types import View

pytestmark = pytest.mark.ros

CENTER = rendered.CENTER
FRONT = [[0.9, -0.45, 0.5], [0.9, 0.0, 0.4], [0.9, 0.45, 0.5]]


@pytest.fixture(scope="module")
def captured() -> list[CapturedView]:
    return [CapturedView(rendered.render(look_at(CENTER + 0.4 * np.array(d), CENTER)), 0) for d in FRONT]


@pytest.fixture(scope="module")
def result(captured: list[CapturedView]) -> Reconstruction:
    views = [c.view for c in captured]
    return reconstruct(views, Options(method="hull", use_masks=True, refine_poses="off"))


def suggested(captured: list[CapturedView], last: Any = None, **changes: Any) -> Any:
    defaults = {"suggest_radius_m": [], "suggest_elevation_deg": [15.0, 75.0], "min_view_distance_m": 0.01}
    return suggest(captured, last, parameters(**(defaults | changes)), 5)


def refused(code: ErrorCode, words: str, *arguments: Any, **changes: Any) -> None:
    with pytest.raises(ReconstructionError) as caught:
        suggested(*arguments, **changes)
    assert caught.value.code is code and words in caught.value.message


def distances(found: Any, centre: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found.T_world_camera[:, :3, 3] - centre, axis=1)


def test_without_a_reconstruction_the_object_is_where_views_meet_or_in_the_region_or_on_the_table(
    captured: list[CapturedView],
) -> None:
    found = suggested(captured)
    centre = np.linalg.norm(poses_of(captured)[:, :3, 3] - CENTER, axis=1)
    np.testing.assert_allclose(distances(found, CENTER), np.median(centre), atol=1e-6)
    region = suggested(captured[:1], roi_m=[0.4, 0.0, 0.05, 0.1, 0.1, 0.1])
    assert np.ptp(distances(region, np.array([0.4, 0.0, 0.05]))) < 1e-9
    T = captured[0].view.T_world_camera
    meeting = T[:3, 3] - T[2, 3] / T[2, 2] * T[:3, 2]
    table = suggested(captured[:1], support_height_m=0.0)
    assert np.ptp(distances(table, meeting)) < 1e-9 and (table.T_world_camera[:, 2, 3] > 0).all()
    refused(ErrorCode.TOO_FEW_VIEWS, "no view is held", [])
    refused(ErrorCode.TOO_FEW_VIEWS, "set roi_m or support_height_m", captured[:1])


def test_with_a_reconstruction_of_views_held_its_box_is_the_place_and_its_surface_the_gain(
    captured: list[CapturedView], result: Reconstruction
) -> None:
    views = [c.view for c in captured]
    found = suggested(captured, (result, views))
    assert np.ptp(distances(found, result.box.T_world_box[:3, 3])) < 1e-9
    assert found.T_world_camera[0, 0, 3] < CENTER[0]
    # of views that were cleared since it tells nothing
    others = [CapturedView(replace(view, image=view.image.copy()), 0) for view in views]
    np.testing.assert_allclose(
        suggested(others, (result, views)).T_world_camera, suggested(captured).T_world_camera, atol=1e-9
    )
    # nor without expected errors
    bare = replace(result, cloud=replace(result.cloud, expected_error_mm=None))
    np.testing.assert_allclose(
        suggested(captured, (bare, views)).T_world_camera, suggested(captured).T_world_camera, atol=1e-9
    )


def test_a_result_in_another_frame_suggests_the_same(captured: list[CapturedView], result: Reconstruction) -> None:
    T = pose(0.4, 1.0)
    moved = [replace(c.view, T_world_camera=T @ c.view.T_world_camera) for c in captured]
    elsewhere = reconstruct(moved, Options(method="hull", use_masks=True, refine_poses="off"))
    here = suggested(captured, (result, [c.view for c in captured]))
    there = suggested(captured, (elsewhere, moved))
    # its grid lies otherwise, so the shape differs by parts of a millimetre
    assert np.linalg.norm(here.T_world_camera[0, :3, 3] - there.T_world_camera[0, :3, 3]) < 0.1
    assert there.gains[0] == pytest.approx(here.gains[0], abs=0.05)


def test_distance_and_elevation_keep_to_the_parameters(captured: list[CapturedView], result: Reconstruction) -> None:
    last = (result, [c.view for c in captured])
    found = suggested(captured, last, suggest_radius_m=[0.5, 0.6], suggest_elevation_deg=[40.0, 50.0])
    centre = result.box.T_world_box[:3, 3]
    np.testing.assert_allclose(distances(found, centre), 0.5, atol=1e-9)
    elevation = np.degrees(np.arcsin((found.T_world_camera[:, 2, 3] - centre[2]) / 0.5))
    assert elevation.min() >= 40.0 and elevation.max() <= 50.0
    refused(ErrorCode.NO_ESTIMATE, "widen suggest_elevation_deg", captured, last, suggest_elevation_deg=[90.0, 90.0])


def test_a_near_camera_stands_off_until_the_object_fits_the_picture(
    captured: list[CapturedView], result: Reconstruction
) -> None:
    def closer(view: View) -> View:
        T = view.T_world_camera.copy()
        T[:3, 3] = CENTER + 0.3 * (T[:3, 3] - CENTER)
        return replace(view, T_world_camera=T)

    near = [CapturedView(closer(c.view), 0) for c in captured]
    centre = result.box.T_world_box[:3, 3]
    assert distances(suggested(near, (result, [c.view for c in near])), centre)[0] > 0.2


def test_where_every_direction_is_covered_a_reconstruction_is_due(captured: list[CapturedView]) -> None:
    around = [CapturedView(View(c.view.image, c.view.camera, T), 0) for T in rendered.orbit(10) for c in captured[:1]]
    refused(ErrorCode.NO_ESTIMATE, "call ~/reconstruct first", around)
