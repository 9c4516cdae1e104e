"""The nouns of the package: frozen values that every module shares. numpy and torch only.

Metres, radians, seconds. ``T_a_b`` takes points in b to a. Camera frames are OpenCV optical frames (x right, y down,
z forward); pixel (0, 0) is the top-left pixel and its centre lies at (0.5, 0.5) in continuous coordinates, so
``u = fx * x / z + cx`` with ``cx = width / 2`` for a centred camera. "world" is the frame that the poses are given
in: the capture's for files, the target frame (``base_link``) in the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor  # two seconds to import: `mvgamba --help` does not wait for it

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

Progress = Callable[[str, float], None]
"""Called as ``progress(stage, fraction)``, the fraction of the whole job in [0, 1]."""
Cancelled = Callable[[], bool]
"""Polled between pieces of work; once it answers True the work raises ``ErrorCode.CANCELLED``."""

DistortionModel = Literal["none", "plumb_bob", "rational_polynomial", "equidistant"]


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one image: ``K`` (3, 3) in pixels, image size, distortion in ROS / OpenCV order."""

    K: F64
    width: int
    height: int
    distortion_model: DistortionModel = "none"
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True)
class View:
    """One posed image. ``image`` (H, W, 3) uint8 RGB; ``T_world_camera`` (4, 4) rigid, OpenCV optical.

    ``mask`` (H, W) bool, True on the object. ``depth`` (H, W) float32 metres along the optical axis; 0 or NaN where
    it is not known.
    """

    image: U8
    camera: Camera
    T_world_camera: F64
    mask: Bool | None = None
    depth: F32 | None = None
    name: str = ""


def view_name(view: View, index: int) -> str:
    """How messages call a view: by its own name, or by its number in the request."""
    return view.name or f"view {index}"


@dataclass(frozen=True)
class Box:
    """An oriented box: ``T_world_box`` (4, 4) places its centre and axes; ``size`` (3,) full side lengths, metres."""

    T_world_box: F64
    size: F64


@dataclass(frozen=True)
class Prompts:
    """What is known of where the object is. All optional; keys of the dicts are view indices.

    ``roi``: a box in the world frame that encloses the object. ``pixel_boxes``: (x0, y0, x1, y1) in pixels.
    ``points``: (N, 3) rows of x, y, label (1 on the object, 0 off it). ``support_height``: world z of the horizontal
    plane that the object stands on, metres; None if unknown.
    """

    roi: Box | None = None
    pixel_boxes: Mapping[int, tuple[float, float, float, float]] = field(default_factory=dict)
    points: Mapping[int, F64] = field(default_factory=dict)
    support_height: float | None = None


@dataclass(frozen=True)
class Gaussians:
    """N 3D Gaussians, torch float32: ``means`` (N, 3), ``quats`` (N, 4) wxyz, ``scales`` (N, 3) standard deviations,
    ``opacities`` (N,) in [0, 1], ``colors`` (N, 3) RGB in [0, 1]. Lengths in the unit of the frame they live in."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor


@dataclass(frozen=True)
class Mesh:
    """Triangles: ``vertices`` (V, 3) float64, ``faces`` (F, 3) int32 counter-clockwise seen from outside,
    ``colors`` (V, 3) uint8 RGB."""

    vertices: F64
    faces: I32
    colors: U8


@dataclass(frozen=True)
class PointCloud:
    """Surface samples: ``points`` (N, 3) float64, ``normals`` (N, 3) float64 unit outward, ``colors`` (N, 3) uint8."""

    points: F64
    normals: F64
    colors: U8


@dataclass(frozen=True)
class Quality:
    """How well the result explains its own views; lets a planner refuse a bad shape.

    ``silhouette_iou``: mean over views of mask against the re-rendered mesh. ``color_error``: mean absolute RGB
    difference inside the mask, [0, 1]. ``coverage``: share of the mesh's area that at least one view sees, [0, 1].
    ``low``: the shape should not be trusted; ``reasons`` says why, in words.
    """

    silhouette_iou: float
    color_error: float
    coverage: float
    low: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconstruction:
    """What `pipeline.reconstruct` answers, in metres, in the world frame of the views."""

    mesh: Mesh
    cloud: PointCloud
    box: Box
    quality: Quality
    masks: tuple[Bool, ...]
    """The silhouette used in each view, (H, W) each."""
    seconds: Mapping[str, float]
    """Wall time per stage."""
    method: str
    gaussians: Gaussians | None = None
    support_height: float | None = None
    """World z of the support plane that was used, given or estimated; None where none was."""
    notes: tuple[str, ...] = ()
    """What was assumed or estimated on the way, in words."""
