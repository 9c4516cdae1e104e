"""Similarity registration: a generated shape gets the size and the place of what was seen.

A canonical mesh has no scale. Seven numbers take it into the world: they are found from the object's masks in all
views, depth inside of them, and the plane that it stands on. Rotations that the generator leaves open are tried and
scored (`hypotheses`); the best are refined by Gauss-Newton steps on distances across the masks' outlines (iterated
closest points of contours, rendered anew at each step), distances to depth along the surface's normals (Chen and
Medioni, "Object modelling by registration of multiple range images", 1992), and the height of the lowest point.
Standard deviations follow from the normal matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.generate.alignment_residuals import Residuals, residuals
from mvgamba_ros.generate.hypotheses import best_hypotheses, score
from mvgamba_ros.generate.seen_object import SeenObject
from mvgamba_ros.generate.similarity import Similarity
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F64, Cancelled, Mesh, View


@dataclass(frozen=True)
class Alignment:
    """How a generated shape lies in the world.

    Attributes:
        similarity: Canonical frame to world, metres.
        scale_sigma: Standard deviation of its scale, as a part of it.
        position_sigma_mm: Of the middle of the shape, the root of the sum over the axes.
        silhouette_iou: Mean over the views of mask against the aligned shape.
        cues: What measured the scale, in words.
    """

    similarity: Similarity
    scale_sigma: float
    position_sigma_mm: float
    silhouette_iou: float
    cues: tuple[str, ...]


def align(
    mesh: Mesh,
    views: Sequence[View],
    support_height: float | None,
    first: int = 0,
    photo_azimuth: float | None = None,
    config: AlignmentConfig = AlignmentConfig(),
    cancelled: Cancelled = lambda: False,
) -> Alignment:
    """The similarity that takes a generated ``mesh`` to where ``views`` see the object.

    Args:
        mesh: In the canonical frame of `mvgamba_ros.generate.generator`.
        views: One or more, undistorted, with masks that are not empty; poses and depth in metres.
        support_height: World z of the plane that the object stands on, metres; None where that is not known.
        first: Number of the view that the generator was shown.
        photo_azimuth: Of that view's camera in the canonical frame, radians; None where the generator does not tell.
        config: Every number.
        cancelled: Polled between steps.

    Raises:
        ReconstructionError: TOO_FEW_VIEWS where nothing measures scale: one view, without depth and without a plane;
            SILHOUETTES_DISAGREE where the shape cannot be laid over the first mask.
    """
    coarse = SeenObject.of(views, first, support_height, config.coarse_side, config)
    cues = coarse.cues(config)
    if not cues:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            "the size of what one picture shows cannot be known: give depth, the height of the plane it stands on, or "
            "a view from another place",
        )
    caster = Raycaster(mesh)
    started = best_hypotheses(caster, coarse, photo_azimuth, config, cancelled)
    if not started:
        raise ReconstructionError(
            ErrorCode.SILHOUETTES_DISAGREE, "the generated shape does not show in the picture under any rotation"
        )
    seen = SeenObject.of(views, first, support_height, config.side, config)
    refined = [_refined(caster, seen, begun, config, cancelled) for begun in started]
    best, covariance = max(refined, key=lambda found: score(caster, seen, found[0], config))
    return Alignment(
        best,
        scale_sigma=math.sqrt(covariance[6, 6]),
        position_sigma_mm=1e3 * math.sqrt(np.trace(covariance[3:6, 3:6])),
        silhouette_iou=_iou(caster, seen, best),
        cues=cues,
    )


def _refined(
    caster: Raycaster, seen: SeenObject, start: Similarity, config: AlignmentConfig, cancelled: Cancelled
) -> tuple[Similarity, F64]:
    """The similarity of least residuals near ``start``, and the covariance (7, 7) of a step from it."""
    found, begun = start, start.R
    size = float(np.ptp(caster.mesh.vertices, axis=0).max())
    middle = 0.5 * (caster.mesh.vertices.min(axis=0) + caster.mesh.vertices.max(axis=0))
    normal, variance = np.eye(7), 1.0
    for _ in range(config.steps):
        stop_if(cancelled)
        about = found.points(middle)
        groups = residuals(caster, seen, found, about, config)
        normal, vector, variance = _normal_equations(groups, config)
        turned = Rotation.from_matrix(found.R @ begun.T).as_rotvec()
        prior = np.radians([config.tilt_sigma, config.tilt_sigma, config.turn_sigma]) ** -2.0
        normal[range(3), range(3)] += prior
        vector[:3] += prior * turned
        damped = normal + config.damping * np.diag(np.diag(normal))
        step = np.asarray(-np.linalg.lstsq(damped, vector, rcond=None)[0], np.float64)
        step /= max(1.0, float(np.linalg.norm(step[:3])) / 0.2, abs(float(step[6])) / 0.2)  # where the slopes hold
        found = found.stepped(step, about)
        if (
            max(np.abs(step[:3]).max(), np.abs(step[3:6]).max() / (size * found.scale), abs(step[6]))
            < config.least_step
        ):
            break
    return found, np.asarray(np.linalg.pinv(normal, hermitian=True) * max(1.0, variance), np.float64)


def _normal_equations(groups: Sequence[Residuals], config: AlignmentConfig) -> tuple[F64, F64, float]:
    """Normal matrix (7, 7), gradient (7,) and variance of unit weight of all residuals, robustly weighted; a group
    counts for `AlignmentConfig.independent` residuals, or for as many as it has."""
    normal, vector, total, count = np.zeros((7, 7)), np.zeros(7), 0.0, 0.0
    for group in groups:
        off, slopes = group.values / group.sigma, group.jacobian / group.sigma
        spread = max(1.0, 1.4826 * float(np.median(np.abs(off))))
        weights = np.minimum(1.0, config.robust * spread / np.maximum(np.abs(off), 1e-9))
        among = min(config.independent, len(off))
        weights = weights * among / len(off)
        normal += (slopes * weights[:, None]).T @ slopes
        vector += slopes.T @ (weights * off)
        total += float(weights @ off**2)
        count += among
    return normal, vector, total / max(count - 7.0, 1.0)


def _iou(caster: Raycaster, seen: SeenObject, placed: Similarity) -> float:
    """Mean over the pictures."""
    ious = []
    for picture in seen.pictures:
        rendered = caster.render(picture.camera, placed.canonical_camera(picture.T_world_camera))
        ious.append(mask_iou(rendered.mask & picture.inside, picture.mask))
    return float(np.mean(ious))
