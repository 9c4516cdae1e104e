"""Pictures from where no input view was: what a reconstruction shows there, beside the photo."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.evaluation.evaluation_protocol import PICTURE_MARGIN, PICTURE_SIDE
from mvgamba_ros.geometry.camera import crop, resample
from mvgamba_ros.metrics.image import lpips, mask_iou, psnr, ssim
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.splats import render_view
from mvgamba_ros.types import F32, Bool, Gaussians, View


@dataclass(frozen=True)
class Target:
    """A left-out view cut to the object: ``view`` with its square camera and mask, ``picture`` (S, S, 3) on white."""

    view: View
    picture: F32


def cut_target(view: View) -> Target:
    """``view``: undistorted, with the true mask. Raises EMPTY_SILHOUETTE without one."""
    if view.mask is None or not view.mask.any():
        raise ReconstructionError(ErrorCode.EMPTY_SILHOUETTE, f"{view.name}: no object in this left-out view")
    ys, xs = np.nonzero(view.mask)
    middle = np.array([xs.min() + xs.max() + 1, ys.min() + ys.max() + 1]) / 2
    half = PICTURE_MARGIN * max(np.ptp(xs), np.ptp(ys)) / 2 + 1
    (x0, y0), (x1, y1) = middle - half, middle + half
    camera = crop(view.camera, x0, y0, x1, y1, PICTURE_SIDE, PICTURE_SIDE)
    mask = resample(view.mask, view.camera, camera)
    image = resample(view.image, view.camera, camera)
    picture = np.where(mask[..., None], image.astype(np.float32) / 255, np.float32(1))
    return Target(replace(view, image=image, camera=camera, mask=mask, depth=None, hidden=None), picture)


def show_gaussians(gaussians: Gaussians, target: Target) -> tuple[F32, Bool]:
    """Picture (S, S, 3) on white and silhouette (S, S)."""
    return render_view(gaussians, target.view.camera, target.view.T_world_camera)


def show_mesh(caster: Raycaster, target: Target) -> tuple[F32, Bool]:
    """The same of a coloured mesh."""
    seen = caster.render(target.view.camera, target.view.T_world_camera)
    return np.where(seen.mask[..., None], seen.color.astype(np.float32) / 255, np.float32(1)), seen.mask


def picture_scores(picture: F32, silhouette: Bool, target: Target) -> dict[str, float]:
    """``psnr_db``, ``ssim``, silhouette ``iou`` and, where it can be had (`lpips_network`), ``lpips``."""
    truth = target.view.mask
    assert truth is not None
    scores = {
        "psnr_db": psnr(picture, target.picture),
        "ssim": ssim(picture, target.picture),
        "iou": mask_iou(silhouette, truth),
    }
    with suppress(ReconstructionError):
        scores["lpips"] = lpips(picture, target.picture)
    return scores
