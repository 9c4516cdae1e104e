"""Where the wrist camera stands, what its pictures suffer, and how far off the robot's word for its pose is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.synthesis.pose_sampling import aimed_pose
from mvgamba_ros.synthesis.shading import Rng
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.types import F32, F64, U8, Camera

CLEARANCE = 0.1
"""Least distance of a camera from the bounds of any object, metres."""


def place_cameras(bounds: F64, rig: TabletopRig, rng: Rng) -> tuple[Camera, list[F64], int]:
    """The camera, its poses ``T_world_camera``, and how many of them cut their target off.

    Args:
        bounds: (N, 2, 3) of the objects, metres.
        rig: Distances, angles, lenses.
        rng: Draws an arc or an orbit, what it is about, and where each camera points.
    """
    focal = rig.width / 2 / math.tan(math.radians(rng.uniform(*rig.fov_deg)) / 2)
    K = np.array([[focal, 0, rig.width / 2], [0, focal, rig.height / 2], [0, 0, 1]])
    K[:2, 2] += rng.normal(0, 0.01, 2) * rig.width
    alone = rng.random() < 0.55
    target = bounds[0] if alone else np.stack([bounds[:, 0].min(0), bounds[:, 1].max(0)])
    centre, radius = target.mean(0), float(np.linalg.norm(np.ptp(target, axis=0))) / 2
    half = math.atan(rig.height / 2 / focal)
    nearest = 1.05 * radius / math.sin(half)
    usual, spread = rng.uniform(*rig.distance), math.radians(rng.uniform(*rig.spread_deg))
    orbit = rng.uniform(*rig.elevation_deg) if rng.random() < 0.6 else None
    steps = np.arange(rig.views) / max(rig.views - (spread < 1.5 * np.pi), 1)
    azimuths = rng.uniform(0, 2 * np.pi) + spread * steps + np.radians(rng.normal(0, 6, rig.views))
    if rng.random() < 0.3:
        rng.shuffle(azimuths)
    upright, cuts, poses = rng.random() < 0.88, 0, []
    for azimuth in azimuths:
        elevation = rng.normal(orbit, 5) if orbit is not None else rng.uniform(*rig.elevation_deg)
        elevation = math.radians(np.clip(elevation, *rig.elevation_deg))
        distance = max(usual * math.exp(rng.normal(0, 0.08)), nearest)
        away = np.array([math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), 0.0])
        away[2] = math.sin(elevation)
        while _distance(centre + distance * away, bounds) < CLEARANCE:
            distance *= 1.1
        eye = centre + distance * away
        level = aimed_pose(eye, centre, 0.0)
        room = np.maximum(np.array([rig.width, rig.height]) / 2 / focal * distance - 1.05 * radius, 0)
        step = rng.uniform(-0.7, 0.7, 2) * room
        if rng.random() < rig.cut_off:
            cuts += 1
            side = rng.choice([-1.0, 1.0])
            step[0] = side * (rig.width / 2 / focal * distance - radius * rng.uniform(-0.2, 0.6))
        roll = rng.normal(0, math.radians(8)) + (0.0 if upright else rng.choice([0.5, 1.0, 1.5]) * np.pi)
        poses.append(aimed_pose(eye, centre + step[0] * level[:3, 0] + step[1] * level[:3, 1], roll))
    return Camera(K, rig.width, rig.height), poses, cuts


def _distance(point: F64, bounds: F64) -> float:
    """Of a point (3,) from the nearest of boxes (N, 2, 3), 0 inside."""
    outside = np.maximum(np.maximum(bounds[:, 0] - point, point - bounds[:, 1]), 0)
    return float(np.linalg.norm(outside, axis=1).min())


def reported_poses(poses: list[F64], rig: TabletopRig, rng: Rng) -> list[F64]:
    """The poses as a robot reports them: off by a part that is the same in the camera's frame of all, as a hand-eye
    calibration's error is, and by one of each pose's own."""
    if rng.random() < rig.exact:
        return poses
    most, turn = rng.uniform(0, rig.position_noise), math.radians(rng.uniform(0, rig.angle_noise_deg))
    share = rng.random()
    common = share * rng.uniform(-1, 1, 6) / math.sqrt(3)

    def off(own: F64) -> F64:
        R, _ = cv2.Rodrigues(turn * own[:3])
        return rigid(np.asarray(R, np.float64), most * own[3:])

    return [pose @ off(common + (1 - share) * rng.uniform(-1, 1, 6) / math.sqrt(3)) for pose in poses]


@dataclass(frozen=True)
class Sensor:
    """What is the same in all pictures of a scene: sigma of the lens's blur, pixels; read and shot noise, steps of
    255; vignetting, the share lost in the corners; white balance (3,); JPEG quality; how far its metering evens out
    dark and bright pictures, from 0 to 1, of ``every_view`` or as the first one needs it; the share by which edges are
    raised."""

    blur: float
    read: float
    shot: float
    vignette: float
    balance: F32
    quality: int
    metering: float
    every_view: bool
    sharpening: float


def sample_sensor(rig: TabletopRig, rng: Rng) -> Sensor:
    """A random camera."""
    noise = math.exp(rng.uniform(*np.log(rig.noise)))
    share = rng.random()
    balance = np.exp(rng.normal(0, 0.04, 3))
    return Sensor(
        blur=float(rng.uniform(0.35, 1.1)),
        read=noise * share,
        shot=noise * (1 - share),
        vignette=float(rng.uniform(0, 0.3)) if rng.random() < 0.5 else 0.0,
        balance=(balance / balance.mean()).astype(np.float32),
        quality=int(rng.integers(rig.jpeg_quality[0], rig.jpeg_quality[1] + 1)),
        metering=float(rng.uniform(0, 0.9)) if rng.random() < 0.7 else 0.0,
        every_view=bool(rng.random() < 0.5),
        sharpening=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.35 else 0.0,
    )


def decoded(jpeg: bytes) -> U8:
    """The RGB picture (H, W, 3) in a JPEG file's content."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def photograph(linear: F32, sensor: Sensor, rig: TabletopRig, rng: Rng) -> bytes:
    """The JPEG that the sensor makes of developed light (H, W, 3) in [0, 255]."""
    height, width = linear.shape[:2]
    image: F32 = linear * sensor.balance
    if sensor.vignette:
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        image = image * (1 - sensor.vignette * (x**2 + y**2) / 2).astype(np.float32)[..., None]
    if rng.random() < rig.blurred:
        length, angle = rng.uniform(2, 7), rng.uniform(0, np.pi)
        kernel = np.zeros((9, 9), np.float32)
        reach = length / 2 * np.array([math.cos(angle), math.sin(angle)])
        for s in np.linspace(-1, 1, 25):
            column, row = 4 + s * reach
            i, j = int(row), int(column)
            for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(row - i - a)) * (1 - abs(column - j - b))
                if 0 <= i + a < 9 and 0 <= j + b < 9:
                    kernel[i + a, j + b] += weight
        image = np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.float32)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), sensor.blur), np.float32)
    if sensor.sharpening:
        image += np.float32(sensor.sharpening) * (image - np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2), np.float32))
    sigma = np.sqrt(sensor.read**2 + sensor.shot**2 * np.maximum(image, 0) / 128)
    grain = rng.standard_normal(image.shape, np.float32)
    if rng.random() < 0.5:  # a sensor's own denoising leaves clots
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.8), np.float32) * np.float32(2.2)
    image = np.clip(np.rint(image + sigma * grain), 0, 255).astype(np.uint8)
    _, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])
    return content.tobytes()
