"""What happens where a gripper is put to a pose and closed: what it hits on its way, and what its pads touch.

Rays along the ways of all its parts answer it. Those of a finger start at its outer face and run along the way that it
closes: what they meet within the finger's thickness is in the way of the open finger, and what they meet first beyond
is touched first. Those of the palm run along the approach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.grasps.surface_scene import Scene, unit
from mvgamba_ros.types import F64, I64, Bool

FINGER_SPACING, PALM_SPACING = 0.005, 0.012
"""Metres between rays. What is thinner than that, seen along them, may pass between."""
MOST_RAYS = 24
"""Along one side of a part, however large it is."""


@dataclass(frozen=True)
class Closing:
    """N closings.

    Attributes:
        holds: (N,) the open gripper gets there without touching anything, and both pads then touch within the friction
            cone.
        margin: (N,) how far within the cone, [0, 1]: 1 where contacts and normals lie along the closing axis.
        reach: (N,) radius of gyration of what touches over that of a whole pad, of the finger where it is less, [0, 1]:
            how well friction holds against turning about the closing axis. 0 for a point, 0.7 for a line as long as the
            pad.
        width: (N,) distance between the pads, metres.
        contacts: (N, 2, 3) centre of what each pad touches, in the frame of the poses.
        touches: (N, 2, R) which rays of each finger touch.
        face: (N, 2, R) the face that each of them meets.
    """

    holds: Bool
    margin: F64
    reach: F64
    width: F64
    contacts: F64
    touches: Bool
    face: I64


class Hand:
    """A gripper as rays, in its grasp frame (see `Gripper`)."""

    def __init__(self, gripper: Gripper, config: GraspConfig) -> None:
        self.gripper, self.config = gripper, config
        tip = gripper.pad_length / 2.0
        front = tip - gripper.finger_length
        x, z = _grid(_steps(-gripper.finger_width / 2.0, gripper.finger_width / 2.0), _steps(front, tip))
        y = np.full(len(x), gripper.max_opening / 2.0 + gripper.finger_thickness)
        self._finger = np.stack([np.stack([x, y, z], axis=1), np.stack([x, -y, z], axis=1)])  # (2, R, 3)
        self._pad = np.abs(z) <= gripper.pad_length / 2.0 + 1e-9
        half_y, half_x = gripper.palm_width / 2.0, gripper.palm_depth / 2.0
        x, y = _grid(_steps(-half_x, half_x, PALM_SPACING), _steps(-half_y, half_y, PALM_SPACING))
        self._palm_way = gripper.palm_height + config.approach
        self._palm = np.stack([x, y, np.full(len(x), front - self._palm_way)], axis=1)
        outer = gripper.max_opening / 2.0 + gripper.finger_thickness
        self._ends = np.array(
            [[x, y, tip] for x in (-gripper.finger_width / 2, gripper.finger_width / 2) for y in (-outer, outer)]
            + [[x, y, z] for x in (-half_x, half_x) for y in (-half_y, half_y) for z in (front, front - self._palm_way)]
        )

    def lowest(self, R: F64, t: F64, up: F64) -> F64:
        """(N,) height along ``up`` (3,) of the lowest corner of the open gripper and of its approach, at poses ``R``
        (N, 3, 3) and ``t`` (N, 3)."""
        return t @ up + (np.einsum("nij,i->nj", R, up) @ self._ends.T).min(axis=1)

    def close(self, scene: Scene, R: F64, t: F64) -> Closing:
        """Closes the gripper on ``scene`` at poses ``R`` (N, 3, 3) and ``t`` (N, 3)."""
        gripper = self.gripper
        thick, opening = gripper.finger_thickness, gripper.max_opening
        into = np.stack([-R[:, :, 1], R[:, :, 1]], axis=1)  # (N, 2, 3) the way that each finger closes
        starts = np.einsum("nij,srj->nsri", R, self._finger) + t[:, None, None]
        ways = np.broadcast_to(into[:, :, None], starts.shape)
        hits = scene.first(starts, ways)
        enters = hits.enter(ways)
        blocked = (~enters | (hits.distance < thick)).any(axis=(1, 2))
        travel = hits.distance - thick
        nearest = travel.min(axis=2)
        of_pad = travel[:, :, self._pad].min(axis=2)
        width = opening - nearest.sum(axis=1)
        met = np.isfinite(of_pad).all(axis=1) & (of_pad <= nearest + self.config.compliance).all(axis=1) & (width > 0.0)
        touches = np.isfinite(travel) & (travel <= nearest[..., None] + self.config.compliance)
        count = np.maximum(touches.sum(axis=2), 1)[..., None]
        ends = starts + np.where(touches, hits.distance, 0.0)[..., None] * ways
        contacts = (touches[..., None] * ends).sum(axis=2) / count
        normals = unit((touches[..., None] * hits.outward).sum(axis=2))
        line = unit(contacts[:, 0] - contacts[:, 1])
        cosines = np.concatenate(
            [-np.einsum("nsk,nsk->ns", normals, into), np.einsum("nk,nk->n", line, R[:, :, 1])[:, None]], axis=1
        )
        angle = np.arccos(np.clip(cosines.min(axis=1), -1.0, 1.0))
        margin = np.clip(1.0 - angle / np.arctan(gripper.friction), 0.0, 1.0)
        clear = np.array(~blocked, dtype=bool)
        clear[clear] = self._palm_is_clear(scene, R[clear], t[clear])
        holds = np.asarray(clear & met & (margin > 0.0))
        spread = ((ends - contacts[:, :, None]) ** 2).sum(axis=-1) * touches
        radius = np.sqrt(spread.sum(axis=2) / count[..., 0]).min(axis=1)
        reach = np.minimum(radius / np.hypot(gripper.finger_width, gripper.pad_length) * np.sqrt(12.0), 1.0)
        return Closing(holds, np.where(holds, margin, 0.0), reach, width, contacts, touches, hits.face)

    def _palm_is_clear(self, scene: Scene, R: F64, t: F64) -> Bool:
        """(N,) whether the palm comes to the poses without touching anything."""
        palm = np.einsum("nij,rj->nri", R, self._palm) + t[:, None]
        along = np.broadcast_to(R[:, None, :, 2], palm.shape)
        before = scene.first(palm, along)
        room = self._palm_way + self.config.clearance
        return np.asarray((before.enter(along) & (before.distance >= room)).all(axis=1))


def _steps(low: float, high: float, spacing: float = FINGER_SPACING) -> F64:
    """Both ends and what is at most ``spacing`` apart between them."""
    return np.linspace(low, high, int(np.clip(np.ceil((high - low) / spacing) + 1, 2, MOST_RAYS)))


def _grid(first: F64, second: F64) -> tuple[F64, F64]:
    """Each of ``first`` with each of ``second``, (N * M,) both."""
    return np.repeat(first, len(second)), np.tile(second, len(first))
