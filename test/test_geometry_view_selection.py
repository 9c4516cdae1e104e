"""Views are taken where the camera stood still, one of each place, all around."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.view_selection import ViewSelection, around, candidates, stops

CONFIG = ViewSelection()


def pose(degrees: float, height: float = 0.3) -> np.ndarray:
    a = np.radians(degrees)
    return look_at(np.array([0.4 * np.cos(a), 0.4 * np.sin(a), height]), np.zeros(3))


def test_each_stay_is_one_stop_and_moments_on_the_way_or_just_before_it_are_none():
    degrees = np.r_[np.zeros(10), np.linspace(0, 60, 10)[1:-1], np.full(10, 60.0)]
    seconds = 0.05 * np.arange(len(degrees))
    groups, stood = stops(seconds, np.stack([pose(d) for d in degrees]), CONFIG)
    assert stood and groups == [list(range(0, 8)), list(range(20, 28))]


def test_a_camera_that_drifts_slowly_stops_at_several_places():
    seconds = 0.1 * np.arange(200)
    T = np.stack([np.eye(4)] * 200)
    T[:, 0, 3] = 0.015 * seconds  # below the limit, 30 cm in all
    groups, stood = stops(seconds, T, CONFIG)
    assert stood and 25 < len(groups) < 35


def test_a_camera_in_the_hand_gives_its_slowest_moments_and_this_is_known():
    seconds = 0.1 * np.arange(60)
    degrees = 120 * seconds + 15 * np.sin(2 * np.pi * seconds)  # never below 25 degrees a second
    groups, stood = stops(seconds, np.stack([pose(d) for d in degrees]), CONFIG)
    assert not stood and 4 <= len(groups) <= 14
    assert all(abs(seconds[i] % 1 - 0.5) < 0.2 for (i,) in groups[1:-1])


def test_views_are_spread_and_no_more_than_wanted():
    T = np.stack([pose(d) for d in np.repeat(np.arange(0, 360, 5), 2)])
    taken = around(T, replace(CONFIG, most=6))
    assert len(taken) == 6 and taken == sorted(taken)
    gaps = np.diff(np.append(taken, taken[0] + len(T)))
    assert gaps.max() <= 36  # 90 degrees
    assert len(around(T[:6], CONFIG)) == 1  # within ten degrees


def test_parallel_cameras_have_no_middle_to_go_around():
    T = np.stack([np.eye(4)] * 20)
    T[:, 0, 3] = np.arange(20) * 0.1
    assert around(T, CONFIG) == list(range(CONFIG.most))


def test_the_last_moment_of_a_stop_is_tried_first():
    assert candidates(range(100, 200), CONFIG)[0] == 199 and len(candidates(range(100, 200), CONFIG)) == CONFIG.tried
    assert candidates([7], CONFIG) == [7]
