"""Capture reader of scenes of the BOP benchmark: one object's masks, depth, and poses.

Format: https://github.com/thodan/bop_toolkit/blob/master/docs/bop_datasets_format.md. Lengths there are
millimetres, here metres. The world is the scene's where its cameras have poses in it (``cam_R_w2c``), else the
frame of the object's model. Pixel centres lie at integers there, as in OpenCV, so the principal point moves by half
a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.geometry.camera import HALF_PIXEL
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.io.pictures_reader import PicturesReader, read_json
from mvgamba_ros.io.pose_files import read_pose
from mvgamba_ros.io.posed_pictures import MILLIMETRE, PosedPicture
from mvgamba_ros.io.transforms_intrinsics import bad_capture, read_camera
from mvgamba_ros.types import F64, Camera

FOLDERS, ENDINGS = ("rgb", "gray"), (".png", ".jpg", ".tif")


class BopScene(PicturesReader):
    """The capture reader of BOP scenes, see `mvgamba_ros.io.capture_readers`. The list of views (``views_file``,
    ``--views``) is the number of the object; a scene of one object needs none."""

    layout = "a scene of a BOP dataset, with scene_camera.json and rgb; --views takes the object's number"

    def __init__(self) -> None:
        self._object: int | None = None

    def holds(self, path: Path) -> bool:
        """See `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        return (path / "scene_camera.json").is_file()

    def recognises(self, path: Path, views_file: str) -> bool:
        """See `mvgamba_ros.io.capture_readers.CaptureReader`."""
        return super().recognises(path, "" if views_file.isdecimal() else views_file)

    def _chosen(self, path: Path, views_file: str) -> list[PosedPicture]:
        self._object = int(views_file) if views_file.isdecimal() else None
        return super()._chosen(path, "" if views_file.isdecimal() else views_file)

    def pictures(self, path: Path) -> list[PosedPicture]:
        """The pictures of the object that was named, see `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        cameras = read_json(path / "scene_camera.json")
        truth = path / "scene_gt.json"
        objects: Mapping[str, Any] = read_json(truth) if truth.is_file() else {}
        present = sorted({int(entry["obj_id"]) for entries in objects.values() for entry in entries})
        number = self._object
        if number is None and len(present) == 1:
            number = present[0]
        if number is not None and number not in present:
            raise bad_capture(truth, f"has no object {number}; its objects are {present}")
        placed = all("cam_R_w2c" in camera for camera in cameras.values())
        if number is None and not placed:
            raise bad_capture(
                path / "scene_camera.json",
                f"has no poses in the scene (cam_R_w2c): name one of the objects {present}, as --views {present[0]}"
                if present
                else "has no poses in the scene (cam_R_w2c), and no scene_gt.json is there",
            )
        pictures = []
        for key in sorted(cameras, key=int):
            entries = objects.get(key, [])
            mine = [index for index, entry in enumerate(entries) if int(entry["obj_id"]) == number]
            if number is not None and not mine:
                continue  # it is not in this picture
            if len(mine) > 1:
                raise bad_capture(truth, f"has object {number} {len(mine)} times in picture {key}: name another")
            pose = cameras[key] if placed else entries[mine[0]]
            mask = path / "mask_visib" / f"{int(key):06d}_{mine[0]:06d}.png" if mine else None
            pictures.append(_picture(path, key, cameras[key], _pose(path, key, pose, "w2c" if placed else "m2c"), mask))
        return pictures


def _picture(path: Path, key: str, values: Any, T_world_camera: F64, mask: Path | None) -> PosedPicture:
    stem = f"{int(key):06d}"
    spelled = [path / folder / f"{stem}{ending}" for folder in FOLDERS for ending in ENDINGS]
    file = next((place for place in spelled if place.is_file()), None)
    depths = [path / "depth" / f"{stem}{ending}" for ending in ENDINGS]
    K = np.asarray(values["cam_K"], dtype=np.float64).reshape(3, 3) + HALF_PIXEL

    def camera(width: int, height: int) -> Camera:
        known = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "w": width, "h": height}
        known = {name: float(value) for name, value in known.items()}
        return read_camera(path / "scene_camera.json", {**known, "camera_model": "PINHOLE"}, width, height, key)

    return PosedPicture(
        name=f"rgb/{stem}" if file is None else f"{file.parent.name}/{file.name}",
        picture=file,
        camera=camera,
        T_world_camera=T_world_camera,
        mask=mask if mask is not None and mask.is_file() else None,
        depth=next((place for place in depths if place.is_file()), None),
        depth_step=MILLIMETRE * float(values.get("depth_scale", 1.0)),
    )


def _pose(path: Path, key: str, values: Any, suffix: str) -> F64:
    R = np.asarray(values[f"cam_R_{suffix}"], dtype=np.float64).reshape(3, 3)
    t = MILLIMETRE * np.asarray(values[f"cam_t_{suffix}"], dtype=np.float64).reshape(3, 1)
    return inverse(read_pose(path, np.hstack([R, t]), f"picture {key}"))
