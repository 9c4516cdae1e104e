"""One view's picture of the object, split into tone and detail, and how well it shows each point of the surface."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mvgamba_ros.config.baking_config import BakingConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.geometry.camera import crop, project, resample
from mvgamba_ros.geometry.raster import depth_inside
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.texture import sample_raster
from mvgamba_ros.rendering.visibility import point_cosines
from mvgamba_ros.types import F32, F64, I32, I64, Bool, Camera, View

STEP = 0.02
"""Of the mesh's longest side: where depth jumps by more between pixels the object covers itself. Not a setting."""
LEAST_COSINE = 1e-3
"""To divide by."""


@dataclass(frozen=True)
class Window:
    """A view around the object, its pixels no finer than the texels.

    Attributes:
        camera: Of the window.
        T_world_camera: (4, 4), as the view's.
        tone: (H, W, 3) float32 RGB without detail.
        picture: (H, W, 4) float32: RGB, and how far inside the object's picture, 0 at its edges to 1.
        depth: (H, W) float32 z-depth of the mesh, metres; 0 off it.
    """

    camera: Camera
    T_world_camera: F64
    tone: F32
    picture: F32
    depth: F32


def open_window(view: View, caster: Raycaster, texel: float, baking: BakingConfig) -> Window | None:
    """The window of an undistorted ``view`` on the caster's mesh, None where it does not show it; ``texel``: metres."""
    pixels, z = project(view.camera, view.T_world_camera, caster.mesh.vertices)
    size = [view.camera.width, view.camera.height]
    if not (z > 0.0).any():
        return None
    inside = pixels[z > 0.0]
    low = np.clip(np.floor(inside.min(axis=0)) - 2, 0, size)
    high = np.clip(np.ceil(inside.max(axis=0)) + 2, 0, size)
    if not (high - low >= 2).all():
        return None
    footprint = float(np.median(z[z > 0.0])) / float(np.sqrt(view.camera.K[0, 0] * view.camera.K[1, 1]))
    shrink = min(1.0, footprint / texel)
    width, height = (max(2, round(side * shrink)) for side in (high - low))
    (x0, y0), (x1, y1) = low, high
    camera = crop(view.camera, x0, y0, x1, y1, width, height)
    image = resample(view.image, view.camera, camera).astype(np.float32)
    depth = caster.render(camera, view.T_world_camera).depth
    shown = depth > 0.0
    if view.mask is not None:
        shown &= resample(view.mask, view.camera, camera)
    if view.hidden is not None:
        shown &= ~resample(view.hidden, view.camera, camera)
    longest = float(np.ptp(caster.mesh.vertices, axis=0).max())
    fade = np.clip(depth_inside(shown & ~_steps(depth, STEP * longest)) / baking.margin - 0.5, 0.0, 1.0)
    tone = _smooth(image, shown, max(1.0, baking.tone_blur * max(width, height)))
    return Window(camera, view.T_world_camera, tone, np.dstack([image, fade]).astype(np.float32), depth)


def _steps(depth: F32, step: float) -> Bool:
    """(H, W): pixels beside a jump of more than ``step`` of the mesh's depth, by its second differences along rows and
    columns, which are small on a slope."""
    bend = np.array([[1.0, -2.0, 1.0]], np.float32)
    across, down = (
        cv2.filter2D(depth, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE) for kernel in (bend, bend.T)
    )
    found: Bool = (np.abs(across) > step) | (np.abs(down) > step)
    return found


def _smooth(image: F32, shown: Bool, sigma: float) -> F32:
    """``image`` blurred, by what is ``shown`` alone."""
    known = shown.astype(np.float32)
    blurred = cv2.GaussianBlur(image * known[..., None], (0, 0), sigma)
    weight = cv2.GaussianBlur(known, (0, 0), sigma)[..., None]
    return np.asarray(np.where(weight > 1e-3, blurred / np.maximum(weight, 1e-3), image), np.float32)


@dataclass(frozen=True)
class Surface:
    """N points on a mesh that views are to show.

    Attributes:
        points: (N, 3).
        normals: (N, 3) unit, outward, smooth from face to face.
        face: (N,) which face each lies on.
        corner: (F, 3) of each face, one corner.
        across: (F, 3) of each face, the outward normal, of any length.
        longest: The mesh's longest side, metres.
    """

    points: F64
    normals: F64
    face: I32
    corner: F64
    across: F64
    longest: float

    def every(self, step: int) -> Surface:
        """One point in ``step``."""
        return replace(self, points=self.points[::step], normals=self.normals[::step], face=self.face[::step])


@dataclass(frozen=True)
class Shown:
    """What a window shows of the points ``at`` (N,) that it sees: ``tone`` and ``detail`` (N, 3) float32 RGB,
    ``sharpness`` (N,), pixels a metre across the surface where it is foreshortened most, and ``fade`` (N,) in (0, 1].
    """

    at: I64
    tone: F32
    detail: F32
    sharpness: F32
    fade: F32


NOTHING = Shown(np.zeros(0, np.int64), *np.zeros((2, 0, 3), np.float32), *np.zeros((2, 0), np.float32))


def sample_window(window: Window, surface: Surface, texture: TextureConfig) -> Shown:
    """What ``window`` shows of ``surface``: nothing of a face turned away, hidden or seen at a grazing angle."""
    eye = window.T_world_camera[:3, 3]
    cosines = point_cosines(surface.points, surface.normals, eye)
    turned = np.einsum("fk,fk->f", surface.across, eye - surface.corner) > 0.0
    at = np.flatnonzero((cosines > max(texture.min_cosine, LEAST_COSINE)) & turned[surface.face])
    pixels, z = project(window.camera, window.T_world_camera, surface.points[at])
    within = (z > 0.0) & (pixels >= 0.0).all(axis=1)
    within &= (pixels < [window.camera.width, window.camera.height]).all(axis=1)
    at, pixels, z = at[within], pixels[within], z[within]
    if not len(at):
        return NOTHING
    cosine = cosines[at]
    focal = float(np.sqrt(window.camera.K[0, 0] * window.camera.K[1, 1]))
    x, y = (pixels - 0.5).astype(np.float32).T[:, :, None]
    picture = sample_raster(window.picture, x, y)
    column, row = pixels.astype(np.int64).T
    # between two pixels' rays the surface recedes by a pixel's footprint times the tangent
    slope = z / focal * np.sqrt(np.maximum(1.0 - cosine**2, 0.0)) / cosine
    unhidden = z <= window.depth[row, column] + slope + texture.occlusion_tolerance * surface.longest
    fade = picture[:, 3] * unhidden
    seen = np.flatnonzero(fade > 0.0)
    if not len(seen):
        return NOTHING
    at, picture, x, y = at[seen], picture[seen], x[seen], y[seen]
    tone = sample_raster(window.tone, x, y)
    sharpness = (focal / z * cosine)[seen].astype(np.float32)
    return Shown(at, tone, picture[:, :3] - tone, sharpness, fade[seen])
