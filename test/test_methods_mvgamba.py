"""The network as a reconstructor: what holds for any weights, and what the shipped ones reach."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from rendered import CENTER, SIZE, views
from scipy.spatial.transform import Rotation

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.unit_cube import fit
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.kernels.autocast import halve_weights, has_bfloat16
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.methods.mvgamba import MVGambaMethod, recarve_around
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint, save_checkpoint
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_config import ORDERS, RayGambaConfig
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.rendering.crops import make_crops
from mvgamba_ros.splats.fit import silhouette_iou
from mvgamba_ros.types import Box, Prompts, View

RESOLUTION = 48


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> MVGambaMethod:
    """Random weights, which begin near the visual hull: the claims below must hold for any."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    network = RayGamba(RayGambaConfig(width=32, skip=16, bins=8, orders=ORDERS))
    save_checkpoint(path, network, {})
    return MVGambaMethod(str(path))


def test_its_provenance_is_the_device_and_the_file(method: MVGambaMethod) -> None:
    shipped = MVGambaMethod(device="cpu").provenance
    assert shipped["device"] == "cpu" and shipped["checkpoint"] == SHIPPED.name
    assert shipped["checkpoint_sha256"] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert method.provenance["checkpoint"] == "random.safetensors"
    assert method.provenance["checkpoint_sha256"] != shipped["checkpoint_sha256"]


def test_half_precision_moves_depths_less_than_the_check_of_a_gpu_allows() -> None:
    """By a median of 0.2 mm; and what cannot be is refused."""
    seen = views(3)
    cube = fit(*carve(seen, None, RESOLUTION, 0.0).bounds())
    whole, half = (MVGambaMethod(device="cpu", precision=name) for name in ("float32", "bfloat16"))
    assert whole.precision is torch.float32 and half.precision is torch.bfloat16
    right, got = (method._forward_pass(seen, cube, Options()) for method in (whole, half))
    apart = 1e3 * cube.half * (got.depth - right.depth).abs()[right.rays.valid]
    assert 0.0 < apart.median() < 0.2
    for name, words in (("float16", "on a CPU: choose auto, float32, bfloat16"), ("fp8", "'fp8': choose auto")):
        with pytest.raises(ReconstructionError, match=words):
            MVGambaMethod(device="cpu", precision=name)


def run(method: MVGambaMethod, seen: Sequence[View], support: float | None = 0.0) -> Shape:
    hull = carve(seen, None, RESOLUTION, support)
    options = Options(prompts=Prompts(support_height=support))
    return method(seen, hull, options, lambda stage, fraction: None, lambda: False)


def moved(view: View, scale: float, shift: np.ndarray) -> View:
    T = view.T_world_camera.copy()
    T[:3, 3] = scale * T[:3, 3] + shift
    return replace(view, T_world_camera=T, depth=None)


@pytest.mark.parametrize(("capability", "halved"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_a_torch_that_is_kept_from_avx512_runs_in_float32(capability, halved, monkeypatch) -> None:
    """As on a machine without it, where half precision is emulated and many times slower."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert has_bfloat16() is halved


def test_weights_halved_once_answer_as_those_that_autocast_halves() -> None:
    network = load_checkpoint(SHIPPED)[0]
    batch = make_crops(
        views(3),
        fit(*carve(views(3), None, RESOLUTION, 0.0).bounds()),
        network.config.size,
        network.config.crop_margin,
        0.0,
    )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = network(batch)
        halve_weights(network)
        answer = network(batch)
    for name in ("depth", "sigma", "scales", "quats", "opacities", "colors"):
        assert torch.equal(getattr(answer, name), getattr(expected, name))


def test_an_object_twice_as_large_seen_from_twice_as_far_gives_twice_the_mesh(method: MVGambaMethod) -> None:
    once = run(method, [moved(v, 1.0, np.zeros(3)) for v in views(4)])
    twice = run(method, [moved(v, 2.0, np.zeros(3)) for v in views(4)])
    np.testing.assert_allclose(np.ptp(twice.mesh.vertices, axis=0), 2 * np.ptp(once.mesh.vertices, axis=0), rtol=0.02)


def test_moving_the_world_moves_the_result(method: MVGambaMethod) -> None:
    shift = np.array([0.3, -1.2, 0.5])
    here = run(method, views(4))
    there = run(method, [moved(v, 1.0, shift) for v in views(4)], support=0.5)
    middle, shifted = (trimesh.Trimesh(found.mesh.vertices, found.mesh.faces).center_mass for found in (here, there))
    np.testing.assert_allclose(shifted, middle + shift, atol=2e-3)


def test_the_mesh_stays_inside_the_visual_hull(method: MVGambaMethod) -> None:
    seen = views(4)
    hull = carve(seen, None, RESOLUTION, 0.0)
    assert hull.sample(run(method, seen).mesh.vertices).min() > -1.5 * hull.voxel


def test_refining_brings_the_gaussians_nearer_to_the_silhouettes_and_leaves_the_mesh(method: MVGambaMethod) -> None:
    seen = views(3)
    hull = carve(seen, None, RESOLUTION, 0.0)
    options = Options(refine=False, prompts=Prompts(support_height=0.0))
    fractions: list[float] = []
    plain = method(seen, hull, options, lambda stage, fraction: None, lambda: False)
    refined = method(
        seen, hull, replace(options, refine=True), lambda stage, fraction: fractions.append(fraction), lambda: False
    )
    assert plain.gaussians is not None and refined.gaussians is not None
    assert silhouette_iou(refined.gaussians, seen, hull) > silhouette_iou(plain.gaussians, seen, hull)
    np.testing.assert_array_equal(refined.mesh.vertices, plain.mesh.vertices)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def ball_in(hull: DistanceField, radius: float = 0.03) -> DistanceField:
    """A ball around the object's centre, on the hull's grid and inside it."""
    points = hull.origin + hull.voxel * np.stack(np.meshgrid(*map(np.arange, hull.values.shape), indexing="ij"), -1)
    ball = radius - np.linalg.norm(points - CENTER, axis=-1)
    return replace(hull, values=np.minimum(hull.values, ball).astype(np.float32))


def test_a_hull_that_reaches_far_beyond_what_was_found_is_carved_again_around_that() -> None:
    seen = views(8)[:2]  # 45 degrees apart: the hull is a long wedge
    hull, options = carve(seen, None, RESOLUTION, 0.0), Options(hull_resolution=RESOLUTION)
    found = ball_in(hull)
    tighter = recarve_around(found, hull, seen, options)
    assert tighter is not None
    before, after, ball = (np.ptp(field.bounds(), axis=0) for field in (hull, tighter, found))
    assert before.max() > 1.5 * ball.max()
    assert (after < ball + 0.25 * ball.max()).all()
    assert recarve_around(ball_in(tighter, 0.04), tighter, seen, options) is None


def test_what_is_carved_again_stays_inside_a_turned_region_of_interest() -> None:
    seen, half = views(8)[:2], 0.05
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_euler("z", 30, degrees=True).as_matrix(), CENTER
    roi = Box(T, np.array([4 * half, 2 * half, 0.12]))
    hull = carve(seen, roi, RESOLUTION, 0.0)
    options = Options(hull_resolution=RESOLUTION, prompts=Prompts(roi=roi))
    tighter = recarve_around(ball_in(hull), hull, seen, options)
    assert tighter is not None
    inside = tighter.origin + tighter.voxel * np.argwhere(tighter.inside)
    assert np.abs(((inside - CENTER) @ T[:3, :3])[:, 1]).max() <= half + 1e-9


def test_of_more_views_than_it_takes_the_network_sees_those_furthest_apart(
    method: MVGambaMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[View] = []

    def forward_pass(seen: Sequence[View], *_: object) -> None:
        taken.extend(seen)
        raise ReconstructionError(ErrorCode.CANCELLED, "enough")

    monkeypatch.setattr(method, "_forward_pass", forward_pass)
    around = views(16)
    crowded = [around[0]] * 20 + around[1:]
    with pytest.raises(ReconstructionError, match="enough"):
        method(crowded, carve(around[:4], None, RESOLUTION), Options(), lambda s, f: None, lambda: False)
    assert method.network.config.max_views == 16
    assert {id(view) for view in taken} == {id(view) for view in around}


def test_cancelling_stops_before_the_network_runs(method: MVGambaMethod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "_forward_pass", lambda *_: pytest.fail("the network ran"))
    seen = views(3)
    with pytest.raises(ReconstructionError) as caught:
        method(seen, carve(seen, None, RESOLUTION), Options(), lambda s, f: None, lambda: True)
    assert caught.value.code is ErrorCode.CANCELLED


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused_with_the_remedy() -> None:
    assert choose_device("auto") == choose_device("cpu") == (torch.device("cpu"), ())
    with pytest.raises(ReconstructionError, match=r"sees no GPU.*choose device cpu") as caught:
        MVGambaMethod(device="cuda")
    assert caught.value.code is ErrorCode.MISSING_PACKAGE


@pytest.mark.parametrize("name", ["tpu", "gpu", "cuda:first", "cpu:0", ""])
def test_a_device_of_another_name_is_refused_with_the_names_that_there_are(name: str) -> None:
    with pytest.raises(ReconstructionError, match=r"choose auto, cpu, cuda or cuda:N") as caught:
        choose_device(name)
    assert caught.value.code is ErrorCode.BAD_OPTION


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_shape_that_the_cpu_gives() -> None:
    seen = views(4)
    there = MVGambaMethod(device="cuda")
    here = MVGambaMethod(device="cpu")
    assert there.device.type == "cuda"
    np.testing.assert_allclose(
        np.ptp(run(there, seen).mesh.vertices, 0), np.ptp(run(here, seen).mesh.vertices, 0), atol=1e-3
    )


@pytest.mark.parametrize("count", [1, 4])
def test_the_shipped_network_finds_a_known_object_where_it_is(count: int) -> None:
    """An egg on a table; one view is answered too, and marked as not to be trusted."""
    assert Path(SHIPPED).is_file()
    given = views(count)
    result = reconstruct(given, Options(method="mvgamba", segmenter="masks", prompts=Prompts(support_height=0.0)))
    assert result.quality.low == (count == 1)
    assert result.gaussians is not None
    tolerance = 0.006 if count > 1 else 0.03
    low, high = result.mesh.vertices.min(0), result.mesh.vertices.max(0)
    np.testing.assert_allclose((low + high) / 2, CENTER, atol=tolerance)
    np.testing.assert_allclose(high - low, SIZE, atol=2 * tolerance)
