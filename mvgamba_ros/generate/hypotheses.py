"""Where a generated shape might lie: rotations that its generator leaves open, each fitted to the first mask and scored
by all."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mvgamba_ros.errors import stop_if
from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.generate.seen_object import Picture, SeenObject, box_centre
from mvgamba_ros.generate.similarity import Similarity
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.rendering.mesh_raycaster import Raycaster, RenderedMesh
from mvgamba_ros.types import F64, Cancelled

AHEAD = 1.0
"""Metres from the camera that a hypothesis is put at before its distance is found: any will do."""


def best_hypotheses(
    caster: Raycaster,
    seen: SeenObject,
    photo_azimuth: float | None,
    config: AlignmentConfig,
    cancelled: Cancelled,
) -> list[Similarity]:
    """The ``config.kept`` hypotheses of highest `score`, best first.

    Args:
        caster: The generated mesh, canonical.
        seen: Masks at low resolution.
        photo_azimuth: Of the first picture's camera in the canonical frame, radians; None where that is not known.
        config: How many are tried.
        cancelled: Polled at each.
    """
    found: list[tuple[float, Similarity]] = []
    for R in rotations(seen.pictures[0], photo_azimuth, config):
        stop_if(cancelled)
        placed = fitted(caster, seen, R, config)
        if placed is not None:
            found.append((score(caster, seen, placed, config), placed))
    found.sort(key=lambda scored: -scored[0])
    return [placed for _, placed in found[: config.kept]]


def rotations(picture: Picture, photo_azimuth: float | None, config: AlignmentConfig) -> Iterator[F64]:
    """Rotations (3, 3) canonical to world under which the first ``picture`` is taken from the azimuth that the
    generator tells, or from any, and from elevations between level and the camera's own.

    A generator that takes its input to be level tips what it makes by the camera's elevation; one that knows what
    stands upright does not. A camera that is rolled is tried both with the horizon of its picture and with the world's.
    """
    bearing = picture.bearing
    own = np.arcsin(np.clip(-bearing[2], -1.0, 1.0))
    level = look_at(np.zeros(3), bearing)[:3, :3]
    frames = [_aimed(picture.T_world_camera[:3, :3], bearing)]
    if np.degrees(np.arccos(np.clip(frames[0][:, 0] @ level[:, 0], -1.0, 1.0))) > 3.0:
        frames.append(level)
    if photo_azimuth is None:
        azimuths = 2.0 * np.pi * np.arange(config.turns) / config.turns
    else:
        azimuths = photo_azimuth + np.radians(config.swing) * np.array([0.0, -1.0, -0.5, 0.5, 1.0])
    for elevation in np.linspace(own, 0.0, config.elevations):
        for azimuth in azimuths:
            away = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
            canonical = look_at(np.array(away), np.zeros(3))[:3, :3]
            for frame in frames:
                yield frame @ canonical.T


def _aimed(R: F64, bearing: F64) -> F64:
    """A camera's axes (3, 3) turned the shortest way so that it aims along ``bearing`` (3,)."""
    axis, cosine = np.cross(R[:, 2], bearing), float(R[:, 2] @ bearing)
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    return np.asarray((np.eye(3) + cross + cross @ cross / (1.0 + cosine)) @ R)


def fitted(caster: Raycaster, seen: SeenObject, R: F64, config: AlignmentConfig) -> Similarity | None:
    """The similarity of rotation ``R`` whose picture has the place and the area of the first mask, at the distance that
    depth, the other cameras or the support plane give, in this order; at `AHEAD` without any. None where it does not
    show in the picture."""
    first = seen.pictures[0]
    found = Similarity(0.1 * AHEAD, R, first.eye + AHEAD * first.bearing)
    for _ in range(config.fits):
        rendered = caster.render(first.camera, found.canonical_camera(first.T_world_camera))
        if not rendered.mask.any():
            return None
        (x, y), (to_x, to_y) = box_centre(rendered.mask), box_centre(first.mask)
        z = float((found.t - first.eye) @ first.T_world_camera[:3, 2])
        K = first.camera.K
        across = np.array([(to_x - x) * z / K[0, 0], (to_y - y) * z / K[1, 1], 0.0])
        growth = float(np.sqrt(first.mask.sum() / rendered.mask.sum()))
        found = Similarity(found.scale * growth, R, found.t + first.T_world_camera[:3, :3] @ across)
    return at_distance(caster, seen, found, config)


def at_distance(caster: Raycaster, seen: SeenObject, placed: Similarity, config: AlignmentConfig) -> Similarity:
    """``placed``, scaled about the first camera, whose picture so stays, to where the cues put it."""
    first = seen.pictures[0]
    crossing = seen.crossing(config)
    if first in seen.with_depth(config):
        rendered = caster.render(first.camera, placed.canonical_camera(first.T_world_camera))
        both = rendered.mask & (first.depth > 0.0)
        if both.any():
            ratio = first.depth[both] / (rendered.depth[both] * placed.scale)
            return placed.grown(float(np.median(ratio)), first.eye)
    if crossing is not None:
        nearer = float(np.linalg.norm(crossing - first.eye)) / float(np.linalg.norm(placed.t - first.eye))
        return placed.grown(nearer, first.eye)
    if seen.support_height is not None and seen.stands_below():
        lowest = float(placed.points(caster.mesh.vertices)[:, 2].min())
        if lowest < first.eye[2]:
            return placed.grown((seen.support_height - first.eye[2]) / (lowest - first.eye[2]), first.eye)
    return placed


def score(caster: Raycaster, seen: SeenObject, placed: Similarity, config: AlignmentConfig) -> float:
    """The mean IoU of the masks, less the errors of depth and colour, each weighted."""
    ious, off, colors = [], [], []
    size = placed.scale * float(np.ptp(caster.mesh.vertices, axis=0).max())
    for picture in seen.pictures:
        rendered = caster.render(picture.camera, placed.canonical_camera(picture.T_world_camera))
        ious.append(mask_iou(rendered.mask & picture.inside, picture.mask))
        both = rendered.mask & picture.mask
        if both.any():
            colors.append(_color_error(picture, rendered, both))
        known = both & (picture.depth > 0.0)
        if known.any():
            errors = np.abs(rendered.depth[known] * placed.scale - picture.depth[known])
            off.append(min(float(np.median(errors)) / size, 1.0))
    result = float(np.mean(ious)) - config.color_weight * (float(np.mean(colors)) if colors else 1.0)
    return result - config.depth_weight * (float(np.mean(off)) if off else 0.0)


def _color_error(picture: Picture, rendered: RenderedMesh, both: np.ndarray) -> float:
    """Mean absolute difference, [0, 1]."""
    return float(cv2.absdiff(picture.image, rendered.color)[both].mean()) / 255.0
