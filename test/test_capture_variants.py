# mypy: no-check-untyped-defs
"""What tools and people make of a transforms.json and its pictures: read as it is meant, or refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from capture_files import PLAIN, capture, refused, same
from PIL import Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import undistort
from mvgamba_ros.io.capture_readers import picture_sizes, read_capture
from mvgamba_ros.io.posed_photo import read_posed_photo
from mvgamba_ros.io.radial_polynomial import rational_fit
from mvgamba_ros.io.transforms_json import write_capture


def renamed(change):
    return lambda entry: entry.update(file_path=change(entry["file_path"]))


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: "C:\\data\\mug\\" + name.replace("/", "\\"),
        lambda name: "/home/user/data/" + name,
        lambda name: "mug/" + name,
        lambda name: Path(name).name,
        lambda name: name.replace(".png", ".jpg"),
    ],
)
def test_a_path_of_another_machine_or_tool_finds_its_picture(tmp_path, change):
    same(read_capture(capture(tmp_path, frame=renamed(change))), PLAIN)


def test_paths_that_find_one_picture_twice_are_refused(tmp_path):
    write_capture(tmp_path, PLAIN)
    content = json.loads((tmp_path / "transforms.json").read_text())
    for side, entry in zip(("left", "right", "top"), content["frames"], strict=True):
        entry["file_path"] = f"{side}/0000.png"
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    refused(tmp_path, "left/0000.png", "right/0000.png", "both")


def test_the_list_itself_may_be_named_and_may_be_utf16_or_that_of_training(tmp_path):
    path = capture(tmp_path) / "transforms.json"
    same(read_capture(path), PLAIN)
    path.write_text(path.read_text(), encoding="utf-16")
    same(read_capture(tmp_path), PLAIN)
    path.rename(tmp_path / "transforms_train.json")
    same(read_capture(tmp_path), PLAIN)
    assert picture_sizes(tmp_path / "transforms_train.json") == [(64, 48)] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda T: T[:3],
        lambda T: np.ravel(T),
        lambda T: 0.0012 * np.asarray(T),
    ],
)
def test_a_pose_in_another_notation_is_the_same_pose(tmp_path, change):
    def edit(entry):
        entry["transform_matrix"] = np.asarray(change(np.asarray(entry["transform_matrix"]))).tolist()

    same(read_capture(capture(tmp_path, frame=edit)), PLAIN)


def test_three_decimals_are_a_rotation_and_two_are_not(tmp_path):
    def rounded(digits):
        return lambda e: e.update(transform_matrix=np.round(e["transform_matrix"], digits).tolist())

    for view, other in zip(read_capture(capture(tmp_path, frame=rounded(3))), PLAIN, strict=True):
        np.testing.assert_allclose(view.T_world_camera, other.T_world_camera, atol=1.5e-3)
    refused(capture(tmp_path, frame=rounded(2)), "not a rotation")


def test_applied_scale_is_taken_out_of_the_poses(tmp_path):
    def scaled(entry):
        T = np.asarray(entry["transform_matrix"])
        T[:3, 3] *= 0.1
        entry["transform_matrix"] = T.tolist()

    same(read_capture(capture(tmp_path, frame=scaled, applied_scale=0.1)), PLAIN)
    refused(capture(tmp_path, applied_scale=0), "applied_scale")


def test_intrinsics_of_another_size_are_scaled_where_the_size_is_stated_and_doubted_where_not(tmp_path, caplog):
    def doubled(entry):
        entry.update({key: 2 * entry[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")})

    same(read_capture(capture(tmp_path, frame=doubled)), PLAIN)
    assert "intrinsics of 128 x 96 are scaled to its pictures of 64 x 48 (3 of 3)" in caplog.text

    def unsized(entry):
        doubled(entry)
        del entry["w"], entry["h"]

    refused(capture(tmp_path, frame=unsized), "principal point", '"w"')


def test_a_centre_in_shares_of_the_size_is_read_and_a_focal_length_so_is_refused(tmp_path):
    same(
        read_capture(capture(tmp_path, frame=lambda entry: entry.update(cx=0.5, cy=0.5, fl_x=str(entry["fl_x"])))),
        PLAIN,
    )
    refused(capture(tmp_path, frame=lambda entry: entry.update(fl_x=0.9, fl_y=0.9)), "too short")


@pytest.mark.parametrize("name", ["pinhole", "Perspective", "opencv"])
def test_names_of_camera_models_are_read_in_any_case(tmp_path, name):
    same(read_capture(capture(tmp_path, camera_model=name)), PLAIN)


def test_a_frame_with_a_model_of_its_own_has_none_of_the_files_coefficients(tmp_path):
    lens = replace(PLAIN[0].camera, distortion_model="plumb_bob", distortion=(0.1, 0.0, 0.0, 0.0, 0.2))
    other = replace(PLAIN[1].camera, distortion_model="plumb_bob", distortion=(0.3, 0.0, 0.0, 0.0))
    write_capture(tmp_path, [replace(PLAIN[0], camera=lens), replace(PLAIN[1], camera=other)])
    assert [view.camera.distortion for view in read_capture(tmp_path)] == [lens.distortion, (0.3, 0.0, 0.0, 0.0, 0.0)]
    write_capture(tmp_path, [replace(PLAIN[0], camera=lens), PLAIN[1]])
    assert [view.camera.distortion for view in read_capture(tmp_path)] == [lens.distortion, ()]


def test_a_fourth_radial_coefficient_moves_no_pixel_by_a_twentieth(tmp_path):
    k, K = (0.1, -0.05, 0.02, 0.03), PLAIN[0].camera.K
    fit = rational_fit(k, K, 64, 48)
    s = np.linspace(0.0, float(((K[:2, 2] / K[0, 0]) ** 2).sum()), 50)
    exact = 1 + s * (k[0] + s * (k[1] + s * (k[2] + s * k[3])))
    above, below = (1 + s * (c[0] + s * (c[1] + s * c[2])) for c in (fit[:3], fit[3:]))
    assert (np.abs(above / below - exact) * np.sqrt(s) * K[0, 0]).max() < 0.05
    assert rational_fit((0.0, 0.0, 0.0, -9.0), np.array([[30.0, 0, 32], [0, 30.0, 24], [0, 0, 1]]), 64, 48) is None
    view = read_capture(
        capture(tmp_path, camera_model="OPENCV", **dict(zip(("k1", "k2", "k3", "k4"), k, strict=True)))
    )[0]
    assert view.camera.distortion_model == "rational_polynomial"
    assert undistort(view).camera.distortion == ()


def store(folder, view, name, orientation):
    """A JPEG whose pixels are turned so that ``orientation`` turns them back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    Image.fromarray(view.image).transpose(turn).save(folder / name, exif=exif, quality=100, subsampling=0)


@pytest.mark.parametrize("orientation", [6, 8])
def test_a_picture_is_turned_by_exif_only_where_its_intrinsics_are_of_the_turned_one(tmp_path, orientation):
    capture(tmp_path, frame=renamed(lambda name: name.replace("png", "jpg")))
    for index, view in enumerate(PLAIN):
        store(tmp_path / "images", view, f"{index:04d}.jpg", orientation)
    for view, other in zip(read_capture(tmp_path), PLAIN, strict=True):
        assert np.abs(view.image.astype(int) - other.image).mean() < 8
    assert picture_sizes(tmp_path) == [(64, 48)] * 3

    content = json.loads((tmp_path / "transforms.json").read_text())
    for entry in content["frames"]:
        entry.update(w=48, h=64, cx=24.0, cy=32.0)
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    assert [view.image.shape for view in read_capture(tmp_path)] == [(64, 48, 3)] * 3
    for entry in content["frames"]:
        del entry["w"], entry["h"]
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    refused(tmp_path, f"EXIF orientation {orientation}", "state width and height")


def test_a_picture_upside_down_by_exif_is_refused(tmp_path):
    capture(tmp_path, frame=renamed(lambda name: name.replace("png", "jpg")))
    for index, view in enumerate(PLAIN):
        store(tmp_path / "images", view, f"{index:04d}.jpg", 3)
    refused(tmp_path, "EXIF orientation 3", "auto-orient")


def test_a_photo_alone_is_turned_upright_and_with_intrinsics_only_where_they_are_of_the_turned_one(tmp_path):
    view = PLAIN[0]
    for orientation in (3, 6):
        store(tmp_path, view, "photo.jpg", orientation)
        upright = read_posed_photo(tmp_path / "photo.jpg").image.astype(int)
        assert upright.shape == (48, 64, 3) and np.abs(upright - view.image).mean() < 8
    for (width, height), shape in (((64, 48), (48, 64, 3)), ((48, 64), (64, 48, 3))):
        text = json.dumps({"K": view.camera.K.tolist(), "width": width, "height": height})
        (tmp_path / "K.json").write_text(text)
        assert read_posed_photo(tmp_path / "photo.jpg", camera=tmp_path / "K.json").image.shape == shape
    (tmp_path / "K.json").write_text(json.dumps({"K": view.camera.K.tolist()}))
    with pytest.raises(ReconstructionError, match="EXIF orientation 6") as caught:
        read_posed_photo(tmp_path / "photo.jpg", camera=tmp_path / "K.json")
    assert caught.value.code is ErrorCode.BAD_IMAGE


def test_twelve_bits_in_sixteen_are_as_bright_as_sixteen(tmp_path, caplog):
    capture(tmp_path)
    for index, view in enumerate(PLAIN):
        cv2.imwrite(str(tmp_path / f"images/{index:04d}.png"), view.image[..., ::-1].astype(np.uint16) * 16)
    same(read_capture(tmp_path), PLAIN)
    assert "12 bits" in caplog.text


@pytest.mark.parametrize("ending", ["exr", "heic"])
def test_a_picture_that_needs_another_package_or_form_is_refused_with_what_to_do(tmp_path, ending, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    capture(tmp_path, frame=renamed(lambda name: name.replace("png", ending)))
    for index in range(3):
        (tmp_path / f"images/{index:04d}.png").rename(tmp_path / f"images/{index:04d}.{ending}")
    if ending == "heic":
        refused(tmp_path, "pip install 'mvgamba_ros[heic]'", code=ErrorCode.MISSING_PACKAGE)
    else:
        refused(tmp_path, "8 or 16 bits")
