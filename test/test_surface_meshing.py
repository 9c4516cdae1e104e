"""Fields to meshes: closed, outward, light, without floaters."""

import manifold3d
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.surface import meshing, simplification
from mvgamba_ros.surface.meshing import field_to_mesh, solid, solid_to_mesh
from mvgamba_ros.surface.simplification import divide, is_watertight
from mvgamba_ros.types import F64, Mesh

VOXEL = 0.002


def grid(n: int = 48) -> F64:
    """(n, n, n, 3) world points around the origin."""
    axis = VOXEL * (np.arange(n) - (n - 1) / 2)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)


def shape(field: np.ndarray) -> DistanceField:
    n = field.shape[0]
    return DistanceField(field.astype(np.float32), np.full(3, -VOXEL * (n - 1) / 2), VOXEL)


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    return radius - np.linalg.norm(grid() - np.array(centre), axis=-1)


def as_trimesh(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def test_a_ball_keeps_its_radius_and_faces_outward():
    mesh = field_to_mesh(shape(ball((0, 0, 0), 0.03)), max_faces=2000)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.03).max() < VOXEL / 4
    assert as_trimesh(mesh).volume == pytest.approx(4 / 3 * np.pi * 0.03**3, rel=0.02)
    outward = (as_trimesh(mesh).face_normals * as_trimesh(mesh).triangles_center).sum(1) > 0
    assert as_trimesh(mesh).area_faces[outward].sum() > 0.999 * as_trimesh(mesh).area


def test_long_edges_are_divided_as_far_as_the_faces_allow():
    box = trimesh.creation.box([0.02, 0.1, 0.15])
    vertices, faces = divide(np.asarray(box.vertices), np.asarray(box.faces, np.int32), 1000)
    divided = trimesh.Trimesh(vertices, faces, process=False)
    assert is_watertight(faces)
    assert 500 < len(faces) <= 1000
    assert divided.edges_unique_length.max() < 0.02
    np.testing.assert_allclose(divided.bounds, box.bounds, atol=1e-7)
    assert divided.volume == pytest.approx(box.volume, rel=1e-5)


def test_a_very_short_edge_does_not_make_dividing_dear(monkeypatch: pytest.MonkeyPatch):
    """The length of edges that is aimed at is set by the surface's area, not by its smallest face."""
    box = trimesh.creation.box([0.1, 0.1, 0.15])
    vertices, faces = divide(np.asarray(box.vertices), np.asarray(box.faces, np.int32), 60)
    vertices[np.linalg.norm(vertices - vertices[0], axis=1).argsort()[1]] = vertices[0] + 1e-7
    tried: list[int] = []

    class Counted:
        def __init__(self, body: manifold3d.Manifold) -> None:
            self.surface_area, self.to_mesh, self._body = body.surface_area, body.to_mesh, body

        def refine_to_length(self, length: float) -> manifold3d.Manifold:
            divided = self._body.refine_to_length(length)
            tried.append(divided.num_tri())
            return divided

    whole = simplification.to_manifold
    monkeypatch.setattr(simplification, "to_manifold", lambda *mesh: Counted(whole(*mesh)))
    assert len(divide(vertices, faces, 2000)[1]) <= 2000
    assert max(tried) < 3 * 2000, tried


def test_a_flat_side_is_left_vertices_for_its_colours_beside_one_that_bends():
    x, y, z = np.moveaxis(grid(), -1, 0)
    ripple = 0.002 * np.sin(600 * x) * np.sin(600 * y)
    field = np.minimum(0.03 - np.maximum(np.abs(x), np.abs(y)), np.minimum(z + 0.03, 0.03 + ripple - z))
    mesh = field_to_mesh(shape(field), max_faces=1500)
    assert is_watertight(mesh.faces)
    assert len(mesh.faces) <= 1500
    bottom = mesh.vertices[:, 2] < -0.03 + 1e-3
    assert bottom.sum() > 50


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 4.0), st.integers(300, 3000), st.booleans())
def test_any_field_gives_a_closed_mesh_of_at_most_max_faces(seed: int, smooth: float, max_faces: int, denoised: bool):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(24, 24, 24)), smooth)
    mesh = field_to_mesh(shape(field / np.abs(field).max() * VOXEL), max_faces, denoised=denoised)
    assert is_watertight(mesh.faces)
    assert len(mesh.faces) <= max_faces
    assert as_trimesh(mesh).volume > 0


def test_faces_too_few_for_the_surface_are_refused_with_the_number_it_needs():
    field = ndimage.gaussian_filter(np.random.default_rng(9).normal(size=(24, 24, 24)), 1.0)
    with pytest.raises(ReconstructionError, match=r"max_faces 100 .*at least \d+") as caught:
        field_to_mesh(shape(field / np.abs(field).max() * VOXEL), 100)
    assert caught.value.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize("n", [80, 81])
def test_a_thick_solid_is_marched_at_every_second_voxel_and_as_round(n: int):
    radius = 38 * VOXEL
    field = radius - np.linalg.norm(grid(n), axis=-1)
    clean = solid(shape(field))
    coarse = meshing._coarsened(clean, SurfaceConfig())
    assert coarse.voxel == 2 * VOXEL
    assert is_watertight(meshing._marching_cubes(coarse)[1])
    mesh = field_to_mesh(shape(field), 5000, denoised=True)
    fine = solid_to_mesh(clean, 5000, denoised=False)
    assert is_watertight(mesh.faces)
    assert as_trimesh(mesh).volume == pytest.approx(as_trimesh(fine).volume, rel=0.01)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - radius).max() < VOXEL / 3


def test_a_plate_counts_as_thick_as_it_is():
    plate = np.full((48, 48, 48), -1.0)
    plate[3:45, 3:45, 20:26] = 1.0
    assert meshing._thickness(shape(plate)) == pytest.approx(1.5 * 6, rel=0.25)  # level, so without the allowance


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.5])
def test_a_wire_handle_on_a_thick_body_stays_whole(radius: float):
    points = grid(112) / VOXEL
    body = 36.0 - np.linalg.norm(points - [-16.0, 0, 0], axis=-1)
    ring = np.hypot(points[..., 0] - 20.3, points[..., 2]) - 14.0
    field = np.maximum(body, radius - np.hypot(ring, points[..., 1] - 0.4))
    clean = solid(shape(VOXEL * field))
    assert meshing._thickness(clean) > SurfaceConfig().coarse_min_thickness
    assert meshing._coarsened(clean, SurfaceConfig()).voxel == (VOXEL if radius < 1.2 else 2 * VOXEL)
    mesh = as_trimesh(field_to_mesh(shape(VOXEL * field), denoised=True, max_faces=20_000))
    assert mesh.euler_number == 0  # of a ball with a handle
    assert mesh.body_count == 1


def test_floaters_go_and_large_parts_stay():
    body, floater, part = ball((-0.01, 0, 0), 0.02), ball((0.03, 0.03, 0.03), 0.004), ball((0.03, -0.02, 0), 0.01)
    mesh = field_to_mesh(shape(np.maximum(np.maximum(body, floater), part)), 5000)
    parts = as_trimesh(mesh).split()
    assert sorted(round(p.volume * 1e9) > 1000 for p in parts) == [True, True]


def test_a_closed_hollow_is_filled():
    shell = np.minimum(ball((0, 0, 0), 0.03), -ball((0, 0, 0), 0.02))
    mesh = field_to_mesh(shape(shell), 5000)
    assert as_trimesh(mesh).volume == pytest.approx(4 / 3 * np.pi * 0.03**3, rel=0.02)


@pytest.mark.parametrize("denoised", [False, True])
def test_the_mesh_is_cut_flat_at_the_support(denoised: bool):
    mesh = field_to_mesh(shape(ball((0, 0, 0), 0.03)), 5000, support_height=-0.0115, denoised=denoised)
    assert mesh.vertices[:, 2].min() == pytest.approx(-0.0115, abs=1e-4)
    cap = as_trimesh(mesh).triangles_center[:, 2] < -0.0115 + VOXEL / 4
    radius = np.sqrt(0.03**2 - 0.0115**2)
    assert as_trimesh(mesh).area_faces[cap].sum() == pytest.approx(np.pi * (radius - VOXEL / 2) ** 2, rel=0.1)
    assert is_watertight(mesh.faces)


def test_a_shape_that_fills_its_grid_is_closed_at_the_border():
    mesh = field_to_mesh(shape(np.full((8, 8, 8), 0.01)), 5000)
    assert is_watertight(mesh.faces)


def test_nothing_inside_is_an_empty_surface():
    with pytest.raises(ReconstructionError) as error:
        field_to_mesh(shape(np.full((8, 8, 8), -0.01)), 5000)
    assert error.value.code == ErrorCode.EMPTY_SURFACE


def test_a_triangle_missing_or_turned_is_not_watertight():
    mesh = field_to_mesh(shape(ball((0, 0, 0), 0.02)), max_faces=500)
    assert is_watertight(mesh.faces)
    assert not is_watertight(mesh.faces[1:])
    turned = mesh.faces.copy()
    turned[0] = turned[0, ::-1]
    assert not is_watertight(turned)
