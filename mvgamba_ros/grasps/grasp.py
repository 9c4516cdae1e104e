"""One grasp of a parallel gripper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mvgamba_ros import __version__
from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.geometry.se3 import matrix_to_quat
from mvgamba_ros.types import F64


@dataclass(frozen=True)
class Grasp:
    """Where to put a `Gripper`, how far to close it, and what of an error that withstands.

    Attributes:
        T_world_grasp: (4, 4) rigid, metres: the grasp frame, whose origin is midway between the pads' centres, z the
            approach, y the axis that the fingers close along. Turned by 180 degrees about z it is the same grasp.
        width: Distance between the pads when they touch, metres.
        score: ``robustness * firmness``, in [0, 1].
        robustness: Share of the trials, of a surface displaced within its expected error and a gripper displaced within
            its pose noise, in which both pads touch within the friction cone and nothing collides.
        firmness: 1 where all of both pads touches and the centre of mass lies between them; less where they touch along
            a line or in a point, and the longer the lever is that the mass turns the object by. In [0, 1].
        seen: Share that some view saw of the contact that was seen less: 0 where one is a guess. No part of the score.
        contacts: (2, 3) centre of what each pad touches, world, metres: first the one at positive y.

    Example:
        >>> from mvgamba_ros import Options, plan_grasps, read_capture, reconstruct
        >>> result = reconstruct(read_capture("capture"), Options(method="hull"))
        >>> best = plan_grasps(result)[0]
        >>> approach, closing = best.T_world_grasp[:3, 2], best.T_world_grasp[:3, 1]
        >>> 0.0 < best.width < 0.08 and 0.0 < best.score <= 1.0
        True
    """

    T_world_grasp: F64
    width: float
    score: float
    robustness: float
    firmness: float
    seen: float
    contacts: F64


def as_json(grasp: Grasp) -> dict[str, Any]:
    """``grasp`` as plain JSON values: metres, quaternion wxyz."""
    return {
        "position_m": grasp.T_world_grasp[:3, 3].tolist(),
        "orientation_wxyz": matrix_to_quat(grasp.T_world_grasp[:3, :3]).tolist(),
        "T_world_grasp": grasp.T_world_grasp.tolist(),
        "width_m": grasp.width,
        "score": grasp.score,
        "robustness": grasp.robustness,
        "firmness": grasp.firmness,
        "seen": grasp.seen,
        "contacts_m": grasp.contacts.tolist(),
    }


def doubt(grasps: Sequence[Grasp]) -> str:
    """Of a plan, the best first: what to say where not even that held in a trial; empty otherwise."""
    if grasps[0].robustness > 0.0:
        return ""
    return (
        "no trial of the mesh's expected error and the gripper's pose noise holds any of them: capture more views, or "
        "look from nearer, before one is used"
    )


def grasps_report(
    grasps: Sequence[Grasp], gripper: Gripper, config: GraspConfig, support_height: float | None, seed: int
) -> dict[str, Any]:
    """What grasps.json holds: the grasps, the best first, and all that they follow from besides the mesh."""
    return {
        "version": __version__,
        "frame": "origin midway between the pads' centres, z approach, y closing; metres, in the frame of the mesh",
        "grasps": [as_json(grasp) for grasp in grasps],
        "gripper": asdict(gripper),
        "support_height_m": support_height,
        "seed": seed,
        "config": asdict(config),
    }
