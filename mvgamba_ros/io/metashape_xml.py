"""Capture reader of Agisoft Metashape's cameras in XML, beside the pictures.

Camera model: Metashape's manual, appendix "Camera models" (https://www.agisoft.com/downloads/user-manuals/): radial
terms to r^8, P1 and P2 the other way round than OpenCV's, affinity B1 and skew B2, the principal point off the
centre. Camera axes are OpenCV's. A chunk that was placed by markers or coordinates has a scale, and lengths are
metres; one in geocentric coordinates is moved to its cameras, with z up.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET  # nosec: entities are refused before it reads
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.io.frame_paths import find_file
from mvgamba_ros.io.pictures_reader import PicturesReader, read_bytes
from mvgamba_ros.io.pose_files import read_pose
from mvgamba_ros.io.posed_pictures import PosedPicture, unknown_scale
from mvgamba_ros.io.transforms_intrinsics import bad_capture, read_camera
from mvgamba_ros.types import F64, Camera

HEAD = 4096
"""Bytes of a file that tell whether it is one of Metashape's."""
MOST_SKEW = 1.0
"""Largest B2, pixels: it moves no pixel by more than half of it. Set by hand."""
GEOCENTRIC_M = 1e6
"""Positions farther from the origin are geocentric: the Earth's radius is 6.4e6 m."""


class Metashape(PicturesReader):
    """The capture reader of Metashape's XML, see `mvgamba_ros.io.capture_readers`."""

    layout = "a folder with one .xml of cameras, as Metashape exports them, and its pictures, or that file"

    def holds(self, path: Path) -> bool:
        """See `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        return len(_files(path)) == 1

    def pictures(self, path: Path) -> list[PosedPicture]:
        """All aligned cameras, see `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        (file,) = _files(path)
        content = read_bytes(file)
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise bad_capture(file, "declares entities, which no export of Metashape does")
        chunks = ET.fromstring(content).findall("chunk")  # nosec
        if len(chunks) != 1:
            raise bad_capture(file, f"has {len(chunks)} chunks: export one of them")
        (chunk,) = chunks
        sensors = {sensor.get("id"): sensor for sensor in chunk.iterfind("sensors/sensor")}
        placed = {part.get("id"): part.find("transform") for part in chunk.iterfind("components/component")}
        if chunk.find("transform") is not None:
            placed[None] = chunk.find("transform")
        pictures, scaled = [], True
        for camera in chunk.iter("camera"):
            transform = camera.find("transform")
            label = camera.get("label") or ""
            if transform is None or camera.get("enabled") in ("false", "0"):
                continue  # not aligned
            sensor = sensors.get(camera.get("sensor_id"))
            if sensor is None:
                raise bad_capture(file, f"{label} is of sensor {camera.get('sensor_id')}, which it lacks")
            place = placed.get(camera.get("component_id"), placed.get(None))
            scaled &= place is not None and place.find("scale") is not None
            pictures.append(
                PosedPicture(
                    name=label,
                    picture=find_file(file.parent, label),
                    camera=_camera(file, sensor),
                    T_world_camera=_placed(file, read_pose(file, _numbers(transform), label), place),
                )
            )
        if not scaled:
            unknown_scale(path, "its chunk was not scaled by markers or coordinates")
        return _near_origin(pictures)


def _files(path: Path) -> list[Path]:
    """The XML files of Metashape that ``path`` is or holds."""
    files = [path] if path.suffix == ".xml" and path.is_file() else sorted(path.glob("*.xml"))
    return [file for file in files if _is_metashape(file)]


def _is_metashape(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    return b"<document" in head and b"<chunk" in head


def _numbers(element: ET.Element | None) -> list[float]:
    return [float(value) for value in ((element.text if element is not None else None) or "").split()]


def _value(calibration: ET.Element, name: str) -> float:
    values = _numbers(calibration.find(name))
    return values[0] if values else 0.0


def _camera(file: Path, sensor: ET.Element) -> Camera:
    calibrations = sensor.findall("calibration")
    adjusted = [found for found in calibrations if found.get("class") == "adjusted"] or calibrations
    what = f"sensor {sensor.get('label') or sensor.get('id')}"
    if not adjusted:
        raise bad_capture(file, f"{what} has no calibration: align the pictures before the export")
    found = adjusted[-1]
    resolution = found.find("resolution")
    resolution = sensor.find("resolution") if resolution is None else resolution
    if resolution is None:
        raise bad_capture(file, f"{what} has no resolution")
    width, height = int(resolution.get("width", 0)), int(resolution.get("height", 0))
    kind = found.get("type") or sensor.get("type") or "frame"
    if kind not in ("frame", "fisheye"):
        raise bad_capture(file, f"{what} is of type {kind}, known are frame and fisheye: undistort the pictures")
    for name, most in (("b2", MOST_SKEW), ("p3", 0.0), ("p4", 0.0), *((("p1", 0.0), ("p2", 0.0)) * (kind != "frame"))):
        if abs(_value(found, name)) > most:
            raise bad_capture(
                file, f"{what} has {name} {_value(found, name):g}, which is not supported: undistort the pictures"
            )
    f = _value(found, "f")
    known = {name: _value(found, name) for name in ("k1", "k2", "k3", "k4")}
    known |= {"p1": _value(found, "p2"), "p2": _value(found, "p1"), "fl_x": f + _value(found, "b1"), "fl_y": f}
    known |= {"cx": 0.5 * width + _value(found, "cx"), "cy": 0.5 * height + _value(found, "cy")}
    model = {"camera_model": "OPENCV" if kind == "frame" else "OPENCV_FISHEYE", "w": width, "h": height}
    return read_camera(file, {**known, **model}, width, height, what)


def _placed(file: Path, T_chunk_camera: F64, place: ET.Element | None) -> F64:
    """A camera's pose in the world that its component was placed in."""
    if place is None:
        return T_chunk_camera
    rotation, translation, scale = (_numbers(place.find(name)) for name in ("rotation", "translation", "scale"))
    R = np.reshape(rotation or np.eye(3), (3, 3))
    t, s = np.asarray(translation or np.zeros(3)), scale[0] if scale else 1.0
    if not 0.0 < s < np.inf:
        raise bad_capture(file, f"a component has the scale {s:g}: it must be above 0")
    return rigid(R @ T_chunk_camera[:3, :3], s * R @ T_chunk_camera[:3, 3] + t)


def _near_origin(pictures: list[PosedPicture]) -> list[PosedPicture]:
    """Pictures in geocentric coordinates, about the mean of their cameras, x east and z up."""
    if not pictures:
        return pictures
    centre = np.mean([picture.T_world_camera[:3, 3] for picture in pictures], axis=0)
    if np.linalg.norm(centre) < GEOCENTRIC_M:
        return pictures
    up = centre / np.linalg.norm(centre)
    east = np.cross([0.0, 0.0, 1.0], up)
    east /= np.linalg.norm(east)
    R = np.stack([east, np.cross(up, east), up])
    T_local_world = rigid(R, -R @ centre)
    return [replace(picture, T_world_camera=T_local_world @ picture.T_world_camera) for picture in pictures]
