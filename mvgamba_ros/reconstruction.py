"""What a reconstruction answers: the shape, how far to trust it, and how the camera poses were corrected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mvgamba_ros.types import F64, Bool, Box, Gaussians, Mesh, PointCloud, TextureMap, View


@dataclass(frozen=True)
class Quality:
    """How far to trust a result; lets a planner refuse a bad shape. NaN: there was nothing to measure.

    Attributes:
        silhouette_iou: Mean over views of mask against the re-rendered mesh.
        color_error: Mean absolute RGB difference inside the mask, [0, 1].
        coverage: Share of the mesh's area that at least one view sees, [0, 1].
        low: The shape should not be trusted.
        reasons: Why it is ``low``, in words.
        expected_error_mm: Expected chamfer distance to the true surface: mean of what the mesh's vertices expect.
        pose_residual_px: How far the views still contradict each other after the correction of their poses, RMS.
        depth_residual_mm: Median distance between measured depth and the mesh where both see the surface.
        completeness: Share of the silhouettes' outlines that end inside the pictures and the region, [0, 1].
        objects: Separate things found standing in the region.
        outline_gap_mm: Mean distance by which the mesh ends inside the silhouettes.
        unsupported_outline: Share of the outlines of found masks along which the pictures change no colour, [0, 1].
        photo_residual_mm: Median displacement of the surface's picture between neighbouring views.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> quality = reconstruct(read_capture("capture")[:2], Options(method="hull")).quality
        >>> quality.low, quality.reasons[0]
        (True, '2 view(s); the far side and the depth are guesses below 3')
    """

    silhouette_iou: float
    color_error: float
    coverage: float
    low: bool
    reasons: tuple[str, ...] = ()
    expected_error_mm: float = math.nan
    pose_residual_px: float = math.nan
    depth_residual_mm: float = math.nan
    completeness: float = math.nan
    objects: int = 1
    outline_gap_mm: float = math.nan
    unsupported_outline: float = math.nan
    photo_residual_mm: float = math.nan


@dataclass(frozen=True)
class PoseCorrection:
    """How the camera poses that were given disagree with the pictures, and what was corrected. NaN: not measured.

    Attributes:
        hand_eye: (4, 4) rigid, metres: the true optical frame in the one that the poses give, common to all views.
        hand_eye_sigma_mm: Standard deviation of its translation.
        hand_eye_sigma_deg: Standard deviation of its rotation.
        view_mm: (V,) what each view's own pose was moved by, beyond ``hand_eye``.
        view_deg: (V,) what it was turned by.
        residual_before_px: Root mean square disagreement of the views with the poses given: what is left after the
            correction, and how far this moves the object in the pictures.
        residual_after_px: Root mean square disagreement with the corrected poses.
        left_out: Views that all others contradict, set aside.
        hand_eye_information: (6, 6) inverse covariance of the twist (rotation, translation; radians, metres) of
            ``hand_eye`` by these views alone, without a prior: informations of several captures add up.
        hand_eye_vector: (6,) that times this twist, likewise.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> correction = reconstruct(read_capture("capture"), Options(method="hull")).poses
        >>> correction.left_out, bool((correction.view_mm < 1.0).all())
        ((), True)
    """

    hand_eye: F64
    hand_eye_sigma_mm: float
    hand_eye_sigma_deg: float
    view_mm: F64
    view_deg: F64
    residual_before_px: float
    residual_after_px: float
    left_out: tuple[int, ...] = ()
    hand_eye_information: F64 = field(default_factory=lambda: np.zeros((6, 6)))
    hand_eye_vector: F64 = field(default_factory=lambda: np.zeros(6))


@dataclass(frozen=True)
class Reconstruction:
    """The result of `mvgamba_ros.reconstruct`, in metres, in the world frame of the views.

    Attributes:
        mesh: Closed, coloured.
        cloud: Samples of the mesh's surface.
        box: The smallest upright box around the mesh: its z axis is the world's.
        quality: How well the mesh explains the views.
        masks: The silhouette of each view that was given, (H, W) bool each.
        seconds: Wall time of each stage.
        method: Name of the reconstructor.
        gaussians: The Gaussians of a method that makes them.
        support_height: World z of the support plane that was used, given or estimated; None where none was.
        notes: What was assumed or estimated on the way, in words.
        poses: What the check of the camera poses found; None where there was none.
        settings: What it was made with, as plain JSON values: the package's ``version``, ``options``, ``config``,
            ``provenance`` (which weights of the ``method`` and the ``segmenter`` ran, and where, as far as these tell)
            ``masks`` ("given" or "found", of each view) and ``depth_views``, how many views had depth that was not set
            aside; ``completion``, where a generator made up what no view
            saw: its name, and how its shape was aligned.
        generated: Views that the generator made, aligned, without those of its own that show no object; they are no
            measurement.
        texture: The mesh's texture, where the option ``texture`` asks for one.

    Example:
        >>> from mvgamba_ros import Options, read_capture, reconstruct
        >>> result = reconstruct(read_capture("capture"), Options(refine=False))
        >>> x, y, z = result.box.T_world_box[:3, 3]
        >>> width, depth, height = result.box.size
        >>> result.method, result.quality.low
        ('mvgamba', False)
    """

    mesh: Mesh
    cloud: PointCloud
    box: Box
    quality: Quality
    masks: tuple[Bool, ...]
    seconds: Mapping[str, float]
    method: str
    gaussians: Gaussians | None = None
    support_height: float | None = None
    notes: tuple[str, ...] = ()
    poses: PoseCorrection | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    generated: tuple[View, ...] = ()
    texture: TextureMap | None = None

    @property
    def view_count(self) -> int:
        """How many views it was made from: those given, without the ones that were left out."""
        return len(self.masks) - (0 if self.poses is None else len(self.poses.left_out))
