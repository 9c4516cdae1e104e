"""One picture of an object with the grippers that hold it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mvgamba_ros.config.grasp_config import Gripper
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.grasps.grasp import Grasp
from mvgamba_ros.preview import shaded
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F64, I32, U8, Mesh

BEST, OTHERS = (35, 160, 75), (70, 120, 210)
SHOWN = 5
"""Grasps in the picture on the right."""
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
SIDES = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)  # counter-clockwise seen from outside
PALM_SHOWN = 0.02
"""Metres of the palm's height that are drawn, so that it hides less."""


def grasp_picture(mesh: Mesh, gripper: Gripper, grasps: Sequence[Grasp]) -> U8:
    """(480, 1280, 3) RGB: left the best grasp, closed, along the fingers' width; right the best five from above."""
    best = grasps[0].T_world_grasp
    side = best[:3, 0] if best[2, 0] >= 0.0 else -best[:3, 0]
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    above = np.array([0.5, -0.6, 0.6])
    tiles = [
        _tile(mesh, gripper, grasps[:1], side + np.array([0.0, 0.0, 0.25])),
        _tile(mesh, gripper, grasps[:SHOWN], above),
    ]
    size = " x ".join(f"{1e3 * length:.0f}" for length in high - low)
    words = (
        f"best: score {grasps[0].score:.2f}, width {1e3 * grasps[0].width:.0f} mm",
        f"best {len(grasps[:SHOWN])} of {len(grasps)}, {size} mm",
    )
    return np.concatenate([_written(tile, text) for tile, text in zip(tiles, words, strict=True)], axis=1)


def _tile(mesh: Mesh, gripper: Gripper, grasps: Sequence[Grasp], side: F64) -> U8:
    parts = [(mesh.vertices, mesh.faces, mesh.colors)]
    for rank, grasp in enumerate(grasps):
        vertices, faces = gripper_mesh(gripper, grasp)
        parts.append((vertices, faces, np.full((len(vertices), 3), OTHERS if rank else BEST, np.uint8)))
    vertices = np.concatenate([part[0] for part in parts])
    starts = np.cumsum([0, *(len(part[0]) for part in parts[:-1])])
    whole = Mesh(
        vertices - vertices.mean(axis=0),
        np.concatenate([part[1] + start for part, start in zip(parts, starts, strict=True)]).astype(np.int32),
        np.concatenate([part[2] for part in parts]),
    )
    center = (whole.vertices.min(axis=0) + whole.vertices.max(axis=0)) / 2.0
    reach = 1.5 * float(np.linalg.norm(np.ptp(whole.vertices, axis=0)))
    return shaded(Raycaster(whole), look_at(center + reach * side / np.linalg.norm(side), center))


def gripper_mesh(gripper: Gripper, grasp: Grasp) -> tuple[F64, I32]:
    """Vertices (24, 3), world, metres, and faces (36, 3) of two fingers, ``grasp.width`` apart, and the palm's
    front."""
    tip = gripper.pad_length / 2.0
    front = tip - gripper.finger_length
    y = (grasp.width + gripper.finger_thickness) / 2.0
    finger = np.array([gripper.finger_width, gripper.finger_thickness, gripper.finger_length])
    palm = np.array([gripper.palm_depth, gripper.palm_width, min(PALM_SHOWN, gripper.palm_height)])
    boxes = [(np.array([0.0, sign * y, (tip + front) / 2.0]), finger) for sign in (1.0, -1.0)]
    boxes.append((np.array([0.0, 0.0, front - palm[2] / 2.0]), palm))
    local = np.concatenate([middle + size * CORNERS for middle, size in boxes])
    triangles = np.concatenate([SIDES[:, [0, 1, 2]], SIDES[:, [0, 2, 3]]])
    faces = np.concatenate([triangles + len(CORNERS) * k for k in range(len(boxes))]).astype(np.int32)
    T = grasp.T_world_grasp
    return local @ T[:3, :3].T + T[:3, 3], faces


def _written(picture: U8, text: str) -> U8:
    written: Any = cv2.putText(
        np.ascontiguousarray(picture), text, (12, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA
    )
    return written
