"""Bounding boxes: axis-parallel ones, and the upright oriented one around a mesh."""

from __future__ import annotations

import cv2
import numpy as np
from transforms3d.axangles import axangle2mat

from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.types import F64, Box, Mesh

ROI_SCALE = 1.4
"""Sides of a region of interest around a known object over those of the object's bounds: about what a detector
gives."""


def axis_parallel_box(low: F64, high: F64) -> Box:
    """The box from corner ``low`` (3,) to ``high`` (3,), metres, its axes the world's."""
    return scaled_box(low, high, 1.0)


def scaled_box(low: F64, high: F64, scale: float = ROI_SCALE) -> Box:
    """The axis-parallel box whose sides are ``scale`` times those from corner ``low`` (3,) to ``high`` (3,), metres,
    about the same centre."""
    return Box(T_world_box=rigid(np.eye(3), (low + high) / 2.0), size=scale * (high - low))


def box_corners(box: Box) -> F64:
    """(8, 3): the corners of ``box``, world, metres."""
    unit = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    return transform(box.T_world_box, unit * box.size)


def box_overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, [0, 1]; ``other`` counts as the smallest box around it along the axes of
    ``one``."""
    corners = transform(inverse(one.T_world_box), box_corners(other))
    low, high, half = corners.min(axis=0), corners.max(axis=0), one.size / 2.0
    both = float(np.prod(np.maximum(np.minimum(high, half) - np.maximum(low, -half), 0.0)))
    return both / (float(np.prod(one.size)) + float(np.prod(high - low)) - both)


def in_box(box: Box, point: F64) -> bool:
    """Whether a point (3,), world, metres, lies in ``box``."""
    return bool((np.abs(transform(inverse(box.T_world_box), point[None])[0]) <= box.size / 2.0).all())


def oriented_box(mesh: Mesh) -> Box:
    """The smallest oriented bounding box of the mesh that stands upright: its z axis is the world's, and it is turned
    about it by at most 45 degrees.

    Things stand on tables: an upright box is what planners grasp by, even where a tilted one would be smaller.
    """
    points = mesh.vertices
    (cx, cy), (width, depth), degrees = cv2.minAreaRect((points[:, :2] - points[0, :2]).astype(np.float32) * 1e3)
    quarter_turns = round(degrees / 90.0)
    if quarter_turns % 2:
        width, depth = depth, width
    angle = np.deg2rad(degrees - 90.0 * quarter_turns)
    low, high = points[:, 2].min(), points[:, 2].max()
    center = np.array([points[0, 0] + cx / 1e3, points[0, 1] + cy / 1e3, (low + high) / 2.0])
    return Box(rigid(axangle2mat([0, 0, 1], angle), center), np.array([width / 1e3, depth / 1e3, high - low]))


def object_frame(box: Box) -> F64:
    """``T_world_object`` (4, 4), rigid, metres: a frame for grasps, at the centre of an upright ``box``.

    z is the world's. x lies along the longer horizontal side, in the direction that is within 90 degrees of the
    world's x (+90 degrees where both are).
    """
    width, depth, _ = box.size
    x = box.T_world_box[:3, 0] if width >= depth else box.T_world_box[:3, 1]
    yaw = float(np.arctan2(x[1], x[0]))
    yaw -= np.pi * np.ceil((yaw - np.pi / 2.0 - 1e-9) / np.pi)
    return rigid(axangle2mat([0, 0, 1], yaw), box.T_world_box[:3, 3])
