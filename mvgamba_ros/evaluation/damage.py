"""Faults of robots, cameras and depth sensors, put into posed views whose truth is known.

A fault takes views and a random generator and answers new views; what it does not name stays as it is. `CONDITIONS`
lists faults by name, as strong as users report them and stronger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.types import F32, F64, U8, Camera, View

Rng = np.random.Generator
Fault = Callable[[Sequence[View], Rng], list[View]]


def pose_noise(millimetres: float = 0.0, degrees: float = 0.0) -> Fault:
    """Every camera's pose is off on its own: normal errors of its position and its rotation vector, sigma per axis."""

    def fault(view: View, rng: Rng) -> View:
        shift, turn = rng.normal(0, 1, (2, 3))
        return _moved(view, _small_motion(turn * degrees, shift * millimetres))

    return _each(fault)


def hand_eye_error(millimetres: float = 0.0, degrees: float = 0.0) -> Fault:
    """All cameras' poses are off by one rigid motion in the camera's frame, as after a wrong hand-eye calibration:
    so far in a random direction, and so much about a random axis."""

    def fault(views: Sequence[View], rng: Rng) -> list[View]:
        T = _small_motion(_direction(rng) * degrees, _direction(rng) * millimetres)
        return [_moved(view, T) for view in views]

    return fault


def one_bad_pose(millimetres: float, degrees: float) -> Fault:
    """The second view's pose alone is off, so far in a random direction and so much about a random axis."""

    def fault(views: Sequence[View], rng: Rng) -> list[View]:
        T = _small_motion(_direction(rng) * degrees, _direction(rng) * millimetres)
        return [_moved(view, T) if index == 1 else view for index, view in enumerate(views)]

    return fault


def swapped_poses(views: Sequence[View], rng: Rng) -> list[View]:
    """The first two views have each other's poses."""
    if len(views) < 2:
        return list(views)
    first, second, *others = views
    return [_placed(first, second.T_world_camera), _placed(second, first.T_world_camera), *others]


def late_poses(views: Sequence[View], rng: Rng) -> list[View]:
    """Every picture has the pose of the next one, the last that of the first: pictures arrive a place late."""
    return [
        _placed(view, following.T_world_camera) for view, following in zip(views, [*views[1:], views[0]], strict=True)
    ]


def moved_object(millimetres: float) -> Fault:
    """The object, and the table with it, slid horizontally before the second half of the views."""

    def fault(views: Sequence[View], rng: Rng) -> list[View]:
        azimuth = rng.uniform(0, 2 * math.pi)
        T = rigid(np.eye(3), np.array([math.cos(azimuth), math.sin(azimuth), 0.0]) * millimetres * 1e-3)
        half = len(views) // 2
        return [view if index < half else _placed(view, T @ view.T_world_camera) for index, view in enumerate(views)]

    return fault


def wrong_intrinsics(scale: float = 1.0, shift: float = 0.0) -> Fault:
    """Focal lengths times ``scale``; the principal point off by ``shift`` pixels across and half of it down."""

    def fault(view: View, rng: Rng) -> View:
        K = view.camera.K.copy()
        K[[0, 1], [0, 1]] *= scale
        K[:2, 2] += shift, shift / 2
        return replace(view, camera=replace(view.camera, K=K))

    return _each(fault)


def cut_by_border(share: float) -> Fault:
    """Pictures begin so far below the object's top, as a share of its height in them: views need masks."""

    def fault(view: View, rng: Rng) -> View:
        if view.mask is None:
            raise ValueError(f"{view.name or 'a view'}: cut_by_border finds the object by its mask; give one")
        rows = np.flatnonzero(view.mask.any(axis=1))
        first = int(rows[0] + share * (rows[-1] - rows[0]))
        K = view.camera.K - np.array([[0, 0, 0], [0, 0, first], [0, 0, 0]])
        camera = Camera(K, view.camera.width, view.camera.height - first)
        depth = None if view.depth is None else view.depth[first:].copy()
        hidden = None if view.hidden is None else view.hidden[first:].copy()
        image, mask = np.ascontiguousarray(view.image[first:]), view.mask[first:].copy()
        return replace(view, image=image, camera=camera, mask=mask, depth=depth, hidden=hidden)

    return _each(fault)


def in_millimetres(views: Sequence[View], rng: Rng) -> list[View]:
    """Positions are in millimetres where metres are due."""
    scale = np.array([1.0, 1.0, 1.0, 1000.0])
    return [_placed(view, np.vstack([view.T_world_camera[:3] * scale, [0, 0, 0, 1]])) for view in views]


def grey(views: Sequence[View], rng: Rng) -> list[View]:
    """Pictures without colour."""
    return _pictures(lambda image, rng: np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2))(views, rng)


def motion_blur(pixels: float) -> Fault:
    """The camera moves so far along the picture while it exposes, in a direction of its own in each view."""

    def fault(image: F32, rng: Rng) -> F32:
        azimuth = rng.uniform(0, math.pi)
        side = 2 * math.ceil(pixels / 2) + 1
        ends = (side / 2 - 0.5) + np.array([-1, 1])[:, None] * pixels / 2 * [math.cos(azimuth), math.sin(azimuth)]
        kernel = np.zeros((side, side), np.float32)
        (x0, y0), (x1, y1) = np.rint(ends).astype(int).tolist()
        cv2.line(kernel, (x0, y0), (x1, y1), 1.0)
        return np.asarray(
            cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), dtype=np.float32
        )

    return _pictures(fault)


def sensor_noise(sigma: float) -> Fault:
    """Normal noise on every pixel and channel, grey levels."""
    return _pictures(lambda image, rng: image + sigma * rng.standard_normal(image.shape, np.float32))


def uneven_exposure(stops: float) -> Fault:
    """Each picture is lighter or darker by up to so many stops."""
    return _pictures(lambda image, rng: image * np.float32(2.0 ** rng.uniform(-stops, stops)))


def jpeg(quality: int) -> Fault:
    """Pictures went through JPEG."""

    def fault(image: F32, rng: Rng) -> F32:
        written, data = cv2.imencode(".jpg", image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert written
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.float32)

    return _pictures(fault)


def stereo_depth(offset: float = 1.5e-3, growth: float = 4e-3) -> Fault:
    """Depth as an active stereo camera measures it: noise in blotches of sigma ``offset`` + ``growth`` z^2 metres,
    holes, and edges where the nearer surface bleeds over the farther one or nothing is found."""

    def fault(view: View, rng: Rng) -> View:
        if view.depth is None:
            return view
        z = view.depth
        noisy = z + _blotches(z.shape, 2.0, rng) * (offset + growth * z**2)
        steep = np.hypot(cv2.Sobel(z, cv2.CV_32F, 1, 0), cv2.Sobel(z, cv2.CV_32F, 0, 1)) > 0.08
        edge = cv2.dilate(steep.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        noisy = np.where(edge, cv2.erode(noisy, np.ones((3, 3), np.uint8)), noisy)
        lost = (_blotches(z.shape, 5.0, rng) > 1.6) | (edge & (rng.random(z.shape) < 0.5)) | (z <= 0.0)
        return replace(view, depth=np.where(lost, 0.0, noisy).astype(np.float32))

    return _each(fault)


def depth_scaled(factor: float) -> Fault:
    """Depth is in a wrong unit, or of another camera's baseline."""

    def fault(view: View, rng: Rng) -> View:
        return view if view.depth is None else replace(view, depth=view.depth * np.float32(factor))

    return _each(fault)


def in_turn(*faults: Fault) -> Fault:
    """One after another."""

    def fault(views: Sequence[View], rng: Rng) -> list[View]:
        result = list(views)
        for part in faults:
            result = part(result, rng)
        return result

    return fault


def _each(change: Callable[[View, Rng], View]) -> Fault:
    return lambda views, rng: [change(view, rng) for view in views]


def _pictures(change: Callable[[F32, Rng], F32]) -> Fault:
    """Pictures as `change` makes them of (H, W, 3) in [0, 255]."""

    def picture(view: View, rng: Rng) -> View:
        image: U8 = np.clip(np.rint(change(view.image.astype(np.float32), rng)), 0, 255).astype(np.uint8)
        return replace(view, image=image)

    return _each(picture)


def _placed(view: View, T_world_camera: F64) -> View:
    return replace(view, T_world_camera=T_world_camera)


def _moved(view: View, T_camera_wrong: F64) -> View:
    return _placed(view, view.T_world_camera @ T_camera_wrong)


def _small_motion(degrees: F64, millimetres: F64) -> F64:
    """(4, 4) of a rotation vector in degrees and a translation in millimetres."""
    return rigid(np.asarray(cv2.Rodrigues(np.radians(degrees))[0], np.float64), millimetres * 1e-3)


def _direction(rng: Rng) -> F64:
    d = rng.normal(size=3)
    return np.asarray(d / np.linalg.norm(d), np.float64)


def _blotches(shape: tuple[int, ...], sigma: float, rng: Rng) -> F32:
    """Smooth noise of unit variance, ``sigma`` pixels wide."""
    noise = np.asarray(cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma), np.float32)
    return noise / noise.std()


@dataclass(frozen=True)
class Condition:
    """A fault, and what a reconstruction is given: the measured ``depth``; the object's ``region``, which a fault of
    scale would contradict; only the first views of all, ``neighbours`` of them, which see one side of the object."""

    fault: Fault
    depth: bool = False
    region: bool = True
    neighbours: int | None = None


_ROBOT = in_turn(pose_noise(0.7, 0.1), hand_eye_error(3, 0.3))
CONDITIONS: Mapping[str, Condition] = {
    "clean": Condition(in_turn()),
    "pose_noise_1mm": Condition(pose_noise(1)),
    "pose_noise_2mm_0.3deg": Condition(pose_noise(2, 0.3)),
    "pose_noise_5mm": Condition(pose_noise(5)),
    "pose_noise_10mm": Condition(pose_noise(10)),
    "pose_noise_0.5deg": Condition(pose_noise(0, 0.5)),
    "hand_eye_3mm": Condition(hand_eye_error(3)),
    "hand_eye_5mm_0.5deg": Condition(hand_eye_error(5, 0.5)),
    "hand_eye_10mm": Condition(hand_eye_error(10)),
    "hand_eye_1deg": Condition(hand_eye_error(0, 1)),
    "hand_eye_20mm_2deg": Condition(hand_eye_error(20, 2)),
    "one_pose_10mm_2deg": Condition(one_bad_pose(10, 2)),
    "one_pose_30mm_5deg": Condition(one_bad_pose(30, 5)),
    "poses_swapped": Condition(swapped_poses),
    "poses_late": Condition(late_poses),
    "object_moved_5mm": Condition(moved_object(5)),
    "object_moved_15mm": Condition(moved_object(15)),
    "focal_2%": Condition(wrong_intrinsics(1.02)),
    "focal_5%": Condition(wrong_intrinsics(1.05)),
    "principal_point_10px": Condition(wrong_intrinsics(shift=10)),
    "other_intrinsics": Condition(wrong_intrinsics(0.63)),
    "cut_by_border": Condition(cut_by_border(0.25)),
    "in_millimetres": Condition(in_millimetres, region=False),
    "one_view": Condition(in_turn(), neighbours=1),
    "two_views": Condition(in_turn(), neighbours=2),
    "one_side": Condition(in_turn(), neighbours=3),
    "grey": Condition(grey),
    "blur_8px": Condition(motion_blur(8)),
    "noise_15": Condition(sensor_noise(15)),
    "exposure_1ev": Condition(uneven_exposure(1)),
    "jpeg_30": Condition(jpeg(30)),
    "ordinary_robot": Condition(in_turn(_ROBOT, uneven_exposure(0.4), sensor_noise(5), motion_blur(3))),
    "depth": Condition(in_turn(), depth=True),
    "stereo_depth": Condition(stereo_depth(), depth=True),
    "stereo_ordinary_robot": Condition(in_turn(stereo_depth(), _ROBOT), depth=True),
    "depth_x1.5": Condition(depth_scaled(1.5), depth=True),
}
"""Conditions by name."""
