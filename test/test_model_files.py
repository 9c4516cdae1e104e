"""The textured files, as the programs that take them read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import open3d as o3d
import pytest
import rendered
import trimesh

from mvgamba_ros.cli import main
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.geometry.world_origin import move_result
from mvgamba_ros.io.model_files import write_model
from mvgamba_ros.io.results import write_results
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.io.usd_file import usdz
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction

FILES = {"mesh.obj", "mesh.mtl", "mesh.glb", "mesh.usdz", "texture.png", "texture_seen.png"}
HULL = Options(method="hull", segmenter="masks", hull_resolution=48, cloud_points=1000, texture=256)


@pytest.fixture(scope="module")
def result() -> Reconstruction:
    return reconstruct(rendered.views(4), HULL)


@pytest.fixture(scope="module")
def folder(result: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "out"
    write_results(out, result)
    return out


def colors_at(shape: trimesh.Trimesh) -> np.ndarray:
    """Of the faces' middles, as nvdiffrast and FoundationPose sample: rows from the top, v turned over."""
    material = shape.visual.material
    image = np.array(getattr(material, "image", None) or material.baseColorTexture)[..., :3]
    uv = shape.visual.uv[shape.faces].mean(axis=1)
    column = (uv[:, 0] * image.shape[1]).astype(int).clip(0, image.shape[1] - 1)
    row = ((1.0 - uv[:, 1]) * image.shape[0]).astype(int).clip(0, image.shape[0] - 1)
    return image[row, column].astype(float)


def test_foundationposes_reader_gets_the_picture_in_its_place(folder, result):
    shape = trimesh.load(folder / "mesh.obj")
    assert isinstance(shape.visual, trimesh.visual.texture.TextureVisuals)
    assert np.array(shape.visual.material.image.convert("RGB")).shape == result.texture.image.shape
    assert len(shape.visual.uv) == len(shape.vertices)
    assert shape.bounds == pytest.approx(trimesh.Trimesh(result.mesh.vertices, result.mesh.faces).bounds, abs=2e-6)
    corners = result.mesh.colors[result.mesh.faces].astype(float)
    seen = (result.mesh.seen[result.mesh.faces] > 0).all(axis=1) & (np.ptp(corners, axis=1).max(axis=1) < 20)
    assert np.abs(colors_at(shape) - corners.mean(axis=1))[seen].mean() < 10  # where the vertices' colours agree


def test_the_obj_is_closed_by_its_own_indices(folder, result):
    positions = [line.split()[1:] for line in (folder / "mesh.obj").read_text().splitlines() if line.startswith("f ")]
    faces = np.array([[int(corner.split("/")[0]) - 1 for corner in face] for face in positions])
    assert (faces == result.mesh.faces).all()
    shape = trimesh.load(folder / "mesh.obj", process=False, maintain_order=True)
    merged = trimesh.Trimesh(shape.vertices, shape.faces)
    merged.merge_vertices(merge_tex=True)
    assert merged.is_watertight


def test_open3d_reads_mesh_and_texture(folder, result):
    shape = o3d.io.read_triangle_mesh(str(folder / "mesh.obj"), enable_post_processing=True)
    assert len(shape.triangles) == len(result.mesh.faces) and shape.has_triangle_uvs()
    assert np.asarray(shape.textures[0]).shape == result.texture.image.shape
    model = o3d.io.read_triangle_mesh(str(folder / "mesh.glb"))
    assert len(model.triangles) == len(result.mesh.faces) and model.has_triangle_uvs()


def test_the_glb_is_metres_with_y_up(folder, result):
    shape = trimesh.load(folder / "mesh.glb", force="mesh")
    low, high = result.mesh.vertices.min(axis=0), result.mesh.vertices.max(axis=0)
    assert shape.bounds == pytest.approx(np.array([[low[0], low[2], -high[1]], [high[0], high[2], -low[1]]]), abs=1e-6)
    other = trimesh.load(folder / "mesh.obj")
    assert colors_at(shape).mean(axis=0) == pytest.approx(colors_at(other).mean(axis=0), abs=0.5)
    assert shape.visual.material.metallicFactor == 0.0


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_khronos_validator_finds_no_fault_in_the_glb(folder):
    script = (
        "const v = require('gltf-validator');"
        "v.validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))"
        ".then(r => console.log(JSON.stringify(r.issues)))"
    )
    done = subprocess.run(["node", "-e", script, str(folder / "mesh.glb")], capture_output=True, text=True, check=False)
    if "Cannot find module 'gltf-validator'" in done.stderr:
        pytest.skip("needs npm's gltf-validator, where NODE_PATH finds it")
    found = json.loads(done.stdout)
    assert found["numErrors"] == 0 and found["numWarnings"] == 0, found


def in_a_process_of_its_own(package: str, script: str, path: Path) -> dict:
    """What ``script`` prints of ``path``; these packages bring libraries of which a process can hold one version."""
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_blender_opens_every_format_in_the_same_place(folder, result):
    script = """
import json, sys, bpy
ops, found = bpy.ops, {}
turned = {"forward_axis": "Y", "up_axis": "Z"}
for name, read, how in (("mesh.glb", ops.import_scene.gltf, {}), ("mesh.usdz", ops.wm.usd_import, {}),
                        ("mesh.obj", ops.wm.obj_import, turned), ("mesh.ply", ops.wm.ply_import, turned)):
    ops.wm.read_factory_settings(use_empty=True)
    read(filepath=f"{sys.argv[1]}/{name}", **how)
    (shape,) = (each for each in bpy.data.objects if each.type == "MESH")
    places = [shape.matrix_world @ vertex.co for vertex in shape.data.vertices]
    found[name] = {
        "faces": len(shape.data.polygons), "low": [min(p[k] for p in places) for k in range(3)],
        "high": [max(p[k] for p in places) for k in range(3)], "uv": len(shape.data.uv_layers),
        "pictures": [list(image.size) for image in bpy.data.images], "attributes": shape.data.attributes.keys(),
    }
print()
print(json.dumps(found))
"""
    found = in_a_process_of_its_own("bpy", script, folder)
    height, width = result.texture.seen.shape
    for name, shape in found.items():
        assert shape["faces"] == len(result.mesh.faces), name
        assert shape["low"] == pytest.approx(result.mesh.vertices.min(axis=0), abs=2e-6), name
        assert shape["high"] == pytest.approx(result.mesh.vertices.max(axis=0), abs=2e-6), name
        if name != "mesh.ply":
            assert (shape["uv"], shape["pictures"]) == (1, [[width, height]]), name
    assert {"seen", "expected_error_mm"} <= set(found["mesh.ply"]["attributes"])


def test_usd_takes_the_usdz_as_metres_with_z_up_and_its_validators_find_no_fault(folder, result):
    script = """
import json, sys
from pxr import Usd, UsdGeom, UsdShade, UsdValidation
stage = Usd.Stage.Open(sys.argv[1])
mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/object/mesh"))
(box,) = (UsdGeom.BBoxCache(0, ["default"]).ComputeWorldBound(mesh.GetPrim()).ComputeAlignedRange(),)
every = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
bound = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()[0]
print(json.dumps({
    "metres": UsdGeom.GetStageMetersPerUnit(stage), "up": UsdGeom.GetStageUpAxis(stage),
    "bounds": [list(box.GetMin()), list(box.GetMax())], "faces": list(mesh.GetFaceVertexIndicesAttr().Get()),
    "places": [list(st) for st in UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").ComputeFlattened()],
    "picture": stage.GetPrimAtPath("/object/surface/picture").GetAttribute("inputs:file").Get().resolvedPath,
    "material": str(bound.GetPath()), 
    "faults": [fault.GetMessage() for fault in UsdValidation.ValidationContext(every).Validate(stage)],
}))
"""
    found = in_a_process_of_its_own("pxr", script, folder / "mesh.usdz")
    assert (found["metres"], found["up"], found["material"], found["faults"]) == (1.0, "Z", "/object/surface", [])
    vertices = result.mesh.vertices
    assert np.array(found["bounds"]) == pytest.approx(np.stack([vertices.min(axis=0), vertices.max(axis=0)]), abs=2e-6)
    assert (np.reshape(found["faces"], (-1, 3)) == result.mesh.faces).all()
    uv = result.texture.uv.reshape(-1, 2)
    assert np.array(found["places"]) == pytest.approx(np.column_stack([uv[:, 0], 1.0 - uv[:, 1]]), abs=2e-6)
    assert found["picture"].endswith("mesh.usdz[texture.png]")


def test_files_in_the_usdz_begin_where_a_reader_can_map_them_and_are_the_same_each_time(folder, result):
    content = (folder / "mesh.usdz").read_bytes()
    with ZipFile(folder / "mesh.usdz") as archive:
        assert archive.namelist() == ["mesh.usda", "texture.png"] and archive.testzip() is None
        for info in archive.infolist():
            assert info.compress_type == 0
            extra = int.from_bytes(content[info.header_offset + 28 : info.header_offset + 30], "little")
            assert (info.header_offset + 30 + len(info.filename) + extra) % 64 == 0
        assert archive.read("texture.png") == (folder / "texture.png").read_bytes()
    assert usdz(result.mesh, result.texture, np.eye(4)) == content


def test_open3d_and_trimesh_give_what_was_seen_and_the_expected_error_of_the_ply(folder, result):
    points = o3d.t.io.read_point_cloud(str(folder / "mesh.ply")).point
    table = trimesh.load(folder / "mesh.ply", process=False).metadata["_ply_raw"]["vertex"]["data"]
    for name in ("seen", "expected_error_mm"):
        assert (points[name].numpy().ravel() == getattr(result.mesh, name)).all()
        assert (table[name].ravel() == getattr(result.mesh, name)).all()


def test_the_picture_of_what_was_seen_has_the_layout_of_the_texture(folder, result):
    seen = cv2.imread(str(folder / "texture_seen.png"), cv2.IMREAD_UNCHANGED)
    assert (seen == result.texture.seen).all() and 0 < seen.max() <= 4
    assert (cv2.imread(str(folder / "texture.png"))[..., ::-1] == result.texture.image).all()


def test_the_report_tells_the_textures_size_frame_and_maker(folder, result):
    report = json.loads((folder / "report.json").read_text())
    height, width = result.texture.seen.shape
    assert report["texture"]["size_px"] == [width, height] and report["texture"]["T_world_model"] == np.eye(4).tolist()
    assert report["texture"]["made_by"] == result.texture.made_by and set(report["files"]) >= FILES


def test_with_its_origin_in_the_box_the_model_lies_around_zero(result, tmp_path):
    options = {**result.settings["options"], "origin": "box"}
    write_results(tmp_path / "out", replace(result, settings={**result.settings, "options": options}))
    shape = trimesh.load(tmp_path / "out" / "mesh.obj")
    assert shape.bounds == pytest.approx(np.stack([-result.box.size, result.box.size]) / 2, abs=2e-6)
    T = np.array(json.loads((tmp_path / "out" / "report.json").read_text())["texture"]["T_world_model"])
    back = transform(T, np.asarray(shape.vertices))
    assert np.abs(transform(inverse(T), result.mesh.vertices)).max() <= result.box.size.max() / 2 + 1e-9
    assert back.min(axis=0) == pytest.approx(result.mesh.vertices.min(axis=0), abs=2e-6)
    plain = trimesh.load(tmp_path / "out" / "mesh.ply")
    assert plain.bounds[0] == pytest.approx(result.mesh.vertices.min(axis=0), abs=2e-6)  # stays in the world


def test_far_from_the_worlds_origin_nothing_of_the_shape_is_lost(result, tmp_path):
    far = move_result(result, np.array([500_000.0, 4_000_000.0, 100.0]))
    write_model(tmp_path, far)
    model = trimesh.load(tmp_path / "mesh.glb")
    (name,) = model.geometry
    assert np.ptp(model.geometry[name].vertices, axis=0) == pytest.approx(
        np.ptp(result.mesh.vertices, axis=0), abs=1e-7
    )
    with ZipFile(tmp_path / "mesh.usdz") as archive:
        (points,) = re.findall(r"points = \[(.*)\]", archive.read("mesh.usda").decode())
    local = np.array(re.findall(r"[-.\d]+", points), np.float32).reshape(-1, 3)
    assert np.ptp(local, axis=0) == pytest.approx(np.ptp(result.mesh.vertices, axis=0), abs=2e-6)
    shape = trimesh.load(tmp_path / "mesh.obj", process=False)
    assert np.ptp(shape.vertices, axis=0) == pytest.approx(np.ptp(result.mesh.vertices, axis=0), abs=2e-6)


def test_the_command_textures_by_default_and_not_where_told_not_to(tmp_path, capsys):
    write_capture(tmp_path / "capture", rendered.views(4))
    given = ["reconstruct", str(tmp_path / "capture"), "--method", "hull", "--masks", "--hull-resolution", "32"]
    assert main([*given, "-o", str(tmp_path / "with")]) == 0
    assert {path.name for path in (tmp_path / "with").iterdir()} >= FILES
    assert main([*given, "-o", str(tmp_path / "without"), "--texture", "0"]) == 0
    assert not {path.name for path in (tmp_path / "without").iterdir()} & FILES
    assert json.loads((tmp_path / "without" / "report.json").read_text())["texture"] is None
    assert main([*given, "-o", str(tmp_path / "bad"), "--texture", "-5"]) == 1
    assert "texture -5" in capsys.readouterr().err
