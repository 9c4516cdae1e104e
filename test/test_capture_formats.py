# mypy: no-check-untyped-defs
"""Captures of other tools, made on the spot after their public formats, are read as the views they were made of."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from capture_files import PLAIN, VIEWS, K, depths, pictures, refused, same

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import HALF_PIXEL
from mvgamba_ros.geometry.se3 import inverse, matrix_to_quat
from mvgamba_ros.io.capture_export import export_views
from mvgamba_ros.io.capture_readers import read_capture, recognising_reader
from mvgamba_ros.types import Camera

LENSES = [
    ("none", ()),
    ("plumb_bob", (0.1, -0.02, 0.001, 0.002)),
    ("plumb_bob", (0.1, -0.02, 0.001, 0.002, 0.03)),
    ("rational_polynomial", (0.1, -0.02, 0.001, 0.002, 0.03, 0.2, 0.01, 0.02)),
    ("equidistant", (0.02, -0.005, 0.001, 0.0005)),
]


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
@pytest.mark.parametrize("form", ["colmap", "nerfstudio"])
def test_what_is_exported_is_read_back(tmp_path, form, model, coefficients):
    lens = [replace(v, camera=replace(v.camera, distortion_model=model, distortion=coefficients)) for v in VIEWS]
    export_views(tmp_path / "out", lens, form)
    expected = [replace(view, depth=None) for view in lens] if form == "colmap" else lens
    back = read_capture(tmp_path / "out")
    same(back, expected, {"colmap": "colmap", "nerfstudio": "transforms_json"}[form], tmp_path / "out")
    for view in back:
        padded = np.pad(coefficients, (0, len(view.camera.distortion) - len(coefficients)))
        np.testing.assert_allclose(view.camera.distortion, padded)


def test_an_export_is_scaled_to_metres_and_replaces_nothing(tmp_path, capsys):
    export_views(tmp_path / "units", [replace(v, mask=None) for v in VIEWS], "nerfstudio")
    arguments = ["data", "export", str(tmp_path / "units"), "--to", "colmap", "--scale", "0.5", "-o"]
    assert main([*arguments, str(tmp_path / "metres")]) == 0
    assert "depth of 3 views is left out" in capsys.readouterr().out
    for view, other in zip(read_capture(tmp_path / "metres"), VIEWS, strict=True):
        np.testing.assert_allclose(view.T_world_camera[:3, 3], 0.5 * other.T_world_camera[:3, 3], atol=1e-12)
    assert main([*arguments, str(tmp_path / "metres")]) == 1
    assert "not empty" in capsys.readouterr().err
    assert main([*arguments[:-2], "0", "-o", str(tmp_path / "other")]) == 1 and not (tmp_path / "other").exists()


def test_lenses_that_a_tool_has_no_model_for_are_not_exported(tmp_path):
    thin = replace(VIEWS[0].camera, distortion_model="rational_polynomial", distortion=(0.01,) * 12)
    fisheye = replace(VIEWS[0].camera, distortion_model="equidistant", distortion=(0.01, 0.0, 0.0, 0.0))
    for form, cameras in (("colmap", [thin, thin]), ("nerfstudio", [thin, fisheye])):
        with pytest.raises(ReconstructionError, match="model") as caught:
            export_views(tmp_path / form, [replace(VIEWS[0], camera=camera) for camera in cameras], form)
        assert caught.value.code is ErrorCode.CANNOT_WRITE and not (tmp_path / form).exists()


def binary_model(folder, views):
    """A COLMAP model of one OPENCV camera, with a feature in every image and the images in another order."""
    folder.mkdir(parents=True)
    camera = struct.pack("<QiiQQ8d", 1, 7, 4, 64, 48, K[0, 0], K[1, 1], K[0, 2], K[1, 2], 0, 0, 0, 0)
    images = struct.pack("<Q", len(views))
    for index in reversed(range(len(views))):
        T = inverse(views[index].T_world_camera)
        images += struct.pack("<I7dI", 9 - index, *matrix_to_quat(T[:3, :3]), *T[:3, 3], 7)
        images += f"cam 1/{index:04d}.png".encode() + b"\0" + struct.pack("<QddQ", 1, 3.0, 4.0, 2**64 - 1)
    (folder / "cameras.bin").write_bytes(camera)
    (folder / "images.bin").write_bytes(images)


def test_a_binary_colmap_model_is_read_with_its_warning_of_no_unit(tmp_path, caplog):
    binary_model(tmp_path / "sparse" / "0", VIEWS)
    pictures(tmp_path / "images" / "cam 1")
    same(read_capture(tmp_path), PLAIN, "colmap", tmp_path)
    assert "no unit" in caplog.text and "--scale" in caplog.text
    same(read_capture(tmp_path / "sparse" / "0"), PLAIN)
    same(read_capture(tmp_path, "*1.png"), PLAIN[1:2])
    refused(tmp_path, "none of its 3 pictures", views_file="left/*")
    binary_model(tmp_path / "sparse" / "1", VIEWS[:1])
    assert len(read_capture(tmp_path)) == 3 and "largest" in caplog.text
    whole = (tmp_path / "sparse" / "0" / "images.bin").read_bytes()
    (tmp_path / "sparse" / "0" / "images.bin").write_bytes(whole[:-9])
    refused(tmp_path, "ends within a record")


def test_a_colmap_model_of_a_camera_without_our_model_is_refused_by_name(tmp_path):
    export_views(tmp_path, VIEWS, "colmap")
    file = tmp_path / "sparse" / "0" / "cameras.txt"
    file.write_text("1 FOV 64 48 60 60 32 24 0.9\n")
    refused(tmp_path, "camera 1", "FOV", "undistort")
    file.write_text("1 PINHOLE 64 48 60 60 32\n")
    refused(tmp_path, "camera 1", "4 parameters")
    file.write_text("2 PINHOLE 64 48 60 60 32 24\n")
    refused(tmp_path, "camera 1", "lacks")
    file.write_text("1 PINHOLE 64 48 60 60 32 24\n")
    images = file.with_name("images.txt")
    number, *pose, camera, name = images.read_text().splitlines()[0].split()
    for odd in (["0"] * 4 + pose[4:], [*pose[:6], "nan"]):
        images.write_text(" ".join([number, *odd, camera, name]) + "\n\n")
        refused(tmp_path, str(tmp_path))


def test_a_colmap_model_beside_smaller_pictures_is_scaled(tmp_path):
    export_views(tmp_path, [replace(view, camera=doubled(view.camera)) for view in PLAIN], "colmap")
    same(read_capture(tmp_path), PLAIN)


def doubled(camera):
    return Camera(np.diag([2.0, 2.0, 1.0]) @ camera.K, 2 * camera.width, 2 * camera.height)


def test_a_folder_with_a_list_of_views_and_a_model_is_read_by_its_list(tmp_path):
    export_views(tmp_path, PLAIN, "nerfstudio")
    binary_model(tmp_path / "colmap" / "sparse" / "0", VIEWS)
    assert recognising_reader(tmp_path) == "transforms_json"
    same(read_capture(tmp_path, "images/0001*"), PLAIN[1:2])


def bop(folder, objects=(5,), placed=False):
    pictures(folder / "rgb", name="{:06d}.png")
    depths(folder / "depth", 1e-4)
    (folder / "mask_visib").mkdir()
    cameras, truth = {}, {}
    for index, view in enumerate(VIEWS):
        T = inverse(view.T_world_camera)
        R, t = T[:3, :3].ravel().tolist(), (1000 * T[:3, 3]).tolist()
        cameras[str(index)] = {"cam_K": (view.camera.K - HALF_PIXEL).ravel().tolist(), "depth_scale": 0.1}
        cameras[str(index)] |= {"cam_R_w2c": R, "cam_t_w2c": t} if placed else {}
        truth[str(index)] = [{"obj_id": number, "cam_R_m2c": R, "cam_t_m2c": t} for number in objects]
        for place in range(len(objects)):
            picture = view.mask * np.uint8(255) if objects[place] == 5 else np.zeros((48, 64), np.uint8)
            cv2.imwrite(str(folder / "mask_visib" / f"{index:06d}_{place:06d}.png"), picture)
    (folder / "scene_camera.json").write_text(json.dumps(cameras))
    (folder / "scene_gt.json").write_text(json.dumps(truth))
    return folder


def test_a_bop_scene_is_read_in_the_frame_of_its_object_or_its_own(tmp_path):
    same(read_capture(bop(tmp_path / "one")), VIEWS, "bop", tmp_path / "one")
    several = bop(tmp_path / "several", (2, 5))
    refused(several, "--views 2", "[2, 5]")
    same(read_capture(several, "5"), VIEWS)
    refused(several, "no object 7", views_file="7")
    placed = bop(tmp_path / "placed", (2, 5), placed=True)
    same(read_capture(placed), [replace(view, mask=None) for view in VIEWS])
    same(read_capture(placed, "5"), VIEWS)
    refused(bop(tmp_path / "twice", (5, 5)), "2 times")
