"""Camera poses are checked against the pictures: what is off is found, and nothing is invented where nothing is."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig, PoseRefinementConfig
from mvgamba_ros.geometry.camera import with_focal_length
from mvgamba_ros.geometry.se3 import inverse, look_at, transform
from mvgamba_ros.pose_refinement import evidence
from mvgamba_ros.pose_refinement.hand_eye import HandEyeEstimate
from mvgamba_ros.pose_refinement.normal_equations import NormalEquations, Prior, posterior, select
from mvgamba_ros.pose_refinement.plane_alignment import PlaneAlignment
from mvgamba_ros.pose_refinement.refine_poses import RefinedPoses, refine_poses
from mvgamba_ros.pose_refinement.silhouette_coherence import SilhouetteCoherence
from mvgamba_ros.pose_refinement.twists import corrected, exponential, logarithm, plane_motion, point_motion
from mvgamba_ros.types import View

CONFIG = PoseRefinementConfig()


def orbit(count: int) -> list[View]:
    """Around the object at two elevations, near and far, the camera rolled: all of a hand-eye error shows."""
    poses = []
    for i, T in enumerate(rendered.orbit(count)):
        away = T[:3, 3] - rendered.CENTER
        near = look_at(rendered.CENTER + (0.85 + 0.3 * (i // 2 % 2)) * away, rendered.CENTER)
        poses.append(near @ exponential(np.array([0.0, 0.0, 0.6 * (i % 3 - 1), 0.0, 0.0, 0.0])))
    return [rendered.render(T) for T in poses]


TRUE = orbit(4)
HAND_EYE = np.array([0.004, -0.006, 0.003, 0.003, -0.0025, 0.003])
"""Radians and metres: 0.45 degrees, 4.9 mm."""


def checked(views: list[View], config: PoseRefinementConfig = CONFIG) -> RefinedPoses:
    masks = [view.mask for view in views]
    assert all(mask is not None for mask in masks)
    return refine_poses(views, masks, rendered.CENTER, 0.0, True, config)  # type: ignore[arg-type]


def posed(twists: list[np.ndarray], views: list[View] = TRUE) -> list[View]:
    """The pictures, with poses that are off by twists in the cameras' frames."""
    return [
        replace(view, T_world_camera=view.T_world_camera @ exponential(twist), name=f"picture {i}")
        for i, (view, twist) in enumerate(zip(views, twists, strict=True))
    ]


def apart_mm(found: RefinedPoses, views: list[View] = TRUE) -> np.ndarray:
    """How far the found poses put the object's middle from the true place, (V,) millimetres."""
    places = [
        transform(T @ inverse(v.T_world_camera), rendered.CENTER)
        for T, v in zip(found.T_world_camera, views, strict=True)
    ]
    return 1e3 * np.linalg.norm(np.array(places) - rendered.CENTER, axis=1)


def test_good_poses_are_left_as_they_are_to_the_bit() -> None:
    found = checked(TRUE)
    np.testing.assert_array_equal(found.T_world_camera, [view.T_world_camera for view in TRUE])
    assert found.moved_px == 0.0 and not found.notes and not found.reasons
    assert found.correction.residual_after_px < 0.5


def test_a_hand_eye_error_is_found_within_a_millimetre_and_a_tenth_of_a_degree() -> None:
    found = checked(posed([HAND_EYE] * 4))
    left = logarithm(exponential(HAND_EYE) @ found.correction.hand_eye)
    assert 1e3 * np.linalg.norm(left[3:]) < 1.0 and np.degrees(np.linalg.norm(left[:3])) < 0.1
    assert apart_mm(found).max() < 1.0
    assert (found.correction.view_mm == 0.0).all()  # the views have no errors of their own
    assert re.match(r"the hand-eye calibration is (4\.|5\.)\d mm and 0\.4\d degrees off", found.notes[0])
    assert found.correction.hand_eye_sigma_mm < 2.0 and not found.reasons
    assert found.correction.residual_after_px < 0.5 < found.correction.residual_before_px


def test_on_a_plain_table_nothing_is_invented_and_outlines_alone_show_a_large_error() -> None:
    plain = [
        replace(view, image=np.where(view.mask[..., None], view.image, 150).astype(np.uint8))  # type: ignore[index]
        for view in TRUE
    ]
    found = checked(plain)
    np.testing.assert_array_equal(found.T_world_camera, [view.T_world_camera for view in TRUE])
    wrong = posed([4.0 * HAND_EYE] * 4, plain)
    before = SilhouetteCoherence(wrong, [v.mask for v in wrong], CONFIG.silhouettes)  # type: ignore[misc]
    missed = before.linearise(np.stack([v.T_world_camera for v in wrong]), np.zeros(26))[1].pixels.min()
    found = checked(wrong)
    after = before.linearise(found.T_world_camera, np.zeros(26))[1].pixels.min()
    assert missed < -5.0 and after > 0.3 * missed


def test_one_bad_pose_is_found_and_the_good_ones_are_kept() -> None:
    wrong = np.zeros((4, 6))
    wrong[1] = [0.02, -0.015, 0.01, 0.006, -0.005, 0.004]
    found = checked(posed(list(wrong)))
    assert apart_mm(found).max() < 1.0 and np.argmax(found.correction.view_mm) == 1
    assert "most in picture 1" in found.notes[0] and not found.reasons


def test_errors_of_all_views_are_evened_out_and_what_stays_open_is_named() -> None:
    generator = np.random.default_rng(1)
    small = generator.normal(size=(4, 6)) * [0.003, 0.003, 0.003, 0.0015, 0.0015, 0.0015]
    found = checked(posed(list(small)))
    relative = apart_mm(found) - apart_mm(found).mean()
    assert np.abs(relative).max() < 1.0 and not found.reasons
    strict = replace(CONFIG, max_position_sigma=0.0005)
    (reason,) = checked(posed(list(small)), strict).reasons
    assert "position is known to" in reason and "at most 0.5" in reason


def test_exchanged_and_late_poses_are_named_and_put_right() -> None:
    T = np.stack([view.T_world_camera for view in TRUE])
    exchanged, late = "picture 0 and picture 1 are exchanged", "pose of the next one"
    for order, words in (([1, 0, 2, 3], exchanged), ([1, 2, 3, 0], late)):
        views = [replace(view, T_world_camera=T[order[i]], name=f"picture {i}") for i, view in enumerate(TRUE)]
        found = checked(views)
        assert words in found.notes[0], found.notes
        np.testing.assert_allclose(found.T_world_camera, T, atol=1e-12)


def test_an_object_that_moved_between_two_halves_is_named_with_the_distance() -> None:
    slid = np.eye(4)
    slid[0, 3] = 0.012
    views = [v if i < 2 else replace(v, T_world_camera=slid @ v.T_world_camera) for i, v in enumerate(TRUE)]
    strict = replace(CONFIG, max_position_sigma=0.004)
    (reason,) = checked([replace(v, name=f"picture {i}") for i, v in enumerate(views)], strict).reasons
    assert re.match("picture 0, picture 1 and picture 2, picture 3 are 1[12] mm apart", reason)


def test_a_picture_of_another_scene_is_left_out_and_the_rest_goes_on() -> None:
    other = np.random.default_rng(5).integers(0, 255, TRUE[2].image.shape, np.uint8)
    views = [replace(view, name=f"picture {i}") for i, view in enumerate(TRUE)]
    views[2] = replace(views[2], image=other)
    found = checked(views)
    assert found.correction.left_out == (2,)
    assert any(note.startswith("picture 2 left out") for note in found.notes)
    np.testing.assert_array_equal(found.T_world_camera, [view.T_world_camera for view in TRUE])


def test_another_cameras_focal_length_is_put_right_and_named_unless_textures_agree_very_well() -> None:
    views = [replace(view, camera=with_focal_length(view.camera, 0.7)) for view in TRUE]
    found = checked(views)
    assert found.focal * 0.7 == pytest.approx(1.0, abs=0.005) and apart_mm(found).max() < 1.0
    (reason,) = found.reasons
    assert "not the 294 px given" in reason
    assert float(reason.split("about ")[1].split()[0]) == pytest.approx(420.0, abs=3.0)
    agreeing = checked(views, replace(CONFIG, sure_correlation=0.95))
    assert agreeing.focal == pytest.approx(found.focal, rel=1e-9)
    assert not agreeing.reasons and "too short" in agreeing.notes[0]


@pytest.mark.parametrize("factor", [0.95, 1.02, 1.06])
def test_a_focal_length_that_is_a_few_percent_off_is_put_right(factor: float) -> None:
    views = [replace(view, camera=with_focal_length(view.camera, factor)) for view in TRUE]
    found = checked(views)
    assert found.focal * factor == pytest.approx(1.0, abs=0.005) and apart_mm(found).max() < 1.0
    percent, side = abs(100.0 * (factor - 1.0)), "long" if factor > 1.0 else "short"
    (note,) = found.notes
    said = re.match(rf"the focal length is (\d\.\d) % too {side} \(standard deviation 0\.\d %\); corrected", note)
    assert said is not None and float(said[1]) == pytest.approx(percent, abs=0.6)
    assert not found.reasons


def test_a_focal_length_and_a_hand_eye_error_are_both_found() -> None:
    views = [replace(view, camera=with_focal_length(view.camera, 1.05)) for view in posed([HAND_EYE] * 4)]
    found = checked(views)
    assert found.focal * 1.05 == pytest.approx(1.0, abs=0.01)
    left = logarithm(exponential(HAND_EYE) @ found.correction.hand_eye)
    assert 1e3 * np.linalg.norm(left[3:]) < 3.0 and np.degrees(np.linalg.norm(left[:3])) < 0.2


def test_captures_add_up_to_one_hand_eye_estimate() -> None:
    estimate = HandEyeEstimate()
    sigmas = []
    for count in (4, 5, 6):
        views = posed([HAND_EYE] * count, orbit(count))
        estimate = estimate + checked(views).correction
        T, sigma_mm, _ = estimate.solve(CONFIG.prior)
        sigmas.append(sigma_mm)
    left = logarithm(exponential(HAND_EYE) @ T)
    assert estimate.captures == 3 and sigmas == sorted(sigmas, reverse=True)
    assert 1e3 * np.linalg.norm(left[3:]) < 1.0 and np.degrees(np.linalg.norm(left[:3])) < 0.1
    nothing, sigma_mm, _ = HandEyeEstimate().solve(CONFIG.prior)
    np.testing.assert_array_equal(nothing, np.eye(4))
    assert sigma_mm == pytest.approx(20.0)


def test_motions_are_the_derivatives_of_where_points_and_rays_go() -> None:
    T = TRUE[0].T_world_camera
    points = np.array([[0.4, 0.0, 0.0], [0.5, 0.1, 0.0]])
    step = 1e-6
    for k in range(6):
        twist = np.eye(6)[k] * step
        moved = transform(inverse(T @ exponential(twist)), points)
        np.testing.assert_allclose(
            (moved - transform(inverse(T), points)) / step, point_motion(T, points)[:, :, k], atol=1e-5
        )
        rays = moved @ T[:3, :3].T  # the unmoved camera's, through where the moved one has the points
        hit = T[:3, 3] - rays * (T[2, 3] / rays[:, 2:])
        np.testing.assert_allclose((hit - points)[:, :2] / step, plane_motion(T, points)[:, :, k], atol=1e-4)
    longer = transform(inverse(T), points) * [1.0 + step, 1.0 + step, 1.0]  # the pixels of a longer focal length
    hit = T[:3, 3] - longer @ T[:3, :3].T * (T[2, 3] / (longer @ T[:3, :3].T)[:, 2:])
    np.testing.assert_allclose((hit - points)[:, :2] / step, plane_motion(T, points)[:, :, 7], atol=1e-4)


def test_other_focal_lengths_are_judged_without_a_look_at_the_silhouettes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "SilhouetteCoherence", None)
    masks = [view.mask for view in TRUE]
    given = evidence.PoseEvidence(TRUE, masks, rendered.CENTER, 0.0, 1e-3, CONFIG)  # type: ignore[arg-type]
    T = np.stack([view.T_world_camera for view in TRUE])
    assert given.with_focal_length(1.0).score(T) == given.score(T) > given.with_focal_length(1.1).score(T)


def test_what_all_views_share_on_the_plane_has_no_information() -> None:
    plane = PlaneAlignment(TRUE, [view.mask for view in TRUE], rendered.CENTER, 0.0, CONFIG.plane)  # type: ignore[misc]
    T = np.stack([view.T_world_camera for view in TRUE])
    measured, pairs = plane.linearise(T, np.zeros(26), plane.level(160))
    turn = np.zeros((4, 4))
    turn[:2, :2] = [
        [0.0, -1.0],
        [1.0, 0.0],
    ]  # all cameras alike, about a vertical axis
    y = np.concatenate([*(logarithm_of_generator(inverse(t) @ turn @ t) for t in T), [0.0, 0.0]])
    assert y @ measured.H @ y < 1e-6 * np.trace(measured.H)
    assert min(pair.correlation for pair in pairs) > 0.8


def logarithm_of_generator(G: np.ndarray) -> np.ndarray:
    return np.array([G[2, 1], G[0, 2], G[1, 0], *G[:3, 3]])


def test_the_evidence_decides_between_no_correction_a_common_one_and_one_per_view() -> None:
    count, generator, config = 4, np.random.default_rng(0), PosePriorConfig()
    H = np.diag([*np.tile([1 / 0.0005**2] * 3 + [1 / 0.0002**2] * 3, count), 1e6, 1e6])

    def chosen(y: np.ndarray) -> Prior:
        noisy = y + generator.normal(size=len(y)) / np.sqrt(np.diag(H))
        return select(NormalEquations(H, H @ noisy), 0.001, config).prior

    common = np.concatenate([np.tile(HAND_EYE, count), [0.0, 0.0]])
    own = np.concatenate([*(generator.normal(size=(count, 6)) * 0.004), [0.0, 0.0]])
    one = np.zeros(26)
    one[6:12] = 3.0 * HAND_EYE
    none = chosen(np.zeros(26))
    assert none.hand_eye == 0.0 and not none.views.any()
    assert chosen(common).hand_eye > 0.0 and not chosen(common).views.any()
    assert chosen(own).hand_eye == 0.0 and (chosen(own).views > 0.0).all()
    assert (chosen(one).views > 0.0).tolist() == [False, True, False, False]


def test_a_posterior_lies_between_prior_and_measurement_by_their_certainties() -> None:
    H = np.zeros((8, 8))
    H[3, 3] = 1 / 0.002**2
    h = H[3] * 0.0 + np.eye(8)[3] * 0.006 / 0.002**2  # one translation measured as 6 mm within 2 mm
    found = posterior(NormalEquations(H, h), Prior(0.004, np.zeros(1), 0.0, 0.0, 1.0))
    assert found.hand_eye[3] == pytest.approx(0.006 * 0.004**2 / (0.004**2 + 0.002**2))
    assert found.covariance[3, 3] == pytest.approx(1 / (1 / 0.004**2 + 1 / 0.002**2))
    np.testing.assert_array_equal(corrected(np.eye(4)[None], np.zeros((1, 6)))[0], np.eye(4))
