"""Grasps of a closed mesh for a parallel gripper, the best first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.grasps.closing import Closing, Hand
from mvgamba_ros.grasps.contact_pairs import contact_pairs, least_width
from mvgamba_ros.grasps.grasp import Grasp
from mvgamba_ros.grasps.perturbation import displaced, pose_noise
from mvgamba_ros.grasps.surface_scene import Scene, Solid, make_solid, unit
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import F64, I64, Mesh

UP = np.array([0.0, 0.0, 1.0])
SAME_TURN = 20.0
"""Degrees; see `GraspConfig.separation`."""
NO_VOLUME = "mesh without a volume, flat or open: close it"
FLAT = 1e-9
"""Volume over the cube of the diagonal up to which a mesh is flat: what rounding leaves."""
LARGEST = 1.0
"""Metres of the least width beyond which the message takes a mesh for one in millimetres. Set by hand: twice what the
widest gripper opens."""


def plan_grasps(
    shape: Reconstruction | Mesh,
    gripper: Gripper | None = None,
    support_height: float | None = None,
    count: int = 20,
    seed: int = 0,
    config: GraspConfig | None = None,
) -> list[Grasp]:
    """Where to hold an object with a parallel gripper, so that it holds though the mesh may be off.

    Contact pairs are drawn on the surface (after Smith et al., "Computing parallel-jaw grips", 1999), the gripper comes
    to each from around, and whether it holds is tried on many shapes and gripper poses as they may really be (after
    Weisz and Allen, "Pose error robust grasping", 2012).

    Args:
        shape: A reconstruction, or a mesh in metres, its faces counter-clockwise seen from outside; one without `seen`
            and `expected_error_mm` counts as seen and exact.
        gripper: None: the Panda's.
        support_height: World z of the plane that it stands on, metres, which the gripper keeps off; None: that of the
            reconstruction, or no plane.
        count: How many at most.
        seed: Of all random numbers: the same one gives the same grasps.
        config: None: the defaults.

    Returns:
        At least one, the best first; where no trial holds any, all with a robustness of 0.

    Raises:
        ReconstructionError: BAD_OPTION for a setting out of range, for a mesh that is flat, not finite, or turned
            inside out, for a support plane that is not below its top, and where there is no grasp: the message has the
            gripper's opening and the object's least width, or what was in the way, and the remedy.

    Example:
        >>> from mvgamba_ros import Gripper, Options, plan_grasps, read_capture, reconstruct
        >>> result = reconstruct(read_capture("capture"), Options(method="hull"))
        >>> grasps = plan_grasps(result, Gripper(max_opening=0.085), count=3)
        >>> scores = [grasp.score for grasp in grasps]
        >>> len(grasps) <= 3 and scores == sorted(scores, reverse=True)
        True
    """
    gripper, config = gripper or Gripper(), config or GraspConfig()
    check_bounds(gripper, "gripper.")
    if gripper.pad_length > gripper.finger_length:
        raise _refused(
            f"gripper.pad_length {gripper.pad_length:g} m is more than gripper.finger_length "
            f"{gripper.finger_length:g} m: the pad is a part of the finger, at its tip"
        )
    check_bounds(config, "grasps.")
    if isinstance(shape, Reconstruction):
        support_height = shape.support_height if support_height is None else support_height
        shape = shape.mesh
    if not (isinstance(seed, int) and seed >= 0):
        raise _refused(f"seed {seed}: give a whole number, 0 or more")
    solid = _checked(shape)
    top = float(shape.vertices[np.unique(shape.faces), 2].max())
    if support_height is not None and not support_height < top:  # also NaN
        raise _refused(
            f"support height {support_height:g} m: what stands there has its top at {top:.3f} m: give the height of "
            "the plane below it, in the frame of the mesh"
        )
    support = -np.inf if support_height is None else support_height - solid.center[2]
    random = np.random.default_rng(seed)
    search = _Search(solid, Scene(solid.vertices, solid.faces), Hand(gripper, config), support)
    R, t, closing = search.screen(random)
    return search.rank(R, t, closing, random)[:count]


def _checked(mesh: Mesh) -> Solid:
    """``mesh`` as a solid. Raises BAD_OPTION for what is none, and for errors that are no lengths."""
    if not len(mesh.faces):
        raise _refused("mesh without faces: nothing to grasp")
    if not np.isfinite(mesh.vertices).all():
        raise _refused("mesh with vertices that are not finite: write it anew")
    error = mesh.expected_error_mm
    if error is not None and not (np.isfinite(error) & (error >= 0.0)).all():
        raise _refused(
            f"mesh with an expected_error_mm of {error[~(error >= 0.0) | ~np.isfinite(error)][0]:g}: it must be finite "
            "and 0 or more: mend it, or leave the property out"
        )
    solid = make_solid(mesh)
    size = np.ptp(solid.vertices[np.unique(solid.faces)], axis=0)
    if abs(solid.volume) <= FLAT * np.linalg.norm(size) ** 3:
        raise _refused(NO_VOLUME)
    if solid.volume < 0.0:
        raise _refused(
            f"mesh of {1e6 * solid.volume:.3g} cm3: its faces must be counter-clockwise seen from outside: turn them"
        )
    return solid


def _refused(message: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_OPTION, message)


@dataclass(frozen=True)
class _Search:
    """``support``: height of the support plane over the solid's centre, metres; -inf without one."""

    solid: Solid
    scene: Scene
    hand: Hand
    support: float

    def screen(self, random: np.random.Generator) -> tuple[F64, F64, Closing]:
        """Poses ``R`` (N, 3, 3) and ``t`` (N, 3) that hold the mesh as it is. Raises BAD_OPTION where none does."""
        gripper, config = self.hand.gripper, self.hand.config
        pairs = contact_pairs(self.solid, self.scene, gripper, config, random)
        if not len(pairs.fits):
            raise _refused(f"{NO_VOLUME}: no ray that enters it leaves it again")
        if not pairs.antipodal.any():
            raise _refused(
                f"no grasp: on none of {len(pairs.fits)} pairs of contacts do opposite sides lie within the friction "
                f"cone of {gripper.friction:g}: set a greater friction if the pads have it"
            )
        usable = np.flatnonzero(pairs.fits & pairs.antipodal)
        if not len(usable):
            room = f"with {1e3 * 2 * config.clearance:.0f} mm of room and the expected error"
            least = least_width(self.solid.vertices[np.unique(self.solid.faces)])
            remedy = "take a gripper that opens wider"
            if least > LARGEST:
                remedy = "a mesh must be in metres: this one looks like millimetres, divide it by 1000"
            raise _refused(
                f"no grasp: the gripper opens {1e3 * gripper.max_opening:.1f} mm, {room} too little for the object, "
                f"whose least width is {1e3 * least:.1f} mm, and no part of it is thinner: {remedy}"
            )
        R, t = _poses(pairs.first[usable], pairs.second[usable], config.approaches)
        above = self.hand.lowest(R, t, UP) >= self.support + config.clearance
        R, t = R[above], t[above]
        chosen = random.permutation(len(R))[: config.screened]
        R, t = R[chosen], t[chosen]
        closing = self.hand.close(self.scene, R, t)
        if not closing.holds.any():
            raise _refused(
                f"no grasp: {len(usable)} pairs of contacts fit the gripper, which opens "
                f"{1e3 * gripper.max_opening:.1f} mm, but {(~above).sum()} of {len(above)} poses hit the support plane "
                f"and in none of {len(R)} others that were tried do the pads close on it unhindered: take longer or "
                "thinner fingers, or check the support height"
            )
        return R[closing.holds], t[closing.holds], _rows(closing, closing.holds)

    def rank(self, R: F64, t: F64, closing: Closing, random: np.random.Generator) -> list[Grasp]:
        """The poses that stay apart from better ones, by their scores."""
        config = self.hand.config
        seen, firm = self._seen(closing), self._firmness(t, closing)
        first = _apart(R, t, closing.margin * firm, config.separation)[: config.tried]
        share = self._trials(R[first], t[first], random)
        score = share * firm[first]
        order = np.lexsort((-firm[first], -score))  # of those that no trial holds the firmest
        return [
            Grasp(
                T_world_grasp=rigid(R[k], t[k] + self.solid.center),
                width=float(closing.width[k]),
                score=float(score[n]),
                robustness=float(share[n]),
                firmness=float(firm[k]),
                seen=float(seen[k]),
                contacts=closing.contacts[k] + self.solid.center,
            )
            for n, k in ((n, first[n]) for n in order)
        ]

    def _trials(self, R: F64, t: F64, random: np.random.Generator) -> F64:
        """(N,) share of the trials in which each pose holds."""
        config = self.hand.config
        held = np.zeros(len(R))
        for _ in range(config.shapes):
            scene = Scene(displaced(self.solid, config, random), self.solid.faces)
            for turn, shift in zip(*pose_noise(config, config.poses, random), strict=True):
                turned, moved = R @ turn, t + R @ shift
                lowest = self.hand.lowest(turned, moved, UP)
                held += self.hand.close(scene, turned, moved).holds & (lowest >= self.support)
        return held / (config.shapes * config.poses)

    def _seen(self, closing: Closing) -> F64:
        """(N,) share that some view saw of the contact that was seen less."""
        counts = np.maximum(closing.touches.sum(axis=2), 1)
        faces = np.where(closing.touches, closing.face, 0)
        return np.asarray(((closing.touches * self.solid.seen[faces]).sum(axis=2) / counts).min(axis=1))

    def _firmness(self, t: F64, closing: Closing) -> F64:
        """(N,) less where the pads hold less against turning, and where the mass pulls at a longer lever."""
        lever = self.hand.config.lever
        distance = np.linalg.norm(self.solid.center_of_mass - t, axis=1)
        return closing.reach * lever / (lever + distance)


def _poses(first: F64, second: F64, approaches: int) -> tuple[F64, F64]:
    """Rotations (N * approaches, 3, 3) and origins: each pair's closing axis, the approach turned around it, one of
    them as nearly downward as it can be."""
    y = unit(first - second)
    x = np.cross(y, -UP)
    x = unit(np.where(np.linalg.norm(x, axis=1, keepdims=True) < 1e-6, np.array([1.0, 0.0, 0.0]), x))
    down = np.cross(x, y)
    angle = 2.0 * np.pi * np.arange(approaches) / approaches
    z = np.cos(angle)[:, None] * down[:, None] + np.sin(angle)[:, None] * x[:, None]
    y = np.broadcast_to(y[:, None], z.shape)
    R = np.stack([np.cross(y, z), y, z], axis=-1).reshape(-1, 3, 3)
    return R, np.repeat((first + second) / 2.0, approaches, axis=0)


def _apart(R: F64, t: F64, value: F64, distance: float) -> I64:
    """Numbers of the poses, the best first, without those near a better one: nearer than ``distance``, and turned by
    less than `SAME_TURN`, by half a turn about the approach or by none."""
    kept: list[int] = []
    for k in np.argsort(-value, kind="stable"):
        if kept:
            near = np.linalg.norm(t[kept] - t[k], axis=1) < distance
            approach = np.einsum("nk,k->n", R[kept][:, :, 2], R[k, :, 2])
            axis = np.abs(np.einsum("nk,k->n", R[kept][:, :, 1], R[k, :, 1]))
            if (near & (np.minimum(approach, axis) > np.cos(np.radians(SAME_TURN)))).any():
                continue
        kept.append(int(k))
    return np.array(kept, np.int64)


def _rows(closing: Closing, chosen: np.ndarray) -> Closing:
    return Closing(**{name: value[chosen] for name, value in vars(closing).items()})
