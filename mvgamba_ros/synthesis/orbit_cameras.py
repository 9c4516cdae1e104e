"""The cameras of papers that generate or reconstruct objects from fixed rings of views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.types import F64

Ring = tuple[tuple[float, float], ...]
"""Elevation and azimuth of each camera, degrees. Azimuth 0 is at -y and grows counter-clockwise seen from above."""


@dataclass(frozen=True)
class OrbitPreset:
    """Cameras around an object of size 1 at the origin, z up; a world's size of them follows the object's."""

    inputs: Ring
    """What the paper's network is given."""
    others: Ring
    """Cameras beside, for supervision and for left-out views."""
    fov_deg: float
    """Field of view of the square picture, degrees."""
    distance: float
    """Of the cameras from the origin, in sizes of the object."""
    size: Literal["side", "sphere"]
    """What of the object is 1: its longest side, or the diameter of the sphere around it."""
    pixels: int
    """Side of a picture."""
    grey: int
    """The background, 0 to 255."""
    source: str
    """Where the numbers are from."""

    @property
    def cameras(self) -> Ring:
        return self.inputs + self.others


def _ring(elevations: tuple[float, ...], first: float, count: int) -> Ring:
    """``count`` cameras, evenly around from azimuth ``first``, the elevations in turn."""
    return tuple((elevations[k % len(elevations)], first + 360.0 / count * k) for k in range(count))


BETWEEN = _ring((0.0,), 45.0, 4) + _ring((20.0,), 20.0, 4)
"""Left-out views of level rings: between the inputs at their height, and between them above. No paper publishes its
own; these are set by hand."""
PRESETS: dict[str, OrbitPreset] = {
    "mvgamba": OrbitPreset(
        inputs=_ring((0.0,), 0.0, 4),
        others=BETWEEN,
        fov_deg=49.1,
        distance=1.5,
        size="side",
        pixels=512,
        grey=255,
        source="SkyworkAI/MVGamba: MVGamba.prepare_default_rays, Options",
    ),
    "lgm": OrbitPreset(
        inputs=_ring((0.0,), 0.0, 4),
        others=BETWEEN,
        fov_deg=49.1,
        distance=1.5,
        size="side",
        pixels=256,
        grey=255,
        source="3DTopia/LGM: LGM.prepare_default_rays, Options",
    ),
    "zero123pp": OrbitPreset(
        inputs=_ring((20.0, -10.0), 30.0, 6),
        others=_ring((0.0, 20.0), 0.0, 6),
        fov_deg=30.0,
        distance=float(0.5 / np.tan(np.radians(15.0))),
        size="sphere",
        pixels=320,
        grey=128,
        source="SUDO-AI-3D/zero123plus, v1.2: camera parameters in README.md, distance and size in issue 73",
    ),
}
"""By name. MVGamba renders 512 pixels and shrinks them to 448; LGM takes 256. Zero123++'s others are set by hand as
well."""


def orbit_preset(name: str) -> OrbitPreset:
    """The preset of a name. Raises BAD_OPTION for one that is none."""
    if name not in PRESETS:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"preset '{name}' is not one of {', '.join(PRESETS)}")
    return PRESETS[name]


def object_size(vertices: F64, preset: OrbitPreset) -> tuple[F64, float]:
    """Centre (3,) of the vertices' (N, 3) box, and the length that is 1 to the preset."""
    low, high = vertices.min(0), vertices.max(0)
    centre = (low + high) / 2
    if preset.size == "side":
        return centre, float((high - low).max())
    return centre, 2.0 * float(np.linalg.norm(vertices - centre, axis=1).max())


def orbit_poses(ring: Ring, distance: float, centre: F64) -> F64:
    """``T_world_camera`` (V, 4, 4), OpenCV axes, of cameras that point at ``centre`` (3,), upright."""
    elevation, azimuth = np.radians(np.array(ring, np.float64)).T
    level = np.cos(elevation)
    towards = np.stack([level * np.sin(azimuth), -level * np.cos(azimuth), np.sin(elevation)], 1)
    return np.stack([look_at(centre + distance * direction, centre) for direction in towards])


def orbit_intrinsics(fov_deg: float, pixels: int) -> F64:
    """K (3, 3), pixel centres at +0.5."""
    focal = pixels / 2 / float(np.tan(np.radians(fov_deg) / 2))
    return np.array([[focal, 0, pixels / 2], [0, focal, pixels / 2], [0, 0, 1]])
