"""The similarity between metres and the network's frame: a cube [-1, 1]^3 around the object, axes parallel to world.

``x_unit = (x - center) / half``. A camera keeps its rotation and its intrinsics; its position, its depth image and
every length shrink by ``half``. Scale comes from the poses, so the way back is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar, overload

import numpy as np
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F64, Gaussians, Mesh, View

Shape = TypeVar("Shape", View, Gaussians, Mesh)


@dataclass(frozen=True)
class UnitCube:
    """``center`` (3,) world metres, ``half`` the cube's half side in metres."""

    center: F64
    half: float

    @overload
    def to_unit(self, value: Shape) -> Shape: ...
    @overload
    def to_unit(self, value: F64) -> F64: ...
    def to_unit(self, value):
        """Points (..., 3), a `View`, `Gaussians` or a `Mesh` from world metres into the unit frame."""
        return _apply(value, 1.0 / self.half, -self.center / self.half)

    @overload
    def from_unit(self, value: Shape) -> Shape: ...
    @overload
    def from_unit(self, value: F64) -> F64: ...
    def from_unit(self, value):
        """The way back to world metres."""
        return _apply(value, self.half, self.center)


def fit(low: F64, high: F64, margin: float = 1.1) -> UnitCube:
    """The cube around the box ``low`` (3,) to ``high`` (3,), its longest side grown by ``margin``.

    Raises BAD_ROI where the box has no volume.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    size = high - low
    if not (np.isfinite(size).all() and (size > 0.0).all()):
        raise ReconstructionError(ErrorCode.BAD_ROI, f"box of size {size.tolist()} m: each side must be positive")
    return UnitCube(center=(low + high) / 2.0, half=float(size.max()) / 2.0 * margin)


def _apply(value, scale: float, offset: F64):
    """``x -> scale * x + offset`` for everything that lives in a frame."""
    if isinstance(value, View):
        T = value.T_world_camera.copy()
        T[:3, 3] = scale * T[:3, 3] + offset
        depth = None if value.depth is None else (value.depth * scale).astype(np.float32)
        return replace(value, T_world_camera=T, depth=depth)
    if isinstance(value, Gaussians):
        shift = torch.as_tensor(offset, dtype=value.means.dtype, device=value.means.device)
        return replace(value, means=scale * value.means + shift, scales=scale * value.scales)
    if isinstance(value, Mesh):
        return replace(value, vertices=scale * value.vertices + offset)
    return scale * np.asarray(value, dtype=np.float64) + offset
