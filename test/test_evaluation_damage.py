"""Faults of robots and cameras do to views what they are named after, and nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from rendered import views as rendered_views

from mvgamba_ros.evaluation import damage
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.types import F64, View

VIEWS = rendered_views(4)


def damaged(fault: damage.Fault, views: Sequence[View] = VIEWS) -> list[View]:
    return fault(views, np.random.default_rng(3))


def motions(views: Sequence[View]) -> list[F64]:
    """What each camera's pose was moved by, in its own frame."""
    return [inverse(a.T_world_camera) @ b.T_world_camera for a, b in zip(VIEWS, views, strict=True)]


def millimetres(T: F64) -> float:
    return float(np.linalg.norm(T[:3, 3])) * 1e3


def degrees(T: F64) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(T[:3, :3]) - 1) / 2, -1, 1))))


def test_a_hand_eye_error_is_the_same_motion_in_every_cameras_frame_and_as_large_as_stated() -> None:
    first, *others = motions(damaged(damage.hand_eye_error(5, 0.5)))
    assert all(np.allclose(first, other, atol=1e-12) for other in others)
    assert millimetres(first) == pytest.approx(5)
    assert degrees(first) == pytest.approx(0.5, rel=1e-6)


def test_pose_noise_is_each_views_own_and_of_the_sigma_that_is_stated() -> None:
    many = [T for seed in range(200) for T in motions(damage.pose_noise(2, 0.3)(VIEWS, np.random.default_rng(seed)))]
    assert not np.allclose(many[0], many[1])
    assert np.std([T[:3, 3] for T in many]) * 1e3 == pytest.approx(2, rel=0.05)
    assert np.mean([degrees(T) ** 2 for T in many]) == pytest.approx(3 * 0.3**2, rel=0.1)


def test_of_one_bad_pose_the_others_stay() -> None:
    moved = [not np.array_equal(T, np.eye(4)) for T in np.round(motions(damaged(damage.one_bad_pose(10, 2))), 9)]
    assert moved == [False, True, False, False]


def test_swapped_and_late_poses_are_those_of_other_views() -> None:
    poses = [view.T_world_camera for view in VIEWS]
    for fault, order in ((damage.swapped_poses, [1, 0, 2, 3]), (damage.late_poses, [1, 2, 3, 0])):
        result = damaged(fault)
        assert all(np.array_equal(view.T_world_camera, poses[k]) for view, k in zip(result, order, strict=True))
        assert all(a.image is b.image for a, b in zip(result, VIEWS, strict=True))


def test_a_moved_object_shifts_the_second_half_horizontally_in_the_world() -> None:
    shifts = [
        b.T_world_camera[:3, 3] - a.T_world_camera[:3, 3]
        for a, b in zip(VIEWS, damaged(damage.moved_object(15)), strict=True)
    ]
    assert not np.any(shifts[:2])
    assert np.allclose(shifts[2], shifts[3]) and shifts[2][2] == 0
    assert np.linalg.norm(shifts[2]) * 1e3 == pytest.approx(15)


def test_wrong_intrinsics_scale_the_focal_length_and_shift_the_principal_point() -> None:
    K, wrong = VIEWS[0].camera.K, damaged(damage.wrong_intrinsics(1.05, 10))[0].camera.K
    assert wrong[[0, 1], [0, 1]] == pytest.approx(1.05 * K[[0, 1], [0, 1]])
    assert wrong[:2, 2] - K[:2, 2] == pytest.approx([10, 5])


def test_a_cut_picture_shows_the_same_rays_without_the_objects_top() -> None:
    for whole, cut in zip(VIEWS, damaged(damage.cut_by_border(0.25)), strict=True):
        assert whole.mask is not None and cut.mask is not None and cut.depth is not None
        first = whole.camera.height - cut.camera.height
        assert cut.mask[0].any() and 0.7 < cut.mask.sum() / whole.mask.sum() < 0.95
        assert np.array_equal(cut.image, whole.image[first:]) and cut.image.shape[:2] == cut.depth.shape
        assert cut.camera.K[1, 2] == whole.camera.K[1, 2] - first
    with pytest.raises(ValueError, match="mask"):
        damaged(damage.cut_by_border(0.25), [View(VIEWS[0].image, VIEWS[0].camera, VIEWS[0].T_world_camera)])


def test_millimetres_are_a_thousand_times_metres_and_turn_nothing() -> None:
    (T, *_), (wrong, *_) = VIEWS, damaged(damage.in_millimetres)
    assert np.allclose(wrong.T_world_camera[:3, 3], 1000 * T.T_world_camera[:3, 3])
    assert np.array_equal(wrong.T_world_camera[:3, :3], T.T_world_camera[:3, :3])


def test_pictures_lose_what_the_fault_takes() -> None:
    image = VIEWS[0].image.astype(float)
    grey, blurred, noisy, exposed, packed = (
        damaged(fault)[0].image.astype(float)
        for fault in (
            damage.grey,
            damage.motion_blur(8),
            damage.sensor_noise(15),
            damage.uneven_exposure(1),
            damage.jpeg(30),
        )
    )
    assert np.ptp(grey, axis=2).max() == 0 and np.allclose(grey[..., 0], image.mean(2), atol=0.5)
    table = np.s_[:40, :40]
    assert blurred[table].std() < 0.6 * image[table].std() and blurred.mean() == pytest.approx(image.mean(), rel=0.01)
    assert (noisy - image)[table].std() == pytest.approx(15, rel=0.05)
    ratio = exposed[table].mean() / image[table].mean()
    assert 0.5 <= ratio <= 2 and ratio != pytest.approx(1, rel=0.02)
    assert 1 < np.abs(packed - image).mean() < 15


def test_stereo_depth_is_noisier_far_away_and_has_holes() -> None:
    flat = [
        View(v.image, v.camera, v.T_world_camera, depth=np.full(v.image.shape[:2], z, np.float32))
        for v, z in zip(VIEWS, (0.3, 0.6, 0.9, 1.2), strict=True)
    ]
    for before, after in zip(flat, damaged(damage.stereo_depth(), flat), strict=True):
        assert before.depth is not None and after.depth is not None
        seen = after.depth > 0
        assert 0.8 < seen.mean() < 0.99
        z = float(before.depth[0, 0])
        assert (after.depth - before.depth)[seen].std() == pytest.approx(1.5e-3 + 4e-3 * z**2, rel=0.1)


def test_every_condition_gives_the_same_views_for_the_same_seed_and_leaves_its_input_alone() -> None:
    def digest(views: Sequence[View]) -> list[int]:
        return [zlib.crc32(v.image.tobytes() + v.T_world_camera.tobytes() + v.camera.K.tobytes()) for v in views]

    before = digest(VIEWS)
    for condition in damage.CONDITIONS.values():
        assert digest(damaged(condition.fault)) == digest(damaged(condition.fault))
    assert digest(VIEWS) == before
