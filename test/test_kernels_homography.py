"""Plane sweep and homographies, native against OpenCV and numpy, on every instruction set that runs here."""

from __future__ import annotations

import native_kernels
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgamba_ros.kernels import homography_cpu
from mvgamba_ros.kernels.homography import match_colors, plane_sweep, warp_by_homography
from mvgamba_ros.types import F32, F64

TOLERANCE = 1e-3
"""Of colours up to 100, and of columns and rows in pixels."""
FEW = 0.002
"""Share of results that may differ: a rounding puts a colour on the other side of a limit."""


def picture(height: int, width: int, channels: int, seed: int) -> F32:
    """Smooth, so that what is a little beside is a little different."""
    g = np.random.default_rng(seed)
    x, y = np.arange(width), np.arange(height)[:, None]
    waves = [np.sin(g.uniform(0.1, 0.6) * x + g.uniform(0.1, 0.6) * y + g.uniform(0, 6)) for _ in range(channels)]
    return (50 + 40 * np.stack(waves, -1)).astype(np.float32)


def plane_seen(views: int, points: int, seed: int) -> tuple[list[F32], F64, F64]:
    """Pictures of different sizes, and a square of points in each that slides across it as the plane rises; some are
    outside, some where the picture does not count, and of the last view some behind the camera."""
    g = np.random.default_rng(seed)
    pictures, base_pixels, vertical = [], [], []
    for view in range(views):
        height, width = int(g.integers(20, 60)), int(g.integers(20, 60))
        view_picture = picture(height, width, 4, seed + view)
        view_picture[..., 3] = view_picture[..., 3] > 20
        pictures.append(view_picture)
        z = g.uniform(0.5, 2.0, points) - (0.6 if view == views - 1 else 0.0)
        base_pixels.append(np.stack([g.uniform(-2, width + 2, points) * z, g.uniform(-2, height + 2, points) * z, z]))
        vertical.append(g.uniform(-20, 20, 3) * [1.0, 1.0, 0.02])
    return pictures, np.stack(base_pixels), np.stack(vertical)


HEIGHTS = np.linspace(-0.3, 0.3, 7)
MIN_COMMON = 34


@settings(max_examples=30, deadline=None)
@given(views=st.integers(2, 5), points=st.integers(1, 700), threads=st.sampled_from([1, 2]))
def test_the_plane_sweep_equals_the_reference(views: int, points: int, threads: int) -> None:
    seen = plane_seen(views, points, seed=views * 1009 + points)
    with native_kernels.threads(threads):
        got = plane_sweep(*seen, HEIGHTS, 30.0, MIN_COMMON)
    expected = plane_sweep(*seen, HEIGHTS, 30.0, MIN_COMMON, backend="reference")
    np.testing.assert_array_equal(got[1], expected[1])
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-4, atol=TOLERANCE)


def test_views_that_show_too_few_of_the_points_are_not_compared_and_others_are() -> None:
    for points, backend in ((MIN_COMMON - 1, "cpu"), (MIN_COMMON - 1, "reference")):
        agreement, compared = plane_sweep(*plane_seen(3, points, 1), HEIGHTS, 30.0, MIN_COMMON, backend)
        assert not agreement.any()
        assert not compared.any()
    agreement, compared = plane_sweep(*plane_seen(3, 500, 1), HEIGHTS, 30.0, MIN_COMMON)
    assert (compared > 200).all()
    assert (agreement / compared > 0.01).all()
    assert (agreement / compared < 0.9).all()


def test_the_same_picture_of_the_same_points_agrees_whatever_its_exposure() -> None:
    (view_picture, *_), base_pixels, vertical = plane_seen(1, 400, 3)
    brighter = view_picture + np.array([9.0, -4.0, 2.0, 0.0], np.float32)
    brighter[..., 3] = view_picture[..., 3]
    agreement, compared = plane_sweep(
        [view_picture, brighter], np.repeat(base_pixels, 2, 0), np.repeat(vertical, 2, 0), HEIGHTS, 5.0, MIN_COMMON
    )
    assert (compared > MIN_COMMON).all()
    np.testing.assert_allclose(agreement, compared, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    other_height=st.integers(1, 40),
    other_width=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_a_picture_warped_by_a_homography_equals_the_reference(
    height: int, width: int, other_height: int, other_width: int, seed: int
) -> None:
    g = np.random.default_rng(seed)
    homography = np.eye(3) + g.uniform(-1, 1, (3, 3)) * [[0.3, 0.3, 5], [0.3, 0.3, 5], [0.02, 0.02, 0.3]]
    depth_row = g.uniform(-1, 1, 3) * [0.02, 0.02, 0.3] + [0, 0, 0.5]
    given_ = (height, width), depth_row, homography, picture(other_height, other_width, 8, seed)
    got, expected = warp_by_homography(*given_), warp_by_homography(*given_, backend="reference")
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        # far outside they are anywhere; and a pixel's depth may be next to nothing
        assert (np.abs(a.astype(float) - b) > TOLERANCE * np.maximum(1, np.abs(b))).sum() <= FEW * a.size


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 60),
    steps=st.lists(st.integers(1, 50), max_size=3),
    seed=st.integers(0, 1000),
)
def test_matches_equal_the_reference(height: int, width: int, steps: list[int], seed: int) -> None:
    g = np.random.default_rng(seed)
    lab, lower, spread = (
        np.ascontiguousarray(picture(height, width, 3, seed + k).transpose(2, 0, 1)) for k in range(3)
    )
    chance = g.uniform(0, 1, (height, width)).astype(np.float32)
    given_ = lab, lower, lower + spread, 15.0, steps, chance
    (match, most), (expected, expected_most) = match_colors(*given_), match_colors(*given_, backend="reference")
    assert (match != expected).mean() <= FEW
    assert (np.abs(most - expected_most) > 1e-6).mean() <= FEW
    assert (most >= chance).all()


def test_a_stripe_matches_itself_and_by_chance_what_lies_along_it_but_not_across() -> None:
    stripes = np.zeros((3, 16, 24), np.float32)
    stripes[:, 4] = 50.0
    match, chance = match_colors(stripes, stripes, stripes, 7.0, (3,), np.zeros((16, 24), np.float32))
    assert match.all()
    assert (chance[4] == 0.5).all()
    assert (chance[[1, 7]] == 0.75).all()
    assert (chance[10:] == 1).all()


@native_kernels.every_instruction_set
def test_every_instruction_set_that_runs_here_gives_the_same(instructions: str) -> None:
    native_kernels.skip_unless_it_runs_here(instructions)
    seen = plane_seen(3, 400, 5)
    for got, expected in zip(
        homography_cpu.plane_sweep(*seen, HEIGHTS, 30.0, MIN_COMMON, instructions),
        plane_sweep(*seen, HEIGHTS, 30.0, MIN_COMMON, "reference"),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    homography = np.array([[1.0, 0.1, 2.0], [-0.1, 0.9, 1.0], [0.001, 0.002, 1.0]])
    given_ = (30, 37), np.array([0.0, 0.0, 1.0]), homography, picture(33, 35, 8, 2)
    through = homography_cpu.warp_by_homography(*given_, instructions)
    for got, expected in zip(through, warp_by_homography(*given_, "reference"), strict=True):
        np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    lab = np.ascontiguousarray(picture(30, 37, 3, 8).transpose(2, 0, 1))
    given_ = lab, through[3][:3] - 5, through[3][:3] + 5, 20.0, (6, 20), np.zeros((30, 37), np.float32)
    for got, expected in zip(
        homography_cpu.match_colors(*given_, instructions), match_colors(*given_, backend="reference"), strict=True
    ):
        assert (got != expected).mean() <= FEW


def test_the_number_of_threads_changes_no_bit() -> None:
    seen = plane_seen(4, 500, 7)
    first, *rest = native_kernels.by_threads(lambda: plane_sweep(*seen, HEIGHTS, 30.0, MIN_COMMON))
    for other in rest:
        assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_shapes_that_do_not_fit_are_refused() -> None:
    pictures, base_pixels, vertical = plane_seen(3, 50, 0)
    for given_, message in (
        ((pictures, base_pixels[:2], vertical), r"base_pixels must be \(3, 3, 50\), got \(2, 3, 50\)"),
        ((pictures, base_pixels, vertical[:, :2]), r"vertical must be \(3, 3\), got \(3, 2\)"),
        (([*pictures[:2], pictures[2][..., :3]], base_pixels, vertical), r"a picture must be .*4\) of .*, got .*3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            plane_sweep(*given_, HEIGHTS, 30.0, MIN_COMMON)
    with pytest.raises(ValueError, match=r"picture must be \(h, w, 8\) of at least one pixel, got \(9, 9, 4\)"):
        warp_by_homography((5, 5), np.ones(3), np.eye(3), picture(9, 9, 4, 0))
    lab = picture(3, 5, 4, 0)
    with pytest.raises(ValueError, match=r"chance must be \(5, 4\), got \(4, 5\)"):
        match_colors(lab, lab, lab, 7.0, (6,), np.zeros((4, 5), np.float32))
    with pytest.raises(ValueError, match="unknown backend"):
        plane_sweep(pictures, base_pixels, vertical, HEIGHTS, 30.0, MIN_COMMON, "cuda")
