"""TSDF integration of depth maps, of exact ones and of Gaussians rendered: spheres come out as spheres."""

from dataclasses import Field, fields, replace

import numpy as np
import open3d as o3d
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgamba_ros.config.gaussian_meshing_config import GaussianMeshingConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.methods.published.gaussian_meshing import gaussians_to_mesh
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.surface.simplification import is_watertight
from mvgamba_ros.surface.tsdf import integrate_depth_maps, smooth
from mvgamba_ros.types import F64, Camera, Gaussians

CENTRE = np.array([0.3, -0.2, 0.1])
RADIUS = 0.04


def sphere_gaussians(n: int = 4000, radius: float = RADIUS, centre: F64 = CENTRE, scale: float = 0.0015) -> Gaussians:
    """Round red Gaussians spread evenly over a sphere."""
    z = 1 - 2 * (np.arange(n) + 0.5) / n
    angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
    directions = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], 1)
    return Gaussians(
        torch.tensor(centre + radius * directions).float(),
        torch.tensor([1.0, 0, 0, 0]).repeat(n, 1),
        torch.full((n, 3), scale),
        torch.full((n,), 0.9),
        torch.tensor([1.0, 0, 0]).repeat(n, 1),
    )


def joined(*parts: Gaussians) -> Gaussians:
    fields = ("means", "quats", "scales", "opacities", "colors")
    return Gaussians(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))


def cube_hull(half: float = 0.05, n: int = 64) -> DistanceField:
    """The hull of a cube around the centre."""
    voxel = 2.2 * half / n
    axis = voxel * (np.arange(n) - (n - 1) / 2)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    return DistanceField((half - np.abs(points).max(-1)).astype(np.float32), CENTRE + axis[0], voxel)


CRISP = GaussianMeshingConfig(cover=0.4, median_agreement=0.5)
"""Gaussians no wider than closes the gaps between them."""


def test_gaussians_on_a_sphere_give_that_sphere_within_a_millimetre():
    mesh = gaussians_to_mesh(sphere_gaussians(), [], cube_hull(), 5000, config=CRISP)
    error = np.linalg.norm(mesh.vertices - CENTRE, axis=1) - RADIUS
    assert np.abs(error).max() < 0.001
    assert is_watertight(mesh.faces)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume > 0
    assert (mesh.colors == [255, 0, 0]).all()


def test_soft_gaussians_do_not_swell_the_surface():
    mesh = gaussians_to_mesh(sphere_gaussians(scale=0.003), [], cube_hull(), 5000, config=CRISP)
    assert np.abs(np.linalg.norm(mesh.vertices - CENTRE, axis=1) - RADIUS).max() < 0.001


def test_gaussians_adrift_and_faint_ones_leave_no_trace():
    adrift = sphere_gaussians(60, 0.002, CENTRE + 0.042)
    faint = sphere_gaussians(3000, 0.047)
    faint = replace(faint, opacities=torch.full((3000,), 0.1))
    mesh = gaussians_to_mesh(joined(sphere_gaussians(), adrift, faint), [], cube_hull(), 5000, config=CRISP)
    assert np.abs(np.linalg.norm(mesh.vertices - CENTRE, axis=1) - RADIUS).max() < 0.0015


def test_an_open_bowl_on_a_support_is_closed_flat_there():
    gaussians = sphere_gaussians()
    above = gaussians.means[:, 2] > CENTRE[2]
    dome = Gaussians(*(getattr(gaussians, n)[above] for n in ("means", "quats", "scales", "opacities", "colors")))
    mesh = gaussians_to_mesh(dome, [], cube_hull(), 5000, support_height=float(CENTRE[2]))
    assert is_watertight(mesh.faces)
    assert mesh.vertices[:, 2].min() == pytest.approx(CENTRE[2], abs=5e-4)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.volume == pytest.approx(2 / 3 * np.pi * RADIUS**3, rel=0.08)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.integers(60, 300))
def test_random_gaussians_give_a_closed_outward_mesh(seed: int, count: int):
    rng = torch.Generator().manual_seed(seed)
    cloud = Gaussians(
        torch.tensor(CENTRE).float() + 0.03 * (2 * torch.rand(count, 3, generator=rng) - 1),
        torch.randn(count, 4, generator=rng),
        0.001 + 0.008 * torch.rand(count, 3, generator=rng),
        0.6 + 0.4 * torch.rand(count, generator=rng),
        torch.rand(count, 3, generator=rng),
    )
    mesh = gaussians_to_mesh(cloud, [], cube_hull(n=32), 1000, config=GaussianMeshingConfig(virtual_views=8))
    assert is_watertight(mesh.faces)
    assert len(mesh.faces) <= 1000
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume > 0


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("setting", fields(GaussianMeshingConfig), ids=lambda setting: setting.name)
def test_a_setting_at_an_end_of_its_range_gives_a_mesh_or_an_error_of_the_package(setting: Field, end: str):
    if end == "high" and setting.name in {"virtual_views", "min_map_size", "max_map_size"}:
        pytest.skip("meant to take minutes")
    value = type(setting.default)(setting.metadata[end])
    config = replace(GaussianMeshingConfig(virtual_views=4), **{setting.name: value})
    try:
        mesh = gaussians_to_mesh(sphere_gaussians(), [], cube_hull(n=32), 1000, config=config)
    except ReconstructionError as error:
        assert error.code == ErrorCode.EMPTY_SURFACE
    else:
        assert 0 < len(mesh.faces) <= 1000


def test_no_opaque_gaussian_is_an_empty_surface():
    faint = replace(sphere_gaussians(), opacities=torch.full((4000,), 0.2))
    with pytest.raises(ReconstructionError) as error:
        gaussians_to_mesh(faint, [], cube_hull(), 5000)
    assert error.value.code == ErrorCode.EMPTY_SURFACE


def sphere_depths(eyes: list[F64], size: int = 96) -> DepthMaps:
    """Exact first and last depths of the sphere, seen from ``eyes``."""
    K = np.array([[2.6 * size, 0, size / 2], [0, 2.6 * size, size / 2], [0, 0, 1]])
    front, back, poses = [], [], []
    x = (np.arange(size) + 0.5 - size / 2) / K[0, 0]
    ray = np.stack(np.broadcast_arrays(x[None, :], x[:, None], 1.0), -1)
    for eye in eyes:
        T = look_at(eye, CENTRE)
        d, o = ray @ T[:3, :3].T, eye - CENTRE
        a, b, c = (d * d).sum(-1), d @ o, o @ o - RADIUS**2
        root = b * b - a * c
        hit = root > 0
        root = np.sqrt(np.maximum(root, 0))
        front.append(np.where(hit, (-b - root) / a, np.inf))
        back.append(np.where(hit, (-b + root) / a, np.inf))
        poses.append(T)
    Ks = np.repeat(K[None], len(eyes), 0)
    return DepthMaps(torch.tensor(np.stack(front)).float(), Ks, np.stack(poses), torch.tensor(np.stack(back)).float())


def mesh_depths(mesh: trimesh.Trimesh, eyes: list[F64], size: int = 96) -> DepthMaps:
    """Exact first and last depths of any mesh around the centre, seen from ``eyes``."""
    K = np.array([[2.0 * size, 0, size / 2], [0, 2.0 * size, size / 2], [0, 0, 1]])
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    poses = np.stack([look_at(eye, CENTRE) for eye in eyes])
    front, back, far = [], [], 1.0
    for T in poses:
        origin, d = rays(Camera(K, size, size), T)
        there = np.concatenate([np.broadcast_to(origin, d.shape), d], -1)
        again = np.concatenate([origin + far * d, -d], -1)
        first, last = (scene.cast_rays(cast.astype(np.float32))["t_hit"].numpy() for cast in (there, again))
        z = d @ T[:3, 2]
        front.append(first * z)
        back.append(np.where(np.isfinite(first), (far - last) * z, np.inf))
    Ks = np.repeat(K[None], len(eyes), 0)
    return DepthMaps(torch.tensor(np.stack(front)).float(), Ks, poses, torch.tensor(np.stack(back)).float())


def integrate(maps: DepthMaps, hull: DistanceField) -> DistanceField:
    """At every voxel near the surface, truncated at three voxels."""
    return integrate_depth_maps([maps], hull, 3 * hull.voxel)


def crossings(shape: DistanceField) -> F64:
    """Points (N, 3) where the field crosses zero, from the centre."""
    from skimage.measure import marching_cubes

    return shape.origin + shape.voxel * marching_cubes(shape.values, 0.0)[0] - CENTRE


def radii(shape: DistanceField) -> F64:
    return np.linalg.norm(crossings(shape), axis=1)


def test_exact_depths_from_six_sides_are_fused_to_a_fifth_of_a_voxel():
    eyes = [CENTRE + 0.25 * sign * np.eye(3)[axis] for axis in range(3) for sign in (-1, 1)]
    maps = sphere_depths(eyes)
    hull = cube_hull()
    for observed in (maps, replace(maps, back=None)):
        error = np.abs(radii(integrate(observed, hull)) - RADIUS)
        assert error.mean() < 0.2 * hull.voxel
        assert error.max() < hull.voxel


def test_depths_fused_at_every_second_voxel_and_smoothed_are_as_near_as_those_fused_at_every_voxel():
    eyes = [CENTRE + 0.25 * sign * np.eye(3)[axis] for axis in range(3) for sign in (-1, 1)]
    maps, hull = sphere_depths(eyes), cube_hull()
    truncation = 5 * hull.voxel
    errors = [
        np.abs(
            radii(smooth(integrate_depth_maps([maps], hull, truncation, coarse_only), hull, truncation)) - RADIUS
        ).mean()
        for coarse_only in (False, True)
    ]
    assert errors[1] < errors[0] + 0.05 * hull.voxel


def test_a_last_exit_bounds_what_a_first_hit_leaves_open():
    maps = sphere_depths([CENTRE + np.array([0.25, 0, 0])])
    open_behind = integrate(replace(maps, back=None), cube_hull())
    bounded = integrate(maps, cube_hull())
    deepest = CENTRE - [0.048, 0, 0]
    assert open_behind.sample(deepest[None])[0] > 0
    assert bounded.sample(deepest[None])[0] < 0
    assert bounded.sample(CENTRE[None])[0] > 0


@pytest.mark.parametrize("sigma", [None, 0.002])
def test_walls_seen_from_the_side_do_not_fill_a_cup_that_one_view_looks_into(sigma: float | None):
    """A ray from the side enters by one wall and leaves by the other: of the air between them it observes nothing."""
    inner, floor, rim = RADIUS - 0.008, -0.027, 0.035
    profile = [[0, -rim], [RADIUS, -rim], [RADIUS, rim], [inner, rim], [inner, floor], [0, floor]]
    cup = trimesh.creation.revolve(profile, sections=64).apply_translation(CENTRE)
    sides = [[np.cos(angle), np.sin(angle), 0.1] for angle in (0.0, 1.6, 3.1, 4.7)]
    maps = mesh_depths(cup, [CENTRE + 0.25 * np.array(eye) for eye in ([0.01, 0.0, 1.0], *sides)])
    if sigma is not None:
        maps = replace(maps, sigma=torch.full((*maps.front.shape, 2), sigma))
    fused = integrate(maps, cube_hull())

    def at(points: F64) -> F64:
        return fused.values[tuple(np.round((CENTRE + points - fused.origin) / fused.voxel).astype(int).T)]

    axis = np.zeros((20, 3))
    axis[:, 2] = np.linspace(floor + 0.004, rim - 0.002, len(axis))
    assert (at(axis) < 0).all()
    assert (at(np.array([[RADIUS - 0.004, 0, 0], [0, 0.004 - RADIUS, 0.01], [0, 0, floor - 0.004]])) > 0).all()


def test_the_views_that_are_sure_outvote_the_one_that_is_not():
    """One view's surface is 6 mm too deep. Where its sigma is large, the others keep the sphere where it was."""
    eyes = [CENTRE + 0.25 * sign * np.eye(3)[axis] for axis in range(3) for sign in (-1, 1)]
    maps = sphere_depths(eyes)
    wrong = replace(maps, front=maps.front.clone())
    wrong.front[0] += 0.006
    sigma = torch.full((*maps.front.shape, 2), 0.001)
    doubtful = sigma.clone()
    doubtful[0] = 0.006
    error = {}
    for name, s in (("sure", sigma), ("doubtful", doubtful)):
        found = crossings(integrate(replace(wrong, sigma=s), cube_hull()))
        found = found[found[:, 0] < -0.8 * RADIUS]  # what that view sees
        error[name] = np.abs(np.linalg.norm(found, axis=1) - RADIUS).mean()
    assert error["doubtful"] < 0.6 * error["sure"]


def test_unknown_depth_takes_nothing_away():
    maps = sphere_depths([CENTRE + np.array([0.25, 0, 0])])
    hull = cube_hull()
    blind = integrate(replace(maps, front=torch.full_like(maps.front, torch.nan), back=None), hull)
    assert ((blind.values > 0) == (hull.values > 0)).all()


def test_the_result_never_leaves_the_hull():
    hull = cube_hull(half=0.03)
    mesh = gaussians_to_mesh(sphere_gaussians(), [], hull, 5000)
    assert np.abs(mesh.vertices - CENTRE).max() < 0.03 + 0.3 * hull.voxel
