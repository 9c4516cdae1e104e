"""The nouns of the package: frozen values that every module shares. numpy and torch only.

Metres, radians, seconds. ``T_a_b`` takes points in b to a. Camera frames are OpenCV optical frames (x right, y down,
z forward); pixel (0, 0) is the top-left pixel and its centre lies at (0.5, 0.5) in continuous coordinates, so
``u = fx * x / z + cx`` with ``cx = width / 2`` for a centred camera. "world" is the frame that the poses are given
in: the capture's for files, the target frame (``base_link``) in the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

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
"""Polled between pieces of work; once it returns True the work raises ``ErrorCode.CANCELLED``."""

DistortionModel = Literal["none", "plumb_bob", "rational_polynomial", "equidistant"]


@dataclass(frozen=True)
class Camera:
    """The intrinsics of one image.

    Args:
        K: (3, 3) in pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixel centres at +0.5.
        width: Of the image, pixels.
        height: Of the image, pixels.
        distortion_model: As ROS calls it; "none" is an ideal pinhole.
        distortion: Its coefficients in the order of ROS and OpenCV: k1, k2, p1, p2, k3, ... for ``plumb_bob``.

    Example:
        >>> import numpy as np
        >>> from mvgamba_ros import Camera
        >>> K = np.array([[615.0, 0.0, 320.0], [0.0, 615.0, 240.0], [0.0, 0.0, 1.0]])
        >>> camera = Camera(K, width=640, height=480)
        >>> lens = Camera(K, 640, 480, "plumb_bob", (0.1, -0.2, 0.0, 0.0, 0.0))
    """

    K: F64
    width: int
    height: int
    distortion_model: DistortionModel = "none"
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True)
class View:
    """One posed image.

    Args:
        image: (H, W, 3) uint8 RGB.
        camera: Its intrinsics.
        T_world_camera: (4, 4) rigid, metres: the pose of the OpenCV optical frame (x right, y down, z forward).
        mask: (H, W) bool, True on the object; None where there is none.
        depth: (H, W) float32 metres along the optical axis, 0 or NaN where it is not known; None without any.
        name: What messages call the view, e.g. its file; empty: its number.

    Example:
        A camera 0.5 m above the origin of the world that points straight down:

        >>> import numpy as np
        >>> from mvgamba_ros import Camera, View
        >>> K = np.array([[615.0, 0.0, 320.0], [0.0, 615.0, 240.0], [0.0, 0.0, 1.0]])
        >>> T_world_camera = np.array([[1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, -1.0, 0.5], [0, 0, 0, 1.0]])
        >>> view = View(np.zeros((480, 640, 3), np.uint8), Camera(K, 640, 480), T_world_camera)
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
    """An oriented box.

    Args:
        T_world_box: (4, 4) rigid, metres: places the box's centre and axes.
        size: (3,) full side lengths along the axes, metres.

    Example:
        20 cm wide and deep, 30 cm high, standing on z = 0 in front of a robot:

        >>> import numpy as np
        >>> from mvgamba_ros import Box
        >>> T_world_box = np.eye(4)
        >>> T_world_box[:3, 3] = [0.5, 0.0, 0.15]
        >>> roi = Box(T_world_box, np.array([0.2, 0.2, 0.3]))
    """

    T_world_box: F64
    size: F64


@dataclass(frozen=True)
class Prompts:
    """What is known of where the object is. All optional; keys of the mappings are view indices.

    Args:
        roi: A box in the world frame that encloses the object.
        pixel_boxes: (x0, y0, x1, y1) in pixels of the view, around the object.
        points: (N, 3) rows of x, y in pixels and label: 1 on the object, 0 off it.
        support_height: World z of the horizontal plane that the object stands on, metres; None if unknown, it is then
            estimated.

    Example:
        >>> import numpy as np
        >>> from mvgamba_ros import Options, Prompts
        >>> on_table = Options(prompts=Prompts(support_height=0.0))
        >>> pointed_at = Options(prompts=Prompts(points={0: np.array([[320.0, 240.0, 1.0]])}))
    """

    roi: Box | None = None
    pixel_boxes: Mapping[int, tuple[float, float, float, float]] = field(default_factory=dict)
    points: Mapping[int, F64] = field(default_factory=dict)
    support_height: float | None = None


@dataclass(frozen=True)
class Gaussians:
    """N 3D Gaussians (Kerbl et al., "3D Gaussian Splatting", 2023), torch float32.

    Attributes:
        means: (N, 3), in the unit of the frame they live in; metres in a `Reconstruction`.
        quats: (N, 4) unit quaternions wxyz: the axes' orientation.
        scales: (N, 3) standard deviations along the axes, in the unit of ``means``.
        opacities: (N,) in [0, 1].
        colors: (N, 3) RGB in [0, 1].

    Example:
        One that is round, red and opaque:

        >>> import torch
        >>> from mvgamba_ros import Gaussians
        >>> ball = Gaussians(
        ...     means=torch.zeros(1, 3),
        ...     quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        ...     scales=torch.full((1, 3), 0.01),
        ...     opacities=torch.ones(1),
        ...     colors=torch.tensor([[1.0, 0.0, 0.0]]),
        ... )
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor


@dataclass(frozen=True)
class Mesh:
    """Triangles.

    Attributes:
        vertices: (V, 3) float64; metres in a `Reconstruction`.
        faces: (F, 3) int32 indices of vertices, counter-clockwise seen from outside.
        colors: (V, 3) uint8 RGB.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> mesh = reconstruct(read_capture("capture"), Options(method="hull")).mesh
        >>> import trimesh
        >>> trimesh.Trimesh(mesh.vertices, mesh.faces).is_watertight
        True
    """

    vertices: F64
    faces: I32
    colors: U8


@dataclass(frozen=True)
class PointCloud:
    """Samples of a surface.

    Attributes:
        points: (N, 3) float64; metres in a `Reconstruction`.
        normals: (N, 3) float64 of unit length, outward.
        colors: (N, 3) uint8 RGB.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> cloud = reconstruct(read_capture("capture"), Options(method="hull", cloud_points=1000)).cloud
        >>> cloud.points.shape
        (1000, 3)
    """

    points: F64
    normals: F64
    colors: U8


@dataclass(frozen=True)
class Quality:
    """How far to trust a result; lets a planner refuse a bad shape. NaN: there was nothing to measure.

    Attributes:
        silhouette_iou: Mean over views of mask against the re-rendered mesh.
        color_error: Mean absolute RGB difference inside the mask, [0, 1].
        coverage: Share of the mesh's area that at least one view sees, [0, 1].
        low: The shape should not be trusted.
        reasons: Why it is ``low``, in words.
        expected_error_mm: Mean over the mesh of the expected distance to the true surface.
        pose_residual_px: How far the views still contradict each other after the correction of their poses, RMS.
        depth_residual_mm: Median distance between measured depth and the mesh where both see the surface.
        completeness: Share of the silhouettes' outlines that end inside the pictures and the region, [0, 1].
        objects: Separate things found standing in the region.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> quality = reconstruct(read_capture("capture")[:2], Options(method="hull")).quality
        >>> quality.low, quality.reasons[0]
        (True, '2 view(s); the far side and the depth are guesses below 3')
    """

    silhouette_iou: float
    color_error: float
    coverage: float
    low: bool
    reasons: tuple[str, ...] = ()
    expected_error_mm: float = math.nan
    pose_residual_px: float = math.nan
    depth_residual_mm: float = math.nan
    completeness: float = math.nan
    objects: int = 1


@dataclass(frozen=True)
class PoseCorrection:
    """How the camera poses that were given disagree with the pictures, and what was corrected. NaN: not measured.

    Attributes:
        hand_eye: (4, 4) rigid, metres: the true optical frame in the one that the poses give, common to all views.
        hand_eye_sigma_mm: Standard deviation of its translation.
        hand_eye_sigma_deg: Standard deviation of its rotation.
        view_mm: (V,) what each view's own pose was moved by, beyond ``hand_eye``.
        view_deg: (V,) what it was turned by.
        residual_before_px: Root mean square disagreement of the views with the poses given.
        residual_after_px: The same with the corrected ones.
        left_out: Views that all others contradict, set aside.
    """

    hand_eye: F64
    hand_eye_sigma_mm: float
    hand_eye_sigma_deg: float
    view_mm: F64
    view_deg: F64
    residual_before_px: float
    residual_after_px: float
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reconstruction:
    """The result of `mvgamba_ros.reconstruct`, in metres, in the world frame of the views.

    Attributes:
        mesh: Closed, coloured.
        cloud: Samples of the mesh's surface.
        box: The smallest upright box around the mesh: its z axis is the world's.
        quality: How well the mesh explains the views.
        masks: The silhouette used in each view, (H, W) bool each.
        seconds: Wall time of each stage.
        method: Name of the reconstructor.
        gaussians: The Gaussians of a method that makes them.
        support_height: World z of the support plane that was used, given or estimated; None where none was.
        notes: What was assumed or estimated on the way, in words.
        poses: What the check of the camera poses found; None where there was none.
        settings: What it was made with, as plain JSON values: the package's ``version``, ``options``, ``config``,
            ``provenance`` (which weights of the ``method`` and the ``segmenter`` ran, and where, as far as these tell)
            and ``masks`` ("given" or "found", of each view).

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> result = reconstruct(read_capture("capture"), Options(method="hull"))
        >>> x, y, z = result.box.T_world_box[:3, 3]
        >>> width, depth, height = result.box.size
        >>> result.method, result.quality.low
        ('hull', False)
    """

    mesh: Mesh
    cloud: PointCloud
    box: Box
    quality: Quality
    masks: tuple[Bool, ...]
    seconds: Mapping[str, float]
    method: str
    gaussians: Gaussians | None = None
    support_height: float | None = None
    notes: tuple[str, ...] = ()
    poses: PoseCorrection | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
