"""Sources of objects: packages, folders of files, mixtures; and the `mvgamba data` command over them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.synthesis.families import FAMILIES, Procedural
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.render import render
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.synthesis.sources import Folder, Mixture, PyBullet, Robosuite, open_source

RIG = CameraRig(views=2, inputs=2, size=48)


def seen(mesh, seed: int = 0) -> np.ndarray:
    """The colours (N, 3) in the fully covered pixels of a few views."""
    out = render(mesh, RIG, np.random.default_rng(seed), points=16)
    return out["rgb"][out["alpha"] == 255].astype(float)


def test_a_few_dozen_objects_bring_nearly_every_family():
    drawn = {Procedural(0, 60)[i].family for i in range(60)}
    assert len(drawn) >= len(FAMILIES) - 3
    assert {Procedural(1, 9, {"mug": 1.0})[i].family for i in range(5)} == {"mug"}


def test_household_objects_are_of_many_kinds_and_the_same_each_time():
    source = open_source("household", 7, 40)
    drawn = [source[i] for i in range(40)]
    assert {mesh.family for mesh in drawn} - set(FAMILIES)  # thin and everyday things are among them
    assert all(0.03 < np.ptp(mesh.vertices, axis=0).max() < 0.27 for mesh in drawn)
    np.testing.assert_array_equal(source[11].vertices, drawn[11].vertices)


def test_pybullets_objects_are_graspable_and_the_same_each_time():
    pytest.importorskip("pybullet_data")
    source = PyBullet(3)
    assert len(source) == 1000
    a, b = source[17], source[17]
    np.testing.assert_array_equal(a.vertices, b.vertices)
    np.testing.assert_array_equal(a.textures, b.textures)
    assert 0.03 < np.ptp(a.vertices, axis=0).max() < 0.25
    assert len(seen(a)) > 50


def test_robosuites_groceries_wear_their_own_textures():
    if importlib.util.find_spec("robosuite") is None:
        pytest.skip("robosuite is not installed")
    source = Robosuite(3)
    by_name = {source[i].family: source[i] for i in range(6)}
    lemon = seen(by_name["robosuite lemon"]).mean(0)
    assert lemon[0] > 1.5 * lemon[2]  # yellow: far more red than blue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files: a tall red glTF (y up), a large PLY with green vertices, a bare OBJ."""
    red = trimesh.creation.box((0.05, 0.2, 0.04))
    red.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 20, 20, 255])
    )
    red.export(tmp_path / "a.glb")
    green = trimesh.creation.icosphere(radius=7.0)
    green.visual = trimesh.visual.ColorVisuals(
        green, vertex_colors=np.tile([20, 220, 20, 255], (len(green.vertices), 1))
    )
    green.export(tmp_path / "b.ply")
    (tmp_path / "deeper").mkdir()
    trimesh.creation.icosphere(radius=0.04).export(tmp_path / "deeper" / "c.obj")
    return tmp_path


def test_a_folders_files_keep_colour_size_and_the_way_up(folder: Path):
    source = Folder(folder, seed=1)
    assert len(source) == 3
    red, green, bare = (source[i] for i in range(3))
    np.testing.assert_allclose(np.ptp(red.vertices, axis=0), [0.05, 0.04, 0.2], atol=1e-6)
    assert red.upright and not green.upright
    assert 0.05 <= np.ptp(green.vertices, axis=0).max() <= 0.25  # 14 m is no object to grasp: taken as another unit
    np.testing.assert_allclose(np.ptp(bare.vertices, axis=0), 0.08, atol=1e-3)
    r, g = seen(red).mean(0), seen(green).mean(0)
    assert r[0] > 2 * r[1] and g[1] > 2 * g[0]


def test_a_picture_on_a_file_lands_where_its_coordinates_say(tmp_path: Path):
    """A square, blue above and yellow below, painted by a texture with its origin at the lower left."""
    from PIL import Image

    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32], picture[32:] = (20, 20, 230), (230, 220, 20)
    slab = trimesh.creation.box((0.1, 0.1, 0.02))
    uv = slab.vertices[:, :2] / 0.1 + 0.5
    slab.visual = trimesh.visual.TextureVisuals(uv=uv, image=Image.fromarray(picture))
    slab.export(tmp_path / "slab.obj")
    mesh = Folder(tmp_path, seed=0)[0]
    middle = mesh.vertices[mesh.faces].mean(1)
    size = mesh.textures.shape[1]
    at = mesh.uv.mean(1) * size
    shown = mesh.textures[mesh.tile, at[:, 1].astype(int), at[:, 0].astype(int)]
    clear = np.abs(middle[:, 1]) > 0.01
    assert clear.sum() >= 4
    assert ((shown[clear, 2] > 128) == (middle[clear, 1] > 0)).all()


def test_a_mixture_draws_by_its_shares():
    mixed = Mixture(
        (Procedural(1, 400, {"box": 1.0}), Procedural(1, 400, {"rock": 1.0})), (3.0, 1.0), seed=0, count=400
    )
    drawn = [mixed[i].family for i in range(60)]
    assert 0.55 < drawn.count("box") / 60 < 0.95
    assert drawn[:10] == [mixed[i].family for i in range(10)]


@pytest.mark.parametrize(
    ("spec", "code"),
    [("nowhere", ErrorCode.BAD_OPTION), ("procedural=many", ErrorCode.BAD_OPTION)],
)
def test_a_source_that_is_none_is_refused_by_name(spec: str, code: ErrorCode):
    with pytest.raises(ReconstructionError) as caught:
        open_source(spec, 1, 10)
    assert caught.value.code == code
    assert spec.partition("=")[0] in caught.value.message


def test_an_empty_folder_and_a_broken_file_are_errors_that_name_it(tmp_path: Path):
    with pytest.raises(ReconstructionError, match="holds no mesh"):
        len(Folder(tmp_path, 0))
    (tmp_path / "broken.glb").write_bytes(b"no mesh at all")
    with pytest.raises(ReconstructionError, match=r"broken\.glb"):
        Folder(tmp_path, 0)[0]


def test_the_command_renders_a_folder_and_draws_its_sheet(folder: Path, tmp_path: Path, capsys):
    import cv2

    out, sheet = tmp_path / "shards", tmp_path / "sheet.png"
    options = ["--count", "4", "--per-shard", "2", "--views", "2", "--size", "32"]
    assert main(["data", "render", str(out), "--source", f"procedural=0.5,{folder}=0.5", *options]) == 0
    assert len(Shards(out)) == 4
    assert "objects/s" in capsys.readouterr().out
    assert main(["data", "sheet", str(out), "-o", str(sheet), "--views", "2", "--depth"]) == 0
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] % (3 * 32) == 0
    assert (picture < 128).any()
