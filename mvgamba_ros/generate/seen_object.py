"""What a registration compares a generated shape with: the object's masks, cut out, with depth, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.geometry.camera import resample, square_around
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.geometry.rays import axes_intersection, pixel_rays
from mvgamba_ros.types import F64, U8, Bool, Camera, View


@dataclass(frozen=True)
class Picture:
    """One view's object in a square of a few pixels; ``inside``: pixels that lie in the picture it was cut out of,
    and that nothing may cover."""

    camera: Camera
    T_world_camera: F64
    image: U8
    mask: Bool
    inside: Bool
    depth: F64
    """(H, W) metres, 0 where unknown and off the mask."""

    @classmethod
    def of(cls, view: View, side: int, config: AlignmentConfig) -> Picture:
        """``view``: undistorted, with a mask that is not empty."""
        assert view.mask is not None
        camera = square_around(view.camera, view.mask, config.window, side)
        mask = resample(visible(view), view.camera, camera)
        known = np.ones_like(view.mask) if view.hidden is None else ~view.hidden
        inside = resample(known, view.camera, camera)
        depth = np.zeros(mask.shape)
        if view.depth is not None:
            taken = np.asarray(resample(view.depth, view.camera, camera), np.float64)
            depth = np.where(mask & np.isfinite(taken) & (taken > 0.0), taken, 0.0)
        return cls(camera, view.T_world_camera, resample(view.image, view.camera, camera), mask, inside, depth)

    @property
    def eye(self) -> F64:
        """(3,) the camera's centre."""
        centre: F64 = self.T_world_camera[:3, 3]
        return centre

    @cached_property
    def outside_by(self) -> F64:
        """(H, W) pixels that each pixel's centre lies outside the mask's outline, negative inside."""
        there = np.asarray(ndimage.distance_transform_edt(self.mask))
        off = np.asarray(ndimage.distance_transform_edt(~self.mask))
        return np.where(self.mask, 0.5 - there, off - 0.5)

    @cached_property
    def outward(self) -> F64:
        """(H, W, 2) unit directions in x and y away from the mask."""
        smooth = ndimage.gaussian_filter(self.outside_by, 1.0)
        slope = np.stack([ndimage.sobel(smooth, axis=1), ndimage.sobel(smooth, axis=0)], axis=-1)
        return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-9))

    @cached_property
    def bearing(self) -> F64:
        """(3,) unit world direction to the middle of the mask's bounding box."""
        x, y = box_centre(self.mask)
        K = self.camera.K
        ray = self.T_world_camera[:3, :3] @ np.array([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], 1.0])
        return np.asarray(ray / np.linalg.norm(ray))

    @cached_property
    def points(self) -> F64:
        """(H, W, 3) world points of the depth; the camera's centre where there is none."""
        return np.asarray(self.eye + (pixel_rays(self.camera) * self.depth[..., None]) @ self.T_world_camera[:3, :3].T)


@dataclass(frozen=True)
class SeenObject:
    """Masks of all views at one resolution; the first is the one that the generator saw."""

    pictures: tuple[Picture, ...]
    support_height: float | None

    @classmethod
    def of(
        cls, views: Sequence[View], first: int, support_height: float | None, side: int, config: AlignmentConfig
    ) -> SeenObject:
        """Views (undistorted, with masks), of which number ``first`` was shown to the generator; ``support_height``:
        world z of what the object stands on, metres, or None."""
        ordered = [views[first], *(view for v, view in enumerate(views) if v != first)]
        return cls(tuple(Picture.of(view, side, config) for view in ordered), support_height)

    def cues(self, config: AlignmentConfig) -> tuple[str, ...]:
        """What measures scale, in words; empty where nothing does."""
        found = []
        if self.with_depth(config):
            found.append("depth")
        if self.crossing(config) is not None:
            found.append("the camera poses of several views")
        if self.stands_below():
            found.append("the support plane")
        return tuple(found)

    def with_depth(self, config: AlignmentConfig) -> list[Picture]:
        """The pictures with enough depth."""
        return [x for x in self.pictures if np.count_nonzero(x.depth) > config.min_depth_share * x.mask.sum()]

    def stands_below(self) -> bool:
        """The support plane is known, below the first camera, and the object is seen at it or above it."""
        first = self.pictures[0]
        return self.support_height is not None and first.eye[2] > self.support_height

    def crossing(self, config: AlignmentConfig) -> F64 | None:
        """Where the lines to the masks' middles cross, (3,), as far as the cameras stand apart; else None."""
        if len(self.pictures) < 2:
            return None
        eyes, bearings = [x.eye for x in self.pictures], [x.bearing for x in self.pictures]
        point = axes_intersection(eyes, bearings, min_spread=0.25 * config.min_baseline**2)
        if point is None or any((point - eye) @ bearing <= 0.0 for eye, bearing in zip(eyes, bearings, strict=True)):
            return None
        return point


def box_centre(mask: Bool) -> tuple[float, float]:
    """x and y in pixels of the middle of a mask's bounding box."""
    rows, columns = np.nonzero(mask)
    return (columns.min() + columns.max() + 1) / 2.0, (rows.min() + rows.max() + 1) / 2.0
