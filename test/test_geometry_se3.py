"""Rigid transforms and quaternions obey their axioms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry import se3

number = st.floats(-1.0, 1.0)
quaternions = (
    st.tuples(number, number, number, number)
    .filter(lambda q: np.linalg.norm(q) > 1e-2)
    .map(lambda q: np.array(q) / np.linalg.norm(q))
)
vectors = st.tuples(*[st.floats(-10.0, 10.0)] * 3).map(np.array)


def pose(q: np.ndarray, t: np.ndarray) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = se3.quat_to_matrix(q)
    T[:3, 3] = t
    return T


poses = st.builds(pose, quaternions, vectors)


def multiply(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Hamilton's product, wxyz."""
    w = p[0] * q[0] - p[1:] @ q[1:]
    return np.concatenate([[w], p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:])])


@given(poses)
def test_a_pose_times_its_inverse_is_the_identity(T):
    np.testing.assert_allclose(T @ se3.inverse(T), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(se3.inverse(se3.inverse(T)), T, atol=1e-12)


@given(poses, poses, vectors)
def test_transforms_compose_like_matrices(A, B, p):
    np.testing.assert_allclose(se3.transform(A @ B, p), se3.transform(A, se3.transform(B, p)), atol=1e-10)


@given(poses, vectors, vectors)
def test_transforms_keep_distances(T, p, q):
    moved = np.linalg.norm(se3.transform(T, p) - se3.transform(T, q))
    assert moved == pytest.approx(np.linalg.norm(p - q), abs=1e-9)


@given(quaternions)
def test_a_quaternion_and_its_negative_are_one_rotation_and_come_back(q):
    R = se3.quat_to_matrix(q)
    np.testing.assert_allclose(R, se3.quat_to_matrix(-q), atol=1e-12)
    back = se3.matrix_to_quat(R)
    assert back[0] >= -1e-12
    assert abs(back @ q) == pytest.approx(1.0, abs=1e-9)


@given(poses)
def test_a_pose_is_its_rotation_and_its_translation(T):
    np.testing.assert_array_equal(se3.rigid(T[:3, :3], T[:3, 3]), T)


@given(quaternions)
def test_quaternions_and_matrices_are_those_of_scipy(q):
    theirs = Rotation.from_quat(q, scalar_first=True)
    np.testing.assert_allclose(se3.quat_to_matrix(q), theirs.as_matrix(), atol=1e-12)
    ours, same = se3.matrix_to_quat(theirs.as_matrix()), theirs.as_quat(scalar_first=True)
    np.testing.assert_allclose(ours * np.sign(ours @ same), same, atol=1e-12)


@given(quaternions, quaternions)
def test_the_product_of_quaternions_is_the_product_of_rotations(p, q):
    product = se3.quat_to_matrix(p) @ se3.quat_to_matrix(q)
    np.testing.assert_allclose(se3.quat_to_matrix(multiply(p, q)), product, atol=1e-12)


@given(quaternions)
def test_wxyz_to_xyzw_and_back_is_nothing_and_w_goes_last(q):
    np.testing.assert_array_equal(se3.xyzw_to_wxyz(se3.wxyz_to_xyzw(q)), q)
    assert se3.wxyz_to_xyzw(q)[3] == q[0]


def test_a_quarter_turn_about_z_takes_x_to_y():
    R = se3.quat_to_matrix(np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]))
    np.testing.assert_allclose(R @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


def test_batches_of_quaternions_are_turned_one_by_one():
    q = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
    np.testing.assert_allclose(se3.quat_to_matrix(q)[1], np.diag([-1.0, -1.0, 1.0]), atol=1e-12)
    assert se3.matrix_to_quat(se3.quat_to_matrix(q)).shape == (2, 4)


@given(poses, poses, st.floats(0.0, 1.0))
def test_interpolation_is_rigid_and_meets_both_ends(A, B, s):
    se3.check_rigid(se3.interpolate(A, B, s))
    np.testing.assert_allclose(se3.interpolate(A, B, 0.0), A, atol=1e-9)
    np.testing.assert_allclose(se3.interpolate(A, B, 1.0), B, atol=1e-9)


def test_half_way_turns_by_half_the_angle():
    A, B = np.eye(4), pose(np.array([np.cos(0.4), 0.0, np.sin(0.4), 0.0]), np.array([2.0, 0.0, 0.0]))
    middle = se3.interpolate(A, B, 0.5)
    np.testing.assert_allclose(middle[:3, :3], se3.quat_to_matrix(np.array([np.cos(0.2), 0.0, np.sin(0.2), 0.0])))
    np.testing.assert_allclose(middle[:3, 3], [1.0, 0.0, 0.0])


@given(vectors, vectors)
def test_a_camera_looks_at_its_target_with_the_sky_up(eye, target):
    if np.linalg.norm(target - eye) < 1e-3:
        return
    T = se3.look_at(eye, target)
    se3.check_rigid(T)
    in_camera = se3.transform(se3.inverse(T), target)
    np.testing.assert_allclose(in_camera[:2], 0.0, atol=1e-9)
    assert in_camera[2] > 0.0
    assert T[2, 1] <= 1e-9  # the image's y axis points down


@pytest.mark.parametrize(
    "T, word",
    [
        (np.eye(3), "4x4"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.diag([2.0, 2.0, 2.0, 1.0]), "scale"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "mirror"),
        (np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "shear"),
        (np.diag([1.0, 1.0, 1.0, 2.0]), "last row"),
    ],
)
def test_what_is_not_rigid_is_refused_by_name(T, word):
    with pytest.raises(ReconstructionError, match=word) as error:
        se3.check_rigid(T, "view 3")
    assert error.value.code == ErrorCode.BAD_POSE
    assert "view 3" in error.value.message


def test_rounded_rotations_are_made_orthonormal():
    T = pose(np.array([0.9, 0.1, 0.3, 0.3]), np.array([1.0, 2.0, 3.0]))
    R = se3.check_rigid(T.round(4))[:3, :3]
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-14)


@pytest.mark.parametrize("q", [np.zeros(4), np.array([np.nan, 0.0, 0.0, 1.0])])
def test_a_quaternion_without_direction_is_refused(q):
    with pytest.raises(ReconstructionError) as error:
        se3.quat_to_matrix(q)
    assert error.value.code == ErrorCode.BAD_POSE
