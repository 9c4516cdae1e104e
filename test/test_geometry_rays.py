"""Where lines meet, in the least-squares sense."""

from __future__ import annotations

import numpy as np
import pytest

from mvgamba_ros.geometry.rays import axes_intersection

EYES = np.array([[0.4, 0.0, 0.3], [0.0, 0.5, 0.2], [-0.3, 0.1, 0.6]])
TARGET = np.array([0.05, -0.02, 0.03])
AXES = (TARGET - EYES) / np.linalg.norm(TARGET - EYES, axis=1, keepdims=True)


def test_lines_through_a_point_intersect_there():
    np.testing.assert_allclose(axes_intersection(EYES, AXES), TARGET, atol=1e-12)


def test_of_lines_that_miss_each_other_it_is_the_nearest_point():
    origins, directions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]), np.eye(3)[:2]
    np.testing.assert_allclose(axes_intersection(origins, directions), [0.0, 0.0, 1.0], atol=1e-12)


@pytest.mark.parametrize("tilt, meet", [(1e-3, False), (0.2, True)])
def test_lines_as_good_as_parallel_do_not_intersect(tilt, meet):
    directions = np.array([[0.0, 0.0, 1.0], [0.0, np.sin(tilt), np.cos(tilt)]])
    assert (axes_intersection(np.array([[0.0, 0.0, 0.0], [0.0, 0.1, 0.0]]), directions) is not None) == meet
