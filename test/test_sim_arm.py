"""The simulated arm against what physics, geometry and its own camera say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from transforms3d.euler import euler2mat

pytest.importorskip("mvgamba_ros.sim.engine")

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.sim.description import fixed_links, robot_description
from mvgamba_ros.sim.kinematics import pose_error
from mvgamba_ros.sim.robot_arm import MAX_JOINT_SPEED, OPTICAL_FRAME, ROOT_FRAME, SimulatedArm
from mvgamba_ros.sim.views import orbit, plan_views
from mvgamba_ros.sim.wrist_camera import WristCamera
from mvgamba_ros.types import F64, Camera, Mesh, View

TARGET = np.array([0.45, 0.0, 0.06])
TICK = 0.02


@dataclass
class Tour:
    """What happened on the way through six views."""

    arm: SimulatedArm
    asked: list[F64]
    reached: list[F64]
    views: list[View]
    joints: F64
    """(T, 7) positions at every tick."""
    truth_before: Mesh


@pytest.fixture(scope="module")
def tour() -> Iterator[Tour]:
    arm = SimulatedArm()
    truth = arm.object_mesh()
    asked = plan_views(arm.kinematics, TARGET, 6, arm.joint_positions)
    camera = WristCamera(arm)
    reached, views, joints = [], [], [arm.joint_positions]
    for pose in asked:
        arm.move_camera(pose)
        while arm.moving:
            arm.advance(TICK)
            joints.append(arm.joint_positions)
            assert len(joints) * TICK < 60.0, "the arm does not arrive"
        reached.append(arm.T_base_camera)
        views.append(camera.view(depth=True, mask=True))
    camera.close()
    yield Tour(arm, asked, reached, views, np.array(joints), truth)


def test_the_camera_stands_within_2_mm_and_half_a_degree_of_each_view_it_was_sent_to(tour):
    for asked, reached in zip(tour.asked, tour.reached, strict=True):
        error = pose_error(reached, asked)
        assert np.linalg.norm(error[:3]) < 2e-3
        assert np.degrees(np.linalg.norm(error[3:])) < 0.5


def test_the_views_look_at_the_target_from_30_to_65_degrees_and_from_all_around(tour):
    away = np.array([T[:3, 3] - TARGET for T in tour.asked])
    elevation = np.degrees(np.arcsin(away[:, 2] / np.linalg.norm(away, axis=1)))
    assert ((elevation > 29.9) & (elevation < 65.1)).all()
    azimuth = np.sort(np.degrees(np.arctan2(away[:, 1], away[:, 0])))
    assert np.diff([*azimuth, azimuth[0] + 360.0]).max() < 105.0
    for T in tour.asked:
        np.testing.assert_allclose(transform(inverse(T), TARGET)[:2], 0.0, atol=1e-9)


def test_joints_move_through_every_posture_on_the_way_no_faster_than_their_limit(tour):
    speed = np.abs(np.diff(tour.joints, axis=0)) / TICK
    assert 0.5 < speed.max() < 1.05 * MAX_JOINT_SPEED


def test_the_object_stays_at_rest_while_the_arm_looks_at_it(tour):
    moved = np.linalg.norm(tour.arm.object_mesh().vertices - tour.truth_before.vertices, axis=1)
    assert moved.max() < 2e-4
    assert tour.arm.object_speed < 1e-3
    assert abs(tour.truth_before.vertices[:, 2].min()) < 1e-3  # it stands on the table


def test_the_seen_silhouette_is_the_true_mesh_seen_through_pose_and_intrinsics(tour):
    caster = Raycaster(tour.truth_before)
    for view in tour.views:
        cast = caster.render(view.camera, view.T_world_camera).mask
        iou = (cast & view.mask).sum() / (cast | view.mask).sum()
        assert iou > 0.99


def test_a_shift_of_half_a_pixel_would_be_noticed(tour):
    """The measure above is sharp enough to hold the pixel-centre convention: the best shift of the cast silhouette
    against the rendered one is zero."""
    caster = Raycaster(tour.truth_before)
    best = []
    for view in tour.views[:2]:
        scores = {}
        for shift in ((0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5)):
            K = view.camera.K.copy()
            K[:2, 2] += shift
            cast = caster.render(Camera(K, view.camera.width, view.camera.height), view.T_world_camera).mask
            scores[shift] = (cast & view.mask).sum() / (cast | view.mask).sum()
        best.append(max(scores, key=lambda shift: scores[shift]))
    assert best == [(0.0, 0.0)] * 2


def test_depth_is_the_distance_along_the_optical_axis_that_a_cast_ray_finds(tour):
    caster = Raycaster(tour.truth_before)
    for view in tour.views:
        cast = caster.render(view.camera, view.T_world_camera)
        both = cast.mask & view.mask
        error = np.abs(cast.depth - view.depth)[both]
        assert np.median(error) < 2e-4
        assert (error < 2e-3).mean() > 0.98


def test_the_chain_of_links_leads_from_the_base_to_the_camera(tour):
    parents = {child: (parent, T) for parent, child, T, _ in tour.arm.links()}
    frame, T = OPTICAL_FRAME, np.eye(4)
    joints = 0
    moving = {child for _, child, _, fixed in tour.arm.links() if not fixed}
    while frame != ROOT_FRAME:
        joints += frame in moving
        frame, T_parent = parents[frame][0], parents[frame][1]
        T = T_parent @ T
    np.testing.assert_allclose(T, tour.arm.T_base_camera, atol=1e-9)
    assert joints == 7


def test_a_pose_out_of_reach_is_refused_and_the_arm_stays(tour):
    before = tour.arm.joint_positions
    for pose in (orbit(np.array([2.0, 0.0, 0.0]), 180.0, 45.0, 0.3), orbit(TARGET, 180.0, 45.0, 0.05)):
        with pytest.raises(ReconstructionError, match="cannot reach") as caught:
            tour.arm.move_camera(pose)
        assert caught.value.code is ErrorCode.BAD_POSE
    tour.arm.advance(0.2)
    np.testing.assert_allclose(tour.arm.joint_positions, before, atol=1e-3)


def test_a_stopped_arm_brakes_and_does_not_go_on(tour):
    arm = SimulatedArm()
    arm.move_camera(tour.asked[0])
    arm.advance(0.4)
    assert np.abs(arm.joint_velocities).max() > 0.05
    arm.stop()
    arm.advance(1.0)
    stands = arm.joint_positions
    arm.advance(1.0)
    assert not arm.moving
    np.testing.assert_allclose(arm.joint_positions, stands, atol=1e-3)


def test_views_that_cannot_be_reached_are_an_error_that_says_which(tour):
    with pytest.raises(ReconstructionError, match="view 1 of 4"):
        plan_views(tour.arm.kinematics, np.array([1.5, 0.0, 0.0]), 4, tour.arm.joint_positions)


def test_the_links_that_rviz_draws_lie_where_tf_has_them(tour):
    description = robot_description()
    files = re.findall(r'filename="file://([^"]+)"', description)
    assert len(files) == 22 and all(Path(file).is_file() for file in files)
    placed: dict[str, F64] = {ROOT_FRAME: np.eye(4)}
    for parent, child, T, _ in tour.arm.links():
        placed[child] = placed[parent] @ T
    for parent, child, T in fixed_links(description):
        assert child not in placed
        placed[child] = placed[parent] @ T
    drawn = set(re.findall(r'<link name="([^"]+)"', description))
    assert drawn <= set(placed)
    for joint in ElementTree.fromstring(description).iter("joint"):
        if joint.get("type") == "revolute":  # turned about the z axis that both have
            parent, child, origin = joint.find("parent"), joint.find("child"), joint.find("origin")
            xyz, rpy = (np.array(origin.get(name).split(), float) for name in ("xyz", "rpy"))
            T = inverse(placed[parent.get("link")]) @ placed[child.get("link")]
            np.testing.assert_allclose(T[:3, 3], xyz, atol=1e-3)
            np.testing.assert_allclose(T[:3, 2], euler2mat(*rpy, axes="sxyz")[:, 2], atol=1e-3)
    hand = inverse(placed["panda_hand"])
    for finger in ("panda_leftfinger", "panda_rightfinger"):
        T = hand @ placed[finger]
        np.testing.assert_allclose(T[:3, :3], np.eye(3), atol=2e-3)
        np.testing.assert_allclose(np.abs(T[:3, 3]), [0.0, 0.04, 0.0584], atol=8e-3)
