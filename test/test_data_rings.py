"""Training views on rings, as the cameras of multi-view generators stand, and how samples take inputs from them."""

from __future__ import annotations

import numpy as np
import pytest
from test_data_render import ball

from mvgamba_ros.synthesis.data_format import INPUT_VIEWS
from mvgamba_ros.synthesis.pose_sampling import RINGS, CameraRig, sample_ring
from mvgamba_ros.synthesis.render import render
from mvgamba_ros.training.sample_batches import choose_inputs


def on_rings(count: int, size: int = 24) -> list[dict[str, np.ndarray]]:
    rig = CameraRig(rings=1.0, size=size, views=9)
    return [render(ball(0.05), rig, np.random.default_rng(seed), points=64) for seed in range(count)]


def test_cameras_on_a_ring_are_even_level_and_aim_at_the_middle_of_a_floating_object() -> None:
    rings = set()
    for item in on_rings(6):
        ring = int(item["ring"])
        rings.add(ring)
        assert np.isnan(item["support_height"])
        T = item["T_world_camera"][:ring].astype(float)
        centre = (item["points"] - 0.05 * item["normals"].astype(float)).mean(0)
        away = T[:, :3, 3] - centre
        distance = np.linalg.norm(away, axis=1)
        assert np.ptp(distance) < 1e-3 and 1.8 * 0.05 < distance[0] < 3.6 * 0.0501
        elevation = np.degrees(np.arcsin(away[:, 2] / distance))
        np.testing.assert_allclose(elevation, np.resize(RINGS[ring], ring), atol=0.2)
        azimuth = np.unwrap(np.arctan2(away[:, 1], away[:, 0]))
        np.testing.assert_allclose(np.diff(azimuth), 2 * np.pi / ring, atol=0.02)
        np.testing.assert_allclose(T[:, 2, 0], 0.0, atol=1e-6)  # the picture's right side is horizontal
        np.testing.assert_allclose(T[:, :3, 2], -away / distance[:, None], atol=1e-2)
    assert rings == set(RINGS)


def test_half_of_the_rings_show_colours_without_light() -> None:
    inside = [item["rgb"][item["alpha"] == 255].astype(int) for item in on_rings(12)]
    plain = [bool((np.abs(colors - [200, 80, 60]) <= 2).all()) for colors in inside]
    assert 2 <= sum(plain) <= 10


def test_without_rings_nothing_is_drawn_for_them() -> None:
    rng = np.random.default_rng(0)
    assert sample_ring(CameraRig(), rng) == 0
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(("ring", "views"), [(8, 4), (8, 2), (6, 3), (6, 6), (8, 8)])
def test_inputs_of_a_ring_stand_evenly_around(ring: int, views: int) -> None:
    for seed in range(5):
        chosen = np.sort(choose_inputs(ring, views, np.random.default_rng(seed)))
        np.testing.assert_array_equal(np.diff(chosen), ring // views)
        assert len(chosen) == views and chosen[-1] < ring


@pytest.mark.parametrize(("ring", "views"), [(0, 4), (6, 4), (8, 3), (6, 8)])
def test_other_numbers_are_drawn_at_random_from_all_inputs(ring: int, views: int) -> None:
    drawn = {tuple(np.sort(choose_inputs(ring, views, np.random.default_rng(seed)))) for seed in range(30)}
    assert all(len(set(chosen)) == views and max(chosen) < INPUT_VIEWS for chosen in drawn)
    assert len(drawn) > 5 or views == INPUT_VIEWS
