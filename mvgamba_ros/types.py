"""The nouns of the package: frozen values that every module shares. numpy and torch only.

Metres, radians, seconds. ``T_a_b`` takes points in b to a. Camera frames are OpenCV optical frames (x right, y down,
z forward); pixel (0, 0) is the top-left pixel and its centre lies at (0.5, 0.5) in continuous coordinates, so
``u = fx * x / z + cx`` with ``cx = width / 2`` for a centred camera. "world" is the frame that the poses are given
in: the capture's for files, the target frame (``base_link``) in the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
"""Polled between pieces of work; once it returns True the work raises ``ErrorCode.CANCELLED``."""


class Counted(str):
    """A line for a log that says how far the work is, with the same as a number: where a person looks on, a bar shows
    it; to anything else it is a line as others are.

    Attributes:
        fraction: Of the work that is done, [0, 1].
    """

    fraction: float

    def __new__(cls, line: str, fraction: float) -> Counted:
        made = super().__new__(cls, line)
        made.fraction = fraction
        return made

    def __getnewargs__(self) -> tuple[str, float]:  # type: ignore[override]
        return str(self), self.fraction


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
        hidden: (H, W) bool, True where something else may cover the object, so that the pixel says nothing of it;
            None: nothing covers it. A mask that is True there too was completed: the pixel's colour and depth are
            those of what covers it.

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
    hidden: Bool | None = None


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
        support_height: World z of the horizontal plane that the object stands on, metres; None: estimated.

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

    def of_views(self, chosen: Sequence[int]) -> Prompts:
        """The same of the ``chosen`` views alone, by their numbers among them."""
        return replace(
            self,
            pixel_boxes={new: self.pixel_boxes[old] for new, old in enumerate(chosen) if old in self.pixel_boxes},
            points={new: self.points[old] for new, old in enumerate(chosen) if old in self.points},
        )


@dataclass(frozen=True)
class Gaussians:
    """N 3D Gaussians (Kerbl et al., "3D Gaussian Splatting", 2023), torch float32; means float64 far from the world's
    origin.

    Attributes:
        means: (N, 3), in the unit of the frame they live in; metres in a `Reconstruction`.
        quats: (N, 4) unit quaternions wxyz: the axes' orientation.
        scales: (N, 3) standard deviations along the axes, in the unit of ``means``.
        opacities: (N,) in [0, 1].
        colors: (N, 3) RGB in [0, 1].

    Example:
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
        seen: (V,) uint8: how many views saw the vertex, 0: it is a guess; None: not computed.
        expected_error_mm: (V,) float32: expected distance of the vertex to the true surface; None: not computed.

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
    seen: U8 | None = None
    expected_error_mm: F32 | None = None


@dataclass(frozen=True)
class PointCloud:
    """Samples of a surface.

    Attributes:
        points: (N, 3) float64; metres in a `Reconstruction`.
        normals: (N, 3) float64 of unit length, outward.
        colors: (N, 3) uint8 RGB.
        seen: (N,) uint8: as in `Mesh`.
        expected_error_mm: (N,) float32: as in `Mesh`.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> cloud = reconstruct(read_capture("capture"), Options(method="hull", cloud_points=1000)).cloud
        >>> cloud.points.shape
        (1000, 3)
    """

    points: F64
    normals: F64
    colors: U8
    seen: U8 | None = None
    expected_error_mm: F32 | None = None


@dataclass(frozen=True)
class TextureMap:
    """The picture on a mesh's surface.

    Attributes:
        uv: (F, 3, 2) float32: where each face's corners lie in the picture, in [0, 1]: x right, y down from its
            top-left corner.
        image: (H, W, 3) uint8 RGB. Texels beside a chart repeat the nearest one of it.
        seen: (H, W) uint8: how many views saw the texel, 0: its colour spread there from around.
        seen_share: Of the texels on the surface, those that some view saw, [0, 1].
        made_by: The library that laid out the charts, and its version.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> result = reconstruct(read_capture("capture"), Options(method="hull", texture=256))
        >>> result.texture.uv.shape == (len(result.mesh.faces), 3, 2), max(result.texture.image.shape) <= 256
        (True, True)
    """

    uv: F32
    image: U8
    seen: U8
    seen_share: float
    made_by: str
