"""Capture reader of sequences in the format of the TUM RGB-D benchmark: time-stamped pictures and a trajectory.

Format: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats. ``rgb.txt`` and ``depth.txt`` list pictures
by time, ``groundtruth.txt`` has the camera's poses, of the optical frame in metres; depth is in steps of 0.2 mm.
The intrinsics are those of ``camera.json`` as `mvgamba generate --camera` takes it; sequences of the benchmark
itself, known by "freiburg1" to "freiburg3" in the folder's name, have published ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgamba_ros.geometry.camera import HALF_PIXEL, check_camera, named_distortion
from mvgamba_ros.geometry.se3 import interpolate, quat_to_matrix, rigid, xyzw_to_wxyz
from mvgamba_ros.io.pictures_reader import PicturesReader, read_bytes, read_json
from mvgamba_ros.io.posed_pictures import PosedPicture
from mvgamba_ros.io.transforms_intrinsics import bad_capture
from mvgamba_ros.types import F64, Camera

TRAJECTORIES = ("groundtruth.txt", "trajectory.txt", "CameraTrajectory.txt", "KeyFrameTrajectory.txt")
STEP_M = 1.0 / 5000.0
"""Metres of one step of depth."""
SAME_TIME_S = 0.02
"""Times as far apart belong together, as in the benchmark's own tool."""
LONGEST_GAP_S = 0.1
"""Between poses farther apart none is interpolated. Set by hand: three pictures at 30 Hz."""
PUBLISHED = {
    "freiburg1": ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": ((535.4, 539.2, 320.1, 247.6), ()),
}
"""fx, fy, cx, cy and plumb_bob of the benchmark's colour cameras of 640 x 480, in OpenCV's pixels."""


class TumSequence(PicturesReader):
    """The capture reader of TUM's sequences, see `mvgamba_ros.io.capture_readers`."""

    layout = "a sequence in TUM's format, with rgb.txt and groundtruth.txt (or trajectory.txt), and camera.json"
    video = True

    def holds(self, path: Path) -> bool:
        """See `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        return (path / "rgb.txt").is_file() and any((path / name).is_file() for name in TRAJECTORIES)

    def pictures(self, path: Path) -> list[PosedPicture]:
        """All pictures with a pose, see `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        camera = _camera(path)
        file = next(path / name for name in TRAJECTORIES if (path / name).is_file())
        rows = np.array([[float(value) for value in row[:8]] for row in _rows(file)]).reshape(-1, 8)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        if not len(rows):
            raise bad_capture(file, "has no pose")
        poses = [rigid(quat_to_matrix(xyzw_to_wxyz(row[4:])), row[1:4]) for row in rows]
        depths = _rows(path / "depth.txt") if (path / "depth.txt").is_file() else []
        depth_times = np.array([float(row[0]) for row in depths])
        pictures = []
        for row in _rows(path / "rgb.txt"):
            time, name = float(row[0]), row[1]
            T_world_camera = _pose_at(rows[:, 0], poses, time)
            if T_world_camera is None:
                continue  # before, after or in a gap of the trajectory
            nearest = int(np.abs(depth_times - time).argmin()) if len(depths) else -1
            depth = path / depths[nearest][1] if nearest >= 0 else None
            beside = depth is not None and abs(depth_times[nearest] - time) <= SAME_TIME_S and depth.is_file()
            picture = path / name
            pictures.append(
                PosedPicture(
                    name=name,
                    picture=picture if picture.is_file() else None,
                    camera=camera,
                    T_world_camera=T_world_camera,
                    depth=depth if beside else None,
                    depth_step=STEP_M,
                )
            )
        if not pictures:
            raise bad_capture(file, "has no pose at the time of any picture of rgb.txt: their clocks differ")
        return pictures


def _rows(path: Path) -> list[list[str]]:
    lines = read_bytes(path).decode("utf-8-sig").splitlines()
    return [line.replace(",", " ").split() for line in lines if line.strip() and not line.startswith("#")]


def _pose_at(times: F64, poses: list[F64], time: float) -> F64 | None:
    """The pose at ``time``, between two that are not far apart, or the nearest; None where none is near."""
    after = int(np.searchsorted(times, time))
    if 0 < after < len(times) and 0.0 < times[after] - times[after - 1] <= LONGEST_GAP_S:
        share = (time - times[after - 1]) / (times[after] - times[after - 1])
        return interpolate(poses[after - 1], poses[after], float(share))
    nearest = int(np.abs(times - time).argmin())
    return poses[nearest] if abs(times[nearest] - time) <= SAME_TIME_S else None


def _camera(path: Path) -> Camera:
    file = path / "camera.json"
    if file.is_file():
        content = read_json(file)
        K = np.asarray(content["K"], dtype=np.float64).reshape(3, 3)
        model, coefficients = named_distortion(
            str(content.get("distortion_model", "plumb_bob")), content.get("distortion", ())
        )
        camera = Camera(K, int(content["width"]), int(content["height"]), model, coefficients)  # type: ignore[arg-type]
        check_camera(camera, str(file))
        return camera
    for name, ((fx, fy, cx, cy), distortion) in PUBLISHED.items():
        if name in path.resolve().name:
            K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]) + HALF_PIXEL
            return Camera(K, 640, 480, "plumb_bob" if distortion else "none", distortion)
    raise bad_capture(
        path,
        'its format has no intrinsics: add camera.json, {"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "width": ..., '
        '"height": ...}, pixel centres at +0.5, and "distortion": [k1, k2, p1, p2, k3] where there is any',
    )
