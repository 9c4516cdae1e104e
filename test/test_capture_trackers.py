# mypy: no-check-untyped-defs
"""Captures of phones, Metashape and trackers, made on the spot after their public formats, are the views they hold."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import rendered
from capture_files import PLAIN, VIEWS, K, depths, pictures, refused, same

from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL, inverse, matrix_to_quat, wxyz_to_xyzw
from mvgamba_ros.io.arkit_pose import Z_UP_FROM_Y_UP
from mvgamba_ros.io.capture_readers import read_capture, recognising_reader


def arkit(view):
    """ARKit's camera to world of a view."""
    return inverse(Z_UP_FROM_Y_UP) @ view.T_world_camera @ OPENCV_FROM_OPENGL


def test_polycams_key_frames_are_read_in_metres_with_z_up(tmp_path):
    frames = tmp_path / "keyframes"
    pictures(frames / "corrected_images", name="{:d}.png")
    depths(frames / "depth", 1e-3, "{:d}.png")
    for folder in ("cameras", "corrected_cameras", "confidence"):
        (frames / folder).mkdir()
    for index, view in enumerate(VIEWS):
        T = arkit(view)
        content = {f"t_{row}{column}": T[row, column] for row in range(3) for column in range(4)}
        content |= {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "width": 64, "height": 48}
        (frames / "corrected_cameras" / f"{index}.json").write_text(json.dumps(content))
        confidence = np.full((24, 32), 255, np.uint8)
        confidence[:4] = 0
        cv2.imwrite(str(frames / "confidence" / f"{index}.png"), confidence)
    expected = [replace(view, mask=None, depth=view.depth.copy()) for view in VIEWS]
    for view in expected:
        view.depth[:8] = 0.0
    same(read_capture(tmp_path), expected, "polycam", tmp_path)
    (frames / "corrected_cameras" / "0.json").write_text("{}")
    refused(tmp_path, "0.json", "t_00")


def record3d(folder, views):
    pictures(folder / "rgb", views, "{:d}.png")
    poses = [[*wxyz_to_xyzw(matrix_to_quat(arkit(view)[:3, :3])), *arkit(view)[:3, 3]] for view in views]
    content = {"K": K.T.ravel().tolist(), "w": 64, "h": 48, "poses": poses}
    (folder / "metadata.json").write_text(json.dumps(content))
    return folder


def test_record3ds_film_is_read_as_the_views_around_the_object(tmp_path):
    film = [replace(rendered.render(T, 64, 48), mask=None, depth=None) for T in rendered.orbit(11)]
    folder = record3d(tmp_path / "EXR_RGBD", film)
    same(read_capture(folder), film, "record3d", folder)
    same(read_capture(tmp_path, "rgb/1[0].png"), film[10:])
    refused(record3d(tmp_path / "front", film[:1] * 3), "one pose for all frames")
    many = record3d(tmp_path / "many", film + film)
    assert len(read_capture(many)) <= 12
    (many / "rgb" / "0.png").unlink()
    refused(many, "(22, 7) of 21 pictures")


XML = """<?xml version="1.0" encoding="UTF-8"?>
<document version="2.0.0"><chunk label="Chunk 1" enabled="true">
<sensors><sensor id="0" label="lens" type="frame"><resolution width="64" height="48"/>
<calibration type="frame" class="adjusted"><f>{f}</f><cx>1.5</cx><cy>-0.5</cy><b1>2</b1>{extra}
<k1>0.1</k1><p1>0.001</p1><p2>0.002</p2></calibration></sensor></sensors>
<components><component id="0"><transform>{placed}</transform></component></components>
<cameras>{cameras}<camera id="9" label="unaligned" sensor_id="0"/></cameras></chunk></document>"""


def metashape(folder, scale="<scale>2.0</scale>", extra=""):
    """Cameras in a chunk of half the size, turned about z and moved."""
    pictures(folder)
    placed = np.array([[0.0, -1, 0, 0.3], [1, 0, 0, -0.2], [0, 0, 1, 0.1], [0, 0, 0, 1]])
    cameras = ""
    for index, view in enumerate(VIEWS):
        T = inverse(placed) @ view.T_world_camera
        T[:3, 3] /= 2.0
        numbers = " ".join(str(value) for value in T.ravel())
        cameras += f'<camera id="{index}" label="{index:04d}" sensor_id="0" component_id="0">'
        cameras += f"<transform>{numbers}</transform></camera>"
    R, t = (" ".join(map(str, part.ravel())) for part in (placed[:3, :3], placed[:3, 3]))
    where = f"<rotation>{R}</rotation><translation>{t}</translation>{scale}"
    (folder / "cameras.xml").write_text(XML.format(f=K[0, 0], extra=extra, placed=where, cameras=cameras))
    return folder


def test_metashapes_cameras_are_read_with_its_signs_and_orders(tmp_path, caplog):
    folder = metashape(tmp_path / "scaled")
    expected = K.copy()
    expected[0] += [2.0, 0.0, 0.0]
    expected[:2, 2] = [32 + 1.5, 24 - 0.5]
    views = read_capture(folder)
    same(views, [replace(view, camera=replace(view.camera, K=expected)) for view in PLAIN], "metashape", folder)
    assert views[0].camera.distortion == (0.1, 0.0, 0.002, 0.001, 0.0) and not caplog.text
    same(read_capture(folder / "cameras.xml"), views)
    assert len(read_capture(metashape(tmp_path / "free", scale=""))) == 3 and "not scaled" in caplog.text
    refused(metashape(tmp_path / "flat", scale="<scale>0</scale>"), "scale 0")
    refused(metashape(tmp_path / "skewed", extra="<b2>5</b2>"), "b2 5", "undistort")
    file = folder / "cameras.xml"
    file.write_text(file.read_text().replace("<document", '<!DOCTYPE a [<!ENTITY b "c">]><document'))
    refused(folder, "entities")


def tum(folder):
    pictures(folder / "rgb", name="{:04d}.png")
    depths(folder / "depth", 1 / 5000, "{:04d}.png")
    times = [1305031102.1 + index for index in range(len(VIEWS))]
    for kind, shift in (("rgb", 0.0), ("depth", 0.01)):
        lines = [f"{time + shift:.4f} {kind}/{index:04d}.png" for index, time in enumerate(times)]
        (folder / f"{kind}.txt").write_text("# timestamp filename\n" + "\n".join(lines) + "\n")
    rows = []
    for time, view in zip(times, VIEWS, strict=True):
        quaternion = wxyz_to_xyzw(matrix_to_quat(view.T_world_camera[:3, :3]))
        for shift in (-0.01, 0.03):  # the camera passes its place in between, moving along x by 4 cm
            position = view.T_world_camera[:3, 3] + [shift, 0.0, 0.0]
            rows.append(" ".join(repr(float(x)) for x in (time + shift, *position, *quaternion)))
    (folder / "groundtruth.txt").write_text("# ground truth\n" + "\n".join(rows) + "\n")
    (folder / "camera.json").write_text(json.dumps({"K": K.tolist(), "width": 64, "height": 48}))
    return folder


def test_a_sequence_in_tums_format_is_read_with_poses_at_its_pictures_times(tmp_path):
    folder = tum(tmp_path / "desk")
    for view, other in zip(read_capture(folder), VIEWS, strict=True):
        np.testing.assert_allclose(view.T_world_camera, other.T_world_camera, atol=1e-6)
        np.testing.assert_allclose(view.depth, other.depth, atol=0.2e-3)
    assert recognising_reader(folder) == "tum"
    (folder / "camera.json").unlink()
    refused(folder, "camera.json", "distortion")
    folder = folder.rename(tmp_path / "rgbd_dataset_freiburg1_desk")
    lens = read_capture(folder)[0].camera  # of 640 x 480, here at a tenth
    np.testing.assert_allclose(lens.K[[0, 1, 0], [0, 1, 2]], [51.73, 51.65, 31.91])
    assert lens.distortion[0] == 0.2624
    (folder / "groundtruth.txt").write_text("7 0 0 0 0 0 0 1\n")
    refused(folder, "clocks")
