"""A paper's cameras: the numbers of the paper and of its public code, and captures of a mesh seen from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvgamba_ros.cli import main
from mvgamba_ros.evaluation.captures import read_case
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.synthesis.orbit_cameras import PRESETS, object_size, orbit_intrinsics, orbit_poses
from mvgamba_ros.synthesis.orbit_render import RingRig, orbit_views
from mvgamba_ros.synthesis.shards import OrbitRecipe, example
from mvgamba_ros.synthesis.sources import Folder

SIZE = np.array([0.1, 0.06, 0.04])


def angles(poses: np.ndarray) -> np.ndarray:
    """Elevation and azimuth (V, 2) of cameras about the origin, degrees, azimuth 0 at -y."""
    x, y, z = poses[:, :3, 3].T
    return np.degrees(np.stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(x, -y)], 1)) % 360


def test_mvgamba_and_lgm_see_a_level_ring_of_four_at_radius_one_and_a_half() -> None:
    """orbit_camera(0, 0 | 90 | 180 | 270, radius=1.5) and fovy 49.1 in both codes; pictures of 512 and 256 pixels."""
    for name, pixels in (("mvgamba", 512), ("lgm", 256)):
        preset = PRESETS[name]
        poses = orbit_poses(preset.inputs, preset.distance, np.zeros(3))
        np.testing.assert_allclose(angles(poses), [[0, 0], [0, 90], [0, 180], [0, 270]], atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(poses[:, :3, 3], axis=1), 1.5)
        np.testing.assert_allclose(orbit_intrinsics(preset.fov_deg, 512)[0, 0], 560.4441410821737)  # of 512 pixels
        assert (preset.pixels, preset.grey, preset.size) == (pixels, 255, "side")


def test_an_opengl_camera_of_theirs_at_azimuth_0_and_90_has_our_pose() -> None:
    """Their world is y up and their camera looks along -z: its pose at azimuth 0 is no rotation at (0, 0, 1.5)."""
    z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    theirs = [(np.eye(3), [0, 0, 1.5]), (np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]), [1.5, 0, 0])]
    ours = orbit_poses(((0.0, 0.0), (0.0, 90.0)), 1.5, np.zeros(3))
    for (R, place), pose in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(pose[:3, :3], z_up @ R @ np.diag([1.0, -1, -1]), atol=1e-12)
        np.testing.assert_allclose(pose[:3, 3], z_up @ place, atol=1e-12)


def test_zero123pp_sees_six_views_from_20_and_minus_10_degrees() -> None:
    """README of v1.2: azimuths, elevations, 30 degrees; issue 73: a sphere of radius 0.5 at 0.5 / tan(15 degrees)."""
    preset = PRESETS["zero123pp"]
    poses = orbit_poses(preset.inputs, preset.distance, np.zeros(3))
    expected = [[20, 30], [350, 90], [20, 150], [350, 210], [20, 270], [350, 330]]
    np.testing.assert_allclose(angles(poses), expected)
    assert preset.distance == pytest.approx(1.8660254)
    assert (preset.fov_deg, preset.pixels, preset.size, preset.grey) == (30.0, 320, "sphere", 128)
    corner = np.array([[0.0, 0, 0], [0.3, 0.4, 1.2]])
    assert object_size(corner, preset)[1] == pytest.approx(1.3)
    assert object_size(corner, PRESETS["lgm"])[1] == pytest.approx(1.2)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red box as OBJ in a folder of its own, as scans come, a cylinder as GLB, and a file that is none."""
    folder = tmp_path_factory.mktemp("meshes")
    box = trimesh.creation.box(SIZE)
    box.visual.vertex_colors = np.tile(np.array([200, 40, 30, 255], np.uint8), (8, 1))
    (folder / "Red Box" / "meshes").mkdir(parents=True)
    box.export(folder / "Red Box" / "meshes" / "model.obj")
    trimesh.creation.cylinder(0.03, 0.12).export(folder / "can.glb")
    (folder / "broken.ply").write_bytes(b"ply but not really")
    return folder


def test_the_command_writes_captures_and_leaves_out_a_bad_mesh(
    meshes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rings"
    arguments = ["data", "orbit", str(meshes), "-o", str(out), "--size", "128"]
    assert main(arguments) == 0
    assert "left out broken: " in capsys.readouterr().out
    assert sorted(p.name for p in out.glob("[!.]*")) == ["Red_Box_meshes_model", "can", "manifest.json", "sheet.png"]
    box = out / "Red_Box_meshes_model"
    assert json.loads((box / "orbit.json").read_text())["preset"] == "mvgamba"
    views = read_capture(box)
    case = read_case(box, Options(segmenter="masks"), roi_from_truth=False)
    assert (len(views), len(case.targets)) == (4, 8)
    seen = views[0]
    assert seen.mask is not None
    # unlit: its own colour; on white
    assert np.abs(np.median(seen.image[seen.mask], axis=0) - [200, 40, 30]).max() <= 4
    assert (seen.image[~seen.mask][:100] == 255).all()
    assert case.truth is not None
    np.testing.assert_allclose(np.ptp(case.truth.vertices, axis=0), SIZE, atol=1e-6)
    errors = shape_errors(surface_points(case.truth, 3000), trimesh.creation.box(SIZE).sample(3000))
    assert errors["chamfer_mm"] < 2.0  # of sampling
    for view in views:
        mask = Raycaster(case.truth).render(view.camera, view.T_world_camera).mask
        assert view.mask is not None and (mask != view.mask).mean() < 0.01

    written = (box / "truth.ply").stat().st_mtime_ns
    assert main(arguments) == 0
    assert "2 of 3 objects are there, rendering 1" in capsys.readouterr().out
    assert (box / "truth.ply").stat().st_mtime_ns == written
    assert main([*arguments, "--preset", "lgm"]) != 0
    assert "written with another recipe" in capsys.readouterr().err


def test_light_and_background_are_the_presets_and_the_rigs(meshes: Path) -> None:
    mesh = Folder(meshes, 1)[0]
    lit, unlit = (
        orbit_views(mesh, RingRig("zero123pp", 64, lit, turned=False), np.random.default_rng(3), 64, [0, 1])
        for lit in (1.0, 0.0)
    )
    inside = unlit["alpha"][0] == 255
    assert unlit["rgb"][0][inside].std(0).max() < 3 < lit["rgb"][0][inside].std(0).max()
    np.testing.assert_array_equal(lit["alpha"], unlit["alpha"])
    assert np.isnan(lit["support_height"])


def test_a_training_example_has_the_same_cameras(meshes: Path) -> None:
    recipe = OrbitRecipe(str(meshes), 1, 2, 2, 64, RingRig("mvgamba", 32))
    item = example(Folder(meshes / "Red Box", 1), 0, recipe)
    assert item["rgb"].shape == (12, 32, 32, 3)
    distance = np.linalg.norm(item["T_world_camera"][:, :3, 3], axis=1)
    np.testing.assert_allclose(distance, distance[0], rtol=1e-6)
    assert distance[0] == pytest.approx(1.5 * np.ptp(item["points"], axis=0).max(), rel=0.05)
