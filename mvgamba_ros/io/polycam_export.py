"""Capture reader of Polycam's raw data: key frames of a phone with LiDAR, in metres, z up.

Layout: https://github.com/PolyCam/polyform, section "Raw data". The poses that were optimised
(``corrected_cameras``) are taken where they are there. Depth is 16-bit millimetres, smaller than the pictures;
where its confidence is 0 it is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mvgamba_ros.io.arkit_pose import arkit_pose
from mvgamba_ros.io.frame_paths import find_file
from mvgamba_ros.io.pictures_reader import PicturesReader, read_json
from mvgamba_ros.io.posed_pictures import PosedPicture
from mvgamba_ros.io.transforms_intrinsics import bad_capture, read_camera

ROWS = [[f"t_{row}{column}" for column in range(4)] for row in range(3)]


class Polycam(PicturesReader):
    """The capture reader of Polycam's raw data, see `mvgamba_ros.io.capture_readers`."""

    layout = "a folder of Polycam's raw data, with keyframes/cameras and keyframes/images"
    video = True

    def holds(self, path: Path) -> bool:
        """See `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        return (_key_frames(path) / "cameras").is_dir()

    def pictures(self, path: Path) -> list[PosedPicture]:
        """All key frames, see `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        folder = _key_frames(path)
        corrected = any((folder / "corrected_cameras").glob("*.json")) and (folder / "corrected_images").is_dir()
        prefix = "corrected_" if corrected else ""
        files = sorted((folder / f"{prefix}cameras").glob("*.json"))
        return [_picture(folder, folder / f"{prefix}images", file) for file in files]


def _key_frames(path: Path) -> Path:
    return path if path.name == "keyframes" else path / "keyframes"


def _picture(folder: Path, images: Path, file: Path) -> PosedPicture:
    content: Any = read_json(file)
    missing = [key for row in ROWS for key in row if key not in content]
    if missing:
        raise bad_capture(file, f"lacks {missing[0]}: it is no camera of Polycam's raw data")
    known = {"w": content["width"], "h": content["height"], "fl_x": content["fx"], "fl_y": content["fy"]}
    known |= {"cx": content["cx"], "cy": content["cy"], "camera_model": "PINHOLE"}
    depth, confidence = (folder / kind / f"{file.stem}.png" for kind in ("depth", "confidence"))
    return PosedPicture(
        name=f"{images.name}/{file.stem}",
        picture=find_file(images, file.stem),
        camera=read_camera(file, known, int(content["width"]), int(content["height"]), file.stem),
        T_world_camera=arkit_pose(file, [[content[key] for key in row] for row in ROWS], file.stem),
        depth=depth if depth.is_file() else None,
        trusted=confidence if depth.is_file() and confidence.is_file() else None,
    )
