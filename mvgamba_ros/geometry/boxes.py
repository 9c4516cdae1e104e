"""Bounding boxes: axis-parallel ones, and the upright oriented one around a mesh."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.types import F64, Box, Mesh


def axis_parallel_box(low: F64, high: F64) -> Box:
    """The box from corner ``low`` (3,) to ``high`` (3,), metres, its axes the world's."""
    T = np.eye(4)
    T[:3, 3] = (low + high) / 2.0
    return Box(T_world_box=T, size=high - low)


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
    T = np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    T[:3, 3] = points[0, 0] + cx / 1e3, points[0, 1] + cy / 1e3, (low + high) / 2.0
    return Box(T, np.array([width / 1e3, depth / 1e3, high - low]))
