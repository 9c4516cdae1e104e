"""Pinhole cameras: checks, undistortion, crops, resampling, projection.

Pixel centres lie at +0.5 (see `mvgamba_ros.types`); OpenCV's own functions put them at integers, so ``cx, cy`` shift
by half a pixel on the way in and out of them, here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.types import F32, F64, U8, Bool, Camera, View

DISTORTION_LENGTHS: dict[str, tuple[int, ...]] = {
    "none": (0,),
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8, 12, 14),
    "equidistant": (0, 4),
}
"""Distortion models and how many coefficients each may have, in ROS's and OpenCV's order (k1 k2 p1 p2 k3 ...)."""

DISTORTION_NAMES = {
    "fisheye": "equidistant",
    "kannala_brandt": "equidistant",
    "kannala_brandt4": "equidistant",
    "radtan": "plumb_bob",
    "brown_conrady": "plumb_bob",
}
"""Other names of distortion models, in lower case with underscores, and ours (those of sensor_msgs/CameraInfo)."""

Raster = TypeVar("Raster", U8, Bool, F32)

HALF_PIXEL = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
"""``K - HALF_PIXEL`` gives OpenCV's pixels, whose centres lie at integers."""


def named_distortion(name: str, coefficients: Iterable[float]) -> tuple[str, tuple[float, ...]]:
    """Our name of a distortion model and as many coefficients as it takes, from the name and the coefficients that
    some driver or file has: zeros at the end are added or left out, as drivers pad plumb_bob to 8 or 12. "none" where
    all are 0. What is not known comes back as it is, for `check_camera` to refuse."""
    values = tuple(float(value) for value in coefficients)
    if not any(values):
        return "none", ()
    name = DISTORTION_NAMES.get(name.lower().replace("-", "_").replace(" ", "_"), name)
    needed = len(values) - next(k for k, value in enumerate(reversed(values)) if value)
    lengths = [length for length in DISTORTION_LENGTHS.get(name, ()) if length >= needed]
    radial_only = name == "plumb_bob" and len(values) == 3  # k1 k2 k3, or k1 k2 p1: for `check_camera` to refuse
    if not lengths or len(values) in lengths or radial_only:
        return name, values
    return name, (values[:needed] + (0.0,) * min(lengths))[: min(lengths)]


def check_camera(camera: Camera, what: str = "camera") -> None:
    """Raises BAD_CAMERA_INFO where intrinsics, size or distortion cannot be those of a camera."""

    def bad(message: str) -> ReconstructionError:
        return ReconstructionError(ErrorCode.BAD_CAMERA_INFO, f"{what}: {message}")

    K = np.asarray(camera.K)
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise bad(f"K must be 3x3 and finite, got {K.tolist()}")
    if not (K[0, 0] > 0.0 and K[1, 1] > 0.0):
        raise bad(f"focal lengths {K[0, 0]:g}, {K[1, 1]:g} px must be positive; an all-zero K means uncalibrated")
    if not np.allclose([K[0, 1], K[1, 0], *K[2]], [0.0, 0.0, 0.0, 0.0, 1.0]):
        raise bad("K must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; skew is not supported")
    if camera.width <= 0 or camera.height <= 0:
        raise bad(f"image size {camera.width} x {camera.height} must be positive")
    allowed = DISTORTION_LENGTHS.get(camera.distortion_model)
    if allowed is None:
        raise bad(f"distortion model '{camera.distortion_model}' is not one of {', '.join(DISTORTION_LENGTHS)}")
    if len(camera.distortion) not in allowed:
        raise bad(
            f"{camera.distortion_model} takes {' or '.join(map(str, allowed))} coefficients, "
            f"got {len(camera.distortion)}: {camera.distortion}"
            + ("; is it rational_polynomial?" if camera.distortion_model == "plumb_bob" else "")
        )
    if not np.isfinite(camera.distortion).all():
        raise bad(f"distortion {camera.distortion} is not finite")


def with_focal_length(camera: Camera, factor: float) -> Camera:
    """``camera``, undistorted, with ``factor`` times its focal lengths."""
    K = camera.K.copy()
    K[[0, 1], [0, 1]] *= factor
    return replace(camera, K=K)


def undistort(view: View) -> View:
    """The view as an ideal pinhole camera of the same size sees it (``distortion_model`` "none").

    The new ``K`` is chosen so that every pixel of the result was seen by the lens: no black borders that would read
    as background. Colours are interpolated, masks and depth taken from the nearest pixel. A view without distortion
    is returned as it is. Raises BAD_CAMERA_INFO as `check_camera`.
    """
    camera = view.camera
    check_camera(camera, view.name or "camera")
    if not any(camera.distortion):
        if camera.distortion_model == "none":
            return view
        return replace(view, camera=replace(camera, distortion_model="none", distortion=()))

    size = (camera.width, camera.height)
    K_cv = camera.K - HALF_PIXEL
    coefficients = np.array(camera.distortion)
    if camera.distortion_model == "equidistant":
        new_K = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(K_cv, coefficients, size, np.eye(3), balance=0.0)
        map_x, map_y = cv2.fisheye.initUndistortRectifyMap(K_cv, coefficients, np.eye(3), new_K, size, cv2.CV_32FC1)
    else:
        new_K, _ = cv2.getOptimalNewCameraMatrix(K_cv, coefficients, size, alpha=0.0)
        map_x, map_y = cv2.initUndistortRectifyMap(K_cv, coefficients, np.eye(3), new_K, size, cv2.CV_32FC1)

    def warp(raster: Any, interpolation: int) -> Any:
        return cv2.remap(raster, map_x, map_y, interpolation, borderMode=cv2.BORDER_REPLICATE)

    return replace(
        view,
        image=warp(view.image, cv2.INTER_LINEAR),
        camera=Camera(K=np.asarray(new_K, dtype=np.float64) + HALF_PIXEL, width=size[0], height=size[1]),
        mask=None if view.mask is None else warp(view.mask.astype(np.uint8), cv2.INTER_NEAREST).astype(bool),
        hidden=None if view.hidden is None else warp(view.hidden.astype(np.uint8), cv2.INTER_NEAREST).astype(bool),
        depth=None if view.depth is None else warp(view.depth, cv2.INTER_NEAREST),
    )


def undistort_pixels(camera_from: Camera, camera_to: Camera, pixels: F64) -> F64:
    """Pixels (N, 2) of a distorted camera as pixels of the undistorted one that `undistort` returns for it."""
    if camera_from.distortion_model == "none":
        return np.asarray(pixels, dtype=np.float64)
    points: Any = np.asarray(pixels, dtype=np.float64).reshape(-1, 1, 2) - 0.5
    K_cv, coefficients = camera_from.K - HALF_PIXEL, np.array(camera_from.distortion)
    to_rays = cv2.fisheye.undistortPoints if camera_from.distortion_model == "equidistant" else cv2.undistortPoints
    on_plane = to_rays(points, K_cv, coefficients).reshape(-1, 2)
    return on_plane * [camera_to.K[0, 0], camera_to.K[1, 1]] + camera_to.K[:2, 2]


def crop(camera: Camera, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Camera:
    """The camera whose (``width``, ``height``) image shows exactly the window (x0, y0)-(x1, y1), in pixel edges.

    The window may reach beyond the image. Raises BAD_CAMERA_INFO on a window without area or a distorted camera.
    """
    if any(camera.distortion):
        raise ReconstructionError(ErrorCode.BAD_CAMERA_INFO, "undistort a camera before cropping it")
    if not (x1 > x0 and y1 > y0 and width > 0 and height > 0):
        raise ReconstructionError(
            ErrorCode.BAD_CAMERA_INFO, f"crop ({x0:g}, {y0:g})-({x1:g}, {y1:g}) to {width} x {height} has no area"
        )
    scale_x, scale_y = width / (x1 - x0), height / (y1 - y0)
    fx, fy, cx, cy = camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]
    K = np.array([[fx * scale_x, 0.0, (cx - x0) * scale_x], [0.0, fy * scale_y, (cy - y0) * scale_y], [0.0, 0.0, 1.0]])
    return Camera(K=K, width=width, height=height)


def square_around(camera: Camera, mask: Bool, share: float, side: int) -> Camera:
    """The camera whose picture, ``side`` pixels wide and high, shows the square around the bounding box of ``mask``
    (H, W), not empty, that is ``share`` times as wide as its longer side. Raises as `crop`."""
    rows, columns = np.nonzero(mask)
    x, y = (columns.min() + columns.max() + 1) / 2.0, (rows.min() + rows.max() + 1) / 2.0
    half = 0.5 * share * max(float(np.ptp(columns)), float(np.ptp(rows)), 1.0)
    return crop(camera, x - half, y - half, x + half, y + half, side, side)


def resample(raster: Raster, camera_from: Camera, camera_to: Camera) -> Raster:
    """What ``camera_to`` sees, given what ``camera_from`` saw from the same place; both without distortion.

    An image (H, W, 3) uint8 and a mask (H, W) bool are low-pass filtered before they shrink; depth (H, W) float32
    takes the nearest pixel, since depths must not be averaged across an edge. Zero beyond the source.
    """
    if any(camera_from.distortion) or any(camera_to.distortion):
        raise ReconstructionError(ErrorCode.BAD_CAMERA_INFO, "undistort a camera before resampling it")
    affine = ((camera_from.K - HALF_PIXEL) @ np.linalg.inv(camera_to.K - HALF_PIXEL))[:2]  # from new pixels to old ones
    size = (camera_to.width, camera_to.height)
    source: Any = raster
    if raster.dtype == np.float32:
        return cv2.warpAffine(source, affine, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    if raster.dtype == np.bool_:
        source = raster.astype(np.uint8) * np.uint8(255)
    # a box of `shrink` pixels has about this standard deviation; without it a shrunk image aliases
    sigma_x, sigma_y = (0.5 * float(np.sqrt(max(shrink**2 - 1.0, 0.0))) for shrink in (affine[0, 0], affine[1, 1]))
    if max(sigma_x, sigma_y) > 0.1:
        source = cv2.GaussianBlur(source, (0, 0), sigmaX=max(sigma_x, 1e-3), sigmaY=max(sigma_y, 1e-3))
    warped: Any = cv2.warpAffine(source, affine, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return warped > 127 if raster.dtype == np.bool_ else warped


def projection(camera: Camera, T_world_camera: F64) -> F64:
    """(3, 4): of a homogeneous world point the homogeneous pixel, its third component the z-depth; ``camera``
    undistorted."""
    return camera.K @ inverse(T_world_camera)[:3]


def project(camera: Camera, T_world_camera: F64, points: F64) -> tuple[F64, F64]:
    """World points (N, 3) to pixels (N, 2), x then y, and z-depth (N,) in metres; pixels are NaN where z <= 0.

    Raises BAD_CAMERA_INFO for a camera that is still distorted.
    """
    if any(camera.distortion):
        raise ReconstructionError(ErrorCode.BAD_CAMERA_INFO, "undistort a camera before projecting into it")
    in_camera = transform(inverse(T_world_camera), np.asarray(points, dtype=np.float64))
    z = in_camera[:, 2]
    safe = np.where(z > 0.0, z, np.nan)
    pixels = np.empty((len(z), 2))
    for axis in range(2):  # numpy is slow over a last axis of two
        pixels[:, axis] = in_camera[:, axis] / safe * camera.K[axis, axis] + camera.K[axis, 2]
    return pixels, z
