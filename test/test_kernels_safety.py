"""Native kernels given what no caller should give them: refused or answered, no crash, no hang, no stray read."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
from collections import Counter
from typing import Any

import fuzz_kernels
import numpy as np
import pytest
import torch

from mvgamba_ros.kernels import (
    conv_cpu,
    epipolar_cpu,
    homography_cpu,
    native,
    pool_cpu,
    rasterize_cpu,
    ray_layers_cpu,
    scan_cpu,
)
from mvgamba_ros.kernels.epipolar import photometric_cost, silhouette_interval
from mvgamba_ros.kernels.homography import match_colors, plane_sweep, warp_by_homography
from mvgamba_ros.kernels.ray_layers import aggregate_views, along_rays
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, EpipolarRays, RayMLP, SourceViews

TOO_LARGE = (-1, -(2**63), 2**46, 2**62, 2**63 - 1)
EYE = np.eye(3)


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_calls_answer_or_refuse_whatever_their_numbers_sizes_and_memory(threads: int) -> None:
    outcomes = Counter(fuzz_kernels.run_one(seed) for seed in range(600))
    for kind in fuzz_kernels.KINDS:
        assert outcomes[f"{kind.__name__} answered"] >= 5, f"{kind.__name__} is hardly tried: {outcomes}"


def test_pictures_without_pixels_are_refused() -> None:
    for shape in ((3, 4, 0), (3, 0, 4)):
        empty = ones(*shape)
        with pytest.raises(ValueError, match="at least one pixel"):
            match_colors(empty, empty, empty, 1.0, [1], empty[0])
    for height, width in ((0, 5), (5, 0), (0, 0)):
        with pytest.raises(ValueError, match="at least one pixel"):
            warp_by_homography((2, 2), EYE[2], EYE, ones(height, width, 8))
        with pytest.raises(ValueError, match="at least one pixel"):
            plane_sweep([ones(height, width, 4)], np.ones((1, 3, 1)), np.ones((1, 3)), np.ones(1), 1.0, 1)


def rays_of_three_views() -> EpipolarRays:
    return EpipolarRays(0, torch.ones(3, 3, 3), torch.ones(3, 3), torch.ones(3), torch.ones(2, 3))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_silhouettes_without_pixels_and_numbers_of_samples_that_cannot_be_are_refused(backend: str) -> None:
    rays, two = rays_of_three_views(), torch.ones(2)
    with pytest.raises(ValueError, match="at least one pixel"):
        silhouette_interval(rays, torch.ones(3, 0, 0), 0.0, 1.0, two, two, 8, backend)
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        silhouette_interval(rays, torch.ones(3, 4, 4), 0.0, 1.0, two, two, 1, backend)
    for bins in (0, -3):
        with pytest.raises(ValueError, match=f"bins must be at least 1, got {bins}"):
            photometric_cost(rays, torch.ones(3, 4, 4, 4), two, two, torch.ones(2, 3), bins, backend)


def test_no_point_in_common_is_compared_with_any_least_number_of_them() -> None:
    nowhere = -np.ones((2, 3, 4))
    for backend in ("cpu", "reference"):
        agreement, compared = plane_sweep([ones(5, 5, 4)] * 2, nowhere, np.zeros((2, 3)), np.zeros(3), 1.0, 0, backend)
        assert not agreement.any() and not compared.any()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_neither_seen_nor_compared(odd: float) -> None:
    homography = EYE.copy()
    homography[0, 0] = odd
    columns, rows, seen, warped = warp_by_homography((4, 4), EYE[2], homography, ones(6, 6, 8))
    assert not seen.any()
    assert np.isfinite(columns).all() and np.isfinite(rows).all() and (warped == 1).all()
    pictures = [ones(9, 9, 4), ones(9, 9, 4)]
    pictures[1][4, 4] = odd
    points = np.stack([*np.meshgrid(np.arange(1.0, 8), np.arange(1.0, 8)), np.ones((7, 7))]).reshape(3, -1)
    for backend in ("cpu", "reference"):
        both = np.stack([points, points])
        agreement, compared = plane_sweep(pictures, both, np.zeros((2, 3)), np.zeros(1), 1.0, 1, backend)
        assert 36 <= compared[0] <= 48  # all but those whose colour the odd pixel is a part of
        assert agreement[0] == compared[0]


def test_offsets_of_any_sign_and_size_go_round_the_picture() -> None:
    g = np.random.default_rng(0)
    lab, chance = g.uniform(0, 50, (3, 6, 7)).astype(np.float32), np.zeros((6, 7), np.float32)
    given = lab, lab - 2, lab + 2, 4.0
    for offset in (-1, -20, 23, 10**7, -(10**7)):
        match, got = match_colors(*given, [offset], chance)
        expected_match, expected = match_colors(*given, [offset], chance, "reference")
        np.testing.assert_array_equal(match, expected_match)
        np.testing.assert_array_equal(got, expected)


def test_chances_that_lie_in_memory_column_by_column_are_read_as_they_are_meant() -> None:
    g = np.random.default_rng(0)
    lab, chance = g.uniform(0, 50, (3, 6, 7)).astype(np.float32), g.random((6, 7)).astype(np.float32)
    given = lab, lab - 2, lab + 2, 20.0, [1]
    _, highest = match_colors(*given, np.asfortranarray(0.3 * chance))
    _, expected = match_colors(*given, 0.3 * chance)
    assert (expected > 0.3 * chance).any()
    np.testing.assert_array_equal(highest, expected)


def test_a_network_without_view_layers_pools_the_features_themselves() -> None:
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g)

    rays = EpipolarRays(1, normal(3, 3, 3), normal(3, 3), normal(3), normal(4, 3))
    sources = SourceViews(normal(3, 8, 8, 5), normal(3, 6, 6, 5).abs(), 0.01)
    mlp = RayMLP((normal(5, 2 * NUM_VIEW_FEATURES + 1), normal(5)), ())
    given = rays, sources, normal(4, 4), normal(4, 2, 9), mlp, normal(4, 2, 1, 9), normal(4, 2, 5)
    torch.testing.assert_close(
        aggregate_views(*given, "cpu"), aggregate_views(*given, "reference"), atol=1e-4, rtol=1e-4
    )


def test_layers_without_outputs_are_refused() -> None:
    mlp = RayMLP((torch.ones(0, 3), torch.ones(0)), ())
    with pytest.raises(ValueError, match="a weight must be"):
        along_rays(torch.ones(2, 3, 4), torch.ones(2, 0), mlp)


def small_calls(at: int, pointers: int, sizes: int) -> list[tuple[Any, list[Any]]]:
    """Every exported function that takes sizes, and arguments of a pixel, a ray, a channel each, all at one address."""
    rays = epipolar_cpu.Rays(1, 0, 1, 1, 2, 1, at, at, at, at)
    layers, views, joined = (
        (ray_layers_cpu._Layer * 1)(ray_layers_cpu._Layer(inputs, 1, 1, at, at)) for inputs in (1, NUM_VIEW_FEATURES, 3)
    )
    library = native.library()
    epipolar, homography = epipolar_cpu._library(None), homography_cpu._library(None)
    networks, rasterizer, scans = (
        ray_layers_cpu._library(None),
        rasterize_cpu._library(None),
        scan_cpu._declared(library),
    )
    scan, conv, count = scan_cpu._Args(1, 1, 1, 1, 1, 0), conv_cpu._Args(1, 1, 1, 1, 0, 1), ctypes.c_int64()
    for name in ("x", "weight", "y", "dy", "dx", "dweight", "dbias"):
        setattr(conv, name, at)
    return [
        (epipolar.mvgamba_silhouette_interval, [rays, at, 0.0, 1.0, at, at, at, at]),
        (epipolar.mvgamba_photometric_cost, [rays, at, at, at, at, at]),
        (epipolar.mvgamba_sample_source_views, [rays, at, at, 1, at, at, 0.1, at]),
        (homography.mvgamba_plane_sweep, [1, 1, 1, 1, pointers, sizes, sizes, at, at, at, 1, 1.0, at]),
        (homography.mvgamba_warp_by_homography, [1, 1, at, at, at, 1, 1, at, at, at, at]),
        (homography.mvgamba_match_colors, [1, 1, at, at, at, 1.0, at, 0, at, at]),
        (pool_cpu._function(None), [1, 1, 1, 1, 1, 0, at, at, at]),
        (networks.mvgamba_along_rays, [layers, 1, 1, 1, 1, at, at, at]),
        (networks.mvgamba_aggregate_views, [rays, at, at, 1, 1, at, at, 0.1, views, 1, 1, at, joined, 1, at, at]),
        (rasterizer.mvgamba_rasterize_forward, [*[at] * 8, 1, 1, 1, 1, 1, 1, *[at] * 4, None]),
        (scans.mvgamba_scan_threads, [scan, count]),
        (scans.mvgamba_scan_checkpoint_floats, [scan, count]),
        (conv_cpu._function(library, "conv_forward"), [conv]),
        (conv_cpu._function(library, "conv_backward"), [conv]),
    ]


ANY_NUMBER = {("plane_sweep", 10), ("pool_views", 5), "silu", "softplus"}
"""A least count and switches, which may be any."""
ADDRESSES_FROM = 4096


def with_one_changed(name: str, arguments: list[Any]) -> Any:
    """``arguments`` with one of their sizes, or of their structures' sizes, as none can be."""
    for i, x in enumerate(arguments):
        structure = x[0] if isinstance(x, ctypes.Array) else x
        for value in TOO_LARGE:
            if isinstance(x, int) and x < ADDRESSES_FROM and (name, i) not in ANY_NUMBER:
                yield [*arguments[:i], value, *arguments[i + 1 :]]
            elif isinstance(structure, ctypes.Structure):
                for field, kind in structure._fields_:
                    if kind is ctypes.c_int64 and field not in ANY_NUMBER and not field.endswith(("_batch", "_token")):
                        changed = type(x).from_buffer_copy(x)
                        setattr(changed[0] if isinstance(x, ctypes.Array) else changed, field, value)
                        yield [*arguments[:i], changed, *arguments[i + 1 :]]


def test_every_export_refuses_sizes_that_cannot_be() -> None:
    numbers, pictures, sides = np.ones(4096), np.zeros(4, np.uintp), np.ones(4, np.int64)
    pictures[:] = numbers.ctypes.data
    tried = 0
    for function, arguments in small_calls(*(x.ctypes.data for x in (numbers, pictures, sides))):
        function(*arguments)  # as they are, it answers
        for changed in with_one_changed(function.__name__.removeprefix("mvgamba_"), arguments):
            with pytest.raises(ValueError, match="size is zero, negative or too large"):
                function(*changed)
            tried += 1
    assert tried > 300


SHORT_OF_MEMORY = """
    import resource
    import numpy as np, torch
    from pathlib import Path
    from mvgamba_ros.kernels import native
    from mvgamba_ros.kernels.homography import match_colors, plane_sweep, warp_by_homography
    from mvgamba_ros.kernels.ray_layers import along_rays
    from mvgamba_ros.kernels.ray_types import RayMLP
    from mvgamba_ros.kernels.rasterize import rasterize
    from mvgamba_ros.kernels.scan import selective_scan

    torch.set_num_threads(2)
    N = 1_000_000
    line = np.zeros((1, 3, N)), np.zeros((1, 3)), np.zeros(2)
    lab = np.zeros((3, 1, N), np.float32)
    wide = torch.zeros(1, N // 8, 1), torch.zeros(1, N // 8, 1), torch.zeros(N // 8, 32), *torch.zeros(2, 1, 32, 1)
    mlp = RayMLP((torch.zeros(8, 1), torch.zeros(8)), ((torch.zeros(1, 8, 1), torch.zeros(1)),))
    along = torch.zeros(1, 1, N), torch.zeros(1, 8), mlp
    means, quats, scales, opacities, colors = (torch.ones(N // 8, *shape) for shape in ((3,), (4,), (3,), (), (3,)))
    gaussians = means, quats, scales, opacities, colors, torch.eye(4)[None], torch.eye(3)[None]
    small = np.ones((2, 2, 8), np.float32)
    calls = {
        "plane_sweep": lambda: plane_sweep([small[..., :4]], *line, 1.0, 1),
        "warp_by_homography": lambda: warp_by_homography((1, N // 12), np.ones(3), np.eye(3), small),
        "match_colors": lambda: match_colors(lab, lab, lab, 1.0, [N // 2], lab[0]),
        "scan_forward": lambda: selective_scan(*wide),
        "along_rays": lambda: along_rays(*along),
        "rasterize_forward": lambda: rasterize(*gaussians, 16, 16),
    }
    room = {"warp_by_homography": 5 * N, "match_colors": 6 * N, "along_rays": 6 * N}
    for name, call in calls.items():
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room.get(name, 2**21), resource.RLIM_INFINITY))
        try:
            call()
            print(name, "answered")
        except MemoryError as error:
            print(error)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("alive")
"""


def test_a_kernel_that_runs_out_of_memory_raises_memory_error_and_the_process_lives() -> None:
    if "MVGAMBA_KERNELS" in os.environ:
        pytest.skip("the sanitizers take more address space than the limit of this test leaves")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(SHORT_OF_MEMORY)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    *calls, last = done.stdout.splitlines()
    assert last == "alive"
    assert [line.removeprefix("mvgamba_").partition(":")[0] for line in calls] == [
        "plane_sweep",
        "warp_by_homography",
        "match_colors",
        "scan_forward",
        "along_rays",
        "rasterize_forward",
    ]
    assert all("memory ran out" in line for line in calls)
