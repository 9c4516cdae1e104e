# mypy: no-check-untyped-defs
"""Captures are read as nerfstudio and instant-ngp write them; broken ones are refused by file and remedy."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from shapes import FOUR_SIDES, camera, cuboid, see

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL
from mvgamba_ros.io.capture_readers import picture_sizes
from mvgamba_ros.io.transforms_json import read_transforms_json, write_capture
from mvgamba_ros.types import Camera

VIEWS = see(cuboid([-0.05, -0.04, 0.0], [0.05, 0.04, 0.1]), FOUR_SIDES[:2], [0, 0, 0.05], camera(64, 48, 60.0))


def edit(folder, change):
    """Apply ``change`` to the parsed transforms.json of a freshly written capture."""
    path = write_capture(folder, VIEWS)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def without_intrinsics(content):
    """As instant-ngp's files for pinhole cameras: nothing per frame, nothing but an angle for all."""
    for part in (content, *content["frames"]):
        for key in ("camera_model", "fl_x", "fl_y", "cx", "cy", "w", "h"):
            part.pop(key, None)


def refused(folder, *words, views_file="transforms.json"):
    with pytest.raises(ReconstructionError) as error:
        read_transforms_json(folder, views_file)
    assert error.value.code == ErrorCode.BAD_CAPTURE
    for word in words:
        assert word in error.value.message


@pytest.mark.parametrize(
    "model, coefficients",
    [
        ("none", ()),
        ("plumb_bob", (0.1, -0.02, 0.001, 0.002, 0.03)),
        ("rational_polynomial", (0.1, -0.02, 0.001, 0.002, 0.03, 0.2, 0.01, 0.02)),
        ("rational_polynomial", tuple(0.001 * k for k in range(1, 13))),
        ("rational_polynomial", tuple(0.001 * k for k in range(1, 15))),
        ("equidistant", (0.02, -0.005, 0.001, 0.0005)),
    ],
)
def test_what_was_written_is_read_back(tmp_path, model, coefficients):
    lens = {"distortion_model": model, "distortion": coefficients}
    views = [replace(v, camera=replace(v.camera, **lens), hidden=np.roll(v.mask, 9, axis=1)) for v in VIEWS]
    write_capture(tmp_path, views)
    for view, back in zip(views, read_transforms_json(tmp_path), strict=True):
        np.testing.assert_array_equal(back.image, view.image)
        np.testing.assert_array_equal(back.mask, view.mask)
        np.testing.assert_array_equal(back.hidden, view.hidden)
        np.testing.assert_allclose(back.depth, view.depth, atol=0.51e-3)
        np.testing.assert_allclose(back.T_world_camera, view.T_world_camera, atol=1e-12)
        np.testing.assert_allclose(back.camera.K, view.camera.K)
        assert back.camera.distortion_model == model and back.camera.distortion == coefficients


def test_poses_in_the_file_are_opengl_camera_to_world(tmp_path):
    frame = json.loads(write_capture(tmp_path, VIEWS).read_text())["frames"][0]
    np.testing.assert_allclose(np.array(frame["transform_matrix"]) @ OPENCV_FROM_OPENGL, VIEWS[0].T_world_camera)
    # the camera looks along its -z axis in OpenGL: from [0.5, 0, 0] towards -x
    assert np.array(frame["transform_matrix"])[0, 2] > 0.9


def test_an_angle_of_view_gives_the_focal_length(tmp_path):
    def change(content):
        without_intrinsics(content)
        content["camera_angle_x"] = float(2 * np.arctan(32 / 60.0))

    K = read_transforms_json(edit(tmp_path, change))[0].camera.K
    np.testing.assert_allclose(K, [[60.0, 0, 32.0], [0, 60.0, 24.0], [0, 0, 1]])


def test_a_frames_own_intrinsics_win_over_the_files(tmp_path):
    def change(content):
        content["fl_x"] = 99.0
        content["frames"][0]["fl_x"] = 61.0
        del content["frames"][1]["fl_x"]

    views = read_transforms_json(edit(tmp_path, change))
    assert [v.camera.K[0, 0] for v in views] == [61.0, 99.0]


def test_instant_ngps_fisheye_flag_is_understood(tmp_path):
    def change(content):
        without_intrinsics(content)
        content.update(fl_x=60.0, is_fisheye=True, k1=0.01, k2=0.002)

    lens = read_transforms_json(edit(tmp_path, change))[0].camera
    assert lens.distortion_model == "equidistant" and lens.distortion == (0.01, 0.002, 0.0, 0.0)


def test_missing_extensions_are_tried_and_alpha_is_the_mask(tmp_path):
    def change(content):
        for frame in content["frames"]:
            frame["file_path"] = "./" + frame["file_path"].removesuffix(".png")
            del frame["mask_path"]

    edit(tmp_path, change)
    for index, view in enumerate(VIEWS):
        rgba = np.dstack([view.image[..., ::-1], view.mask.astype(np.uint8) * 255])
        cv2.imwrite(str(tmp_path / "images" / f"{index:04d}.png"), rgba)
    back = read_transforms_json(tmp_path)
    np.testing.assert_array_equal(back[1].mask, VIEWS[1].mask)
    assert back[1].image.shape == (48, 64, 3)


def test_an_opaque_alpha_channel_is_no_mask(tmp_path):
    edit(tmp_path, lambda content: [frame.pop("mask_path") for frame in content["frames"]])
    rgba = np.dstack([VIEWS[0].image[..., ::-1], np.full((48, 64), 255, np.uint8)])
    cv2.imwrite(str(tmp_path / "images" / "0000.png"), rgba)
    assert read_transforms_json(tmp_path)[0].mask is None


def test_scale_flags_leave_the_poses_alone(tmp_path):
    def change(content):
        content.update(scale=0.33, offset=[1, 2, 3], aabb_scale=16, applied_transform=np.eye(4)[:3].tolist())

    back = read_transforms_json(edit(tmp_path, change))
    np.testing.assert_allclose(back[0].T_world_camera, VIEWS[0].T_world_camera, atol=1e-12)


def test_depth_in_another_unit_is_scaled_and_unknown_depth_is_zero(tmp_path):
    views = [replace(VIEWS[0], depth=np.where(VIEWS[0].mask, VIEWS[0].depth, np.nan).astype(np.float32))]
    write_capture(tmp_path, views)
    assert (read_transforms_json(tmp_path)[0].depth[~VIEWS[0].mask] == 0.0).all()
    edit(tmp_path, lambda content: content.update(integer_depth_scale=1e-4))
    known = VIEWS[0].depth > 0
    depth = read_transforms_json(tmp_path)[0].depth
    np.testing.assert_allclose(depth[known], VIEWS[0].depth[known] / 10, atol=1e-4)


def test_a_folder_without_a_list_of_views_is_refused(tmp_path):
    refused(tmp_path, "transforms.json", "not found")
    refused(tmp_path, "other.json", views_file="other.json")


def test_broken_json_is_refused_with_its_line(tmp_path):
    (tmp_path / "transforms.json").write_text('{"frames": [\n{"file_path": }]}')
    refused(tmp_path, "transforms.json", "line 2")


def test_a_file_without_frames_is_refused(tmp_path):
    (tmp_path / "transforms.json").write_text('{"frames": []}')
    refused(tmp_path, "frames")


def test_a_missing_image_is_left_out_with_a_warning_and_where_all_are_missing_refused(tmp_path, caplog):
    edit(tmp_path, lambda content: None)
    (tmp_path / "images" / "0001.png").unlink()
    (view,) = read_transforms_json(tmp_path)
    assert view.name == "images/0000.png"
    assert "1 of 2 images are missing" in caplog.text and "0001.png" in caplog.text
    assert picture_sizes(tmp_path) == [(64, 48)]
    (tmp_path / "images" / "0000.png").unlink()
    refused(tmp_path, "0001.png", "missing", "put them back")


def test_a_cut_off_image_is_named(tmp_path):
    edit(tmp_path, lambda content: None)
    file = tmp_path / "images" / "0000.png"
    file.write_bytes(b"\x89PNG")
    refused(tmp_path, f"{file}: is no picture, or damaged at its beginning: replace the file, or take it out of")


@pytest.mark.parametrize("missing", [1, 4, 12, 60])
def test_a_png_without_its_end_is_one_sentence_with_the_remedy(tmp_path, capfd, missing):
    edit(tmp_path, lambda content: None)
    file = tmp_path / "images" / "0000.png"
    file.write_bytes(file.read_bytes()[:-missing])
    with pytest.raises(ReconstructionError) as caught:
        read_transforms_json(tmp_path)
    assert caught.value.message == (
        f"{file}: is cut off, its end is missing: replace the file, or take it out of the capture's list "
        '("frames" in transforms.json)'
    )
    assert capfd.readouterr().err == ""  # no line of libpng's own


def test_a_picture_that_is_damaged_within_is_named_and_one_with_more_behind_it_is_read(tmp_path):
    edit(tmp_path, lambda content: None)
    file = tmp_path / "images" / "0000.png"
    content = file.read_bytes()
    file.write_bytes(content + b"appended")
    assert len(read_transforms_json(tmp_path)) == 2
    middle = len(content) // 2
    file.write_bytes(
        content[:middle] + bytes(byte ^ 255 for byte in content[middle : middle + 9]) + content[middle + 9 :]
    )
    refused(tmp_path, f"{file}: is damaged or cut off, and cannot be decoded: replace the file")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c["frames"][1].update(camera_model="OPENCV", is_fisheye=True), ["frame 1", "is_fisheye", "OPENCV"]),
        (lambda c: c["frames"][1].update(camera_model="OPENCV", k4=-9.0), ["frame 1", "k4", "-9", "undistort"]),
        (lambda c: c["frames"][1].update(camera_model="OPENCV", k4=0.1, k5=0.0), ["frame 1", "k4", "undistort"]),
        (lambda c: c["frames"][1].update(camera_model="PINHOLE", k1=0.1), ["frame 1", "k1", "PINHOLE", "lacks"]),
        (lambda c: c["frames"][1].update(camera_model="THIN_PRISM"), ["frame 1", "THIN_PRISM", "OPENCV_FISHEYE"]),
        (lambda c: c["frames"][0].update(w=128), ["128", "64 x 48"]),
        (lambda c: c["frames"][0].update(fl_x="wide"), ["fl_x", "wide"]),
        (lambda c: c["frames"][0].update(fl_x=0.0), ["focal"]),
        (lambda c: without_intrinsics(c), ["camera_angle_x"]),
        (lambda c: c["frames"][1].pop("transform_matrix"), ["frame 1", "transform_matrix"]),
        (lambda c: c["frames"][1].update(transform_matrix=np.diag([2.0, 2, 2, 1]).tolist()), ["frame 1"]),
        (lambda c: c["frames"][0].pop("file_path"), ["frame 0", "file_path"]),
        (lambda c: c["frames"][0].update(mask_path="masks/none.png"), ["none.png", "missing"]),
        (lambda c: c["frames"][0].update(depth_file_path="images/0000_mask.png"), ["16-bit", "0000_mask.png"]),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path, change, words):
    refused(edit(tmp_path, change), "transforms.json" if "16-bit" not in words else "images", *words)


def test_a_mask_of_another_size_is_refused(tmp_path):
    edit(tmp_path, lambda content: None)
    cv2.imwrite(str(tmp_path / "images" / "0000_mask.png"), np.zeros((24, 32), np.uint8))
    refused(tmp_path, "32 x 24", "64 x 48")


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReconstructionError, match="file") as error:
        write_capture(tmp_path / "file" / "capture", VIEWS)
    assert error.value.code == ErrorCode.CANNOT_WRITE


def test_a_number_of_coefficients_that_no_model_has_is_not_cut(tmp_path):
    lens = Camera(VIEWS[0].camera.K, 64, 48, "rational_polynomial", (0.1,) * 9)
    with pytest.raises(ReconstructionError, match="undistort"):
        write_capture(tmp_path, [replace(VIEWS[0], camera=lens)])


def test_the_shared_captures_are_read_with_masks_and_depth(captures):
    views = read_transforms_json(captures / "mustard")
    assert len(views) == 4
    for view in views:
        assert view.mask.any() and view.image.shape == (480, 640, 3)
        assert 0.2 < np.median(view.depth[view.mask]) < 1.0


def test_a_folder_may_hold_two_sets_of_views(tmp_path):
    write_capture(tmp_path, VIEWS)
    write_capture(tmp_path, VIEWS[1:2], "transforms_test.json")
    assert len(read_transforms_json(tmp_path)) == len(VIEWS)
    (left_out,) = read_transforms_json(tmp_path, "transforms_test.json")
    assert np.array_equal(left_out.image, VIEWS[1].image)
    assert np.array_equal(read_transforms_json(tmp_path)[0].image, VIEWS[0].image)
