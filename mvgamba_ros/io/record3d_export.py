"""Capture reader of Record3D's "EXR + RGB" export: a film of a phone with LiDAR, in metres, z up.

Layout: https://github.com/marek-simonik/record3d and https://record3d.app/features. ``metadata.json`` has the poses
of all frames (quaternion x y z w, position), one K by columns, or intrinsics of each frame; depth is OpenEXR in
metres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.geometry.se3 import quat_to_matrix, rigid, xyzw_to_wxyz
from mvgamba_ros.io.arkit_pose import arkit_pose
from mvgamba_ros.io.pictures_reader import PicturesReader, read_json
from mvgamba_ros.io.posed_pictures import PosedPicture
from mvgamba_ros.io.transforms_intrinsics import bad_capture, read_camera
from mvgamba_ros.types import Camera

INNER = "EXR_RGBD"
METADATA = ("metadata.json", "metadata")
PICTURES = (".jpg", ".jpeg", ".png")


class Record3D(PicturesReader):
    """The capture reader of Record3D's export, see `mvgamba_ros.io.capture_readers`."""

    layout = 'a folder of Record3D\'s "EXR + RGB" export, with metadata.json, rgb and depth'
    video = True

    def holds(self, path: Path) -> bool:
        """See `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        return _metadata(path) is not None

    def pictures(self, path: Path) -> list[PosedPicture]:
        """All frames, see `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        file = _metadata(path)
        assert file is not None
        content = read_json(file)
        poses = np.asarray(content["poses"], dtype=np.float64)
        frames = [frame for frame in (file.parent / "rgb").iterdir() if frame.suffix.lower() in PICTURES]
        frames.sort(key=lambda frame: (len(frame.stem), frame.stem))  # 2 before 10
        if poses.shape != (len(frames), 7):
            raise bad_capture(file, f"has poses {poses.shape} of {len(frames)} pictures in rgb: export it whole")
        if len(poses) > 1 and np.allclose(poses, poses[0]):
            raise bad_capture(file, "has one pose for all frames: only films of the LiDAR camera have poses")
        pictures = []
        for index, frame in enumerate(frames):
            T = rigid(quat_to_matrix(xyzw_to_wxyz(poses[index, :4])), poses[index, 4:])
            depth = file.parent / "depth" / f"{frame.stem}.exr"
            pictures.append(
                PosedPicture(
                    name=f"rgb/{frame.name}",
                    picture=frame,
                    camera=_camera(file, content, index),
                    T_world_camera=arkit_pose(file, T, f"frame {index}"),
                    depth=depth if depth.is_file() else None,
                )
            )
        return pictures


def _metadata(path: Path) -> Path | None:
    for folder in (path, path / INNER):
        for name in METADATA:
            if (folder / name).is_file() and (folder / "rgb").is_dir():
                return folder / name
    return None


def _camera(file: Path, content: Any, index: int) -> Camera:
    each = content.get("perFrameIntrinsicCoeffs")
    if each:
        fl_x, fl_y, cx, cy = each[index][:4]
    else:
        K = np.asarray(content["K"], dtype=np.float64).reshape(3, 3).T
        fl_x, fl_y, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    known = {"fl_x": float(fl_x), "fl_y": float(fl_y), "cx": float(cx), "cy": float(cy), "camera_model": "PINHOLE"}
    return read_camera(file, known, int(content["w"]), int(content["h"]), f"frame {index}")
