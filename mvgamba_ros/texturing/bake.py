"""A texture map from the views: tone from all that see a point, detail from the sharpest, as in Baumberg, "Blending
images for texturing 3D models" (BMVC 2002), with exposures balanced between views first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.baking_config import BakingConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.sample import area_vectors, vertex_normals
from mvgamba_ros.texturing.texels import Texels, cover, spread
from mvgamba_ros.texturing.unwrap import unwrap
from mvgamba_ros.texturing.view_levels import relative_levels
from mvgamba_ros.texturing.view_window import Surface, Window, open_window, sample_window
from mvgamba_ros.types import F32, F64, Mesh, TextureMap, View

COMPARED = 20_000
"""Texels by which the views are compared: a median of fewer is as good as of all. Not a setting."""
DARKEST = 8.0
"""Of 255: darker tones are noise, their ratio says nothing of exposure. Not a setting."""
AVERAGED = 200_000
"""Texels that the vertices take their colours from, at most. Not a setting."""
SMOOTHINGS = 100
"""Steps by which colours spread into what no view sees. Not a setting."""


def bake(
    mesh: Mesh, views: Sequence[View], caster: Raycaster, side: int, texture: TextureConfig, baking: BakingConfig
) -> TextureMap:
    """The texture of ``mesh``, no side longer than ``side`` texels.

    Args:
        mesh: With the colours that what no view sees fades to.
        views: Undistorted.
        caster: Of the mesh, closed: what hides what. May have faces that ``mesh`` lacks.
        side: Texels; the picture is smaller where the views do not hold as much detail.
        texture: Which views see a point.
        baking: How they are put together.
    """
    texel = _finest(mesh, views) / baking.texels_per_pixel
    atlas = unwrap(mesh, texel, side, baking.padding)
    texels = cover(atlas)
    surface = _surface(mesh, texels, float(np.ptp(caster.mesh.vertices, axis=0).max()))
    windows = [window for view in views if (window := open_window(view, caster, texel, baking)) is not None]
    gains, sharpness = _levels(windows, surface, texture, baking)
    scale = baking.texels_per_pixel * texel
    tone, detail = np.zeros((2, len(texels.at), 4), np.float32)
    sure = np.zeros(len(texels.at), np.float32)
    count = np.zeros(len(texels.at), np.uint8)
    for window, gain, blur in zip(windows, gains, sharpness, strict=True):
        shown = sample_window(window, surface, texture)
        quality = np.minimum(shown.sharpness * scale * blur, 1.0)
        for total, colors, exponent in (
            (tone, shown.tone, baking.tone_exponent),
            (detail, shown.detail, baking.detail_exponent),
        ):
            weight = shown.fade * np.maximum(quality**exponent, 1e-30)
            total[shown.at, :3] += weight[:, None] * colors * gain
            total[shown.at, 3] += weight
        sure[shown.at] = np.maximum(sure[shown.at], shown.fade)
        count[shown.at] += count[shown.at] < 255
    fill = texels.interpolated(mesh.faces, _vertex_tones(mesh, texels, tone))
    color: F64 = tone[:, :3] / np.maximum(tone[:, 3:], 1e-30) + detail[:, :3] / np.maximum(detail[:, 3:], 1e-30)
    color = fill + sure[:, None] * (color - fill)
    picture = np.zeros((atlas.height, atlas.width, 3), np.uint8)
    seen = np.zeros((atlas.height, atlas.width), np.uint8)
    covered = np.zeros((atlas.height, atlas.width), np.bool_)
    picture.reshape(-1, 3)[texels.at] = color.round().clip(0, 255).astype(np.uint8)
    seen.ravel()[texels.at] = count
    covered.ravel()[texels.at] = True
    return TextureMap(
        uv=(atlas.corners / [atlas.width, atlas.height]).astype(np.float32),
        image=spread(picture, covered),
        seen=spread(seen, covered),
        seen_share=float((count > 0).mean()),
        made_by=atlas.made_by,
    )


def _surface(mesh: Mesh, texels: Texels, longest: float) -> Surface:
    normals = texels.interpolated(mesh.faces, vertex_normals(mesh))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Surface(
        points=texels.interpolated(mesh.faces, mesh.vertices),
        normals=normals,
        face=texels.face,
        corner=mesh.vertices[mesh.faces[:, 0]],
        across=area_vectors(mesh.vertices, mesh.faces),
        longest=longest,
    )


def _finest(mesh: Mesh, views: Sequence[View]) -> float:
    """Metres that one pixel of the view that shows the mesh largest covers at its middle."""
    middle = 0.5 * (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0))
    footprints = []
    for view in views:
        depth = float(project(view.camera, view.T_world_camera, middle[None])[1][0])
        if depth > 0.0:
            footprints.append(depth / float(np.sqrt(view.camera.K[0, 0] * view.camera.K[1, 1])))
    return min(footprints, default=float(np.ptp(mesh.vertices, axis=0).max()) / 256)


def _vertex_tones(mesh: Mesh, texels: Texels, tone: F32) -> F64:
    """Colours (V, 3) of the vertices: the mean of what the texels around show, ``tone`` (N, 4) of RGB and weight, both
    times the weight; where no view sees any, what spreads there from around along the surface."""
    from scipy.sparse import csr_array

    total = np.zeros((len(mesh.vertices), 4))
    every = slice(None, None, max(1, len(texels.at) // AVERAGED))
    corners = mesh.faces[texels.face[every]]
    for k in range(3):
        for channel in range(4):
            weights = texels.barycentric[every, k].clip(0.0, 1.0) * tone[every, channel]
            total[:, channel] += np.bincount(corners[:, k], weights, len(total))
    known = total[:, 3] > 0.0
    colors = np.where(known[:, None], total[:, :3] / np.maximum(total[:, 3:], 1e-30), mesh.colors)
    if known.all() or not known.any():
        return colors
    a, b = mesh.faces.ravel(), np.roll(mesh.faces, 1, axis=1).ravel()
    count = len(mesh.vertices)
    beside = csr_array((np.ones(2 * len(a)), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(count, count))
    unknown = np.flatnonzero(~known)
    rows = beside[unknown]
    degree = np.maximum(np.asarray(rows.sum(axis=1)).reshape(-1, 1), 1e-9)
    for _ in range(SMOOTHINGS):
        colors[unknown] = (rows @ colors) / degree
    return colors


def _levels(
    windows: Sequence[Window], surface: Surface, texture: TextureConfig, baking: BakingConfig
) -> tuple[F64, F64]:
    """Factors that bring the windows' exposures together, (V, 3), and how sharp they are beside each other, (V,)."""
    if len(windows) < 2:
        return np.ones((len(windows), 3)), np.ones(len(windows))
    some = surface.every(max(1, len(surface.points) // COMPARED))
    weights = np.zeros((len(windows), len(some.points)), np.float32)
    values = np.zeros((len(windows), len(some.points), 4), np.float32)
    for v, window in enumerate(windows):
        shown = sample_window(window, some, texture)
        exposed = ((shown.tone > DARKEST) & (shown.tone < 255.0 - DARKEST)).all(axis=1)
        weights[v, shown.at] = shown.fade * exposed
        values[v, shown.at, :3] = np.log(np.maximum(shown.tone, DARKEST))
        values[v, shown.at, 3] = np.log(np.abs(shown.detail).mean(axis=1) + 1.0)
    levels = relative_levels(values, weights)
    gains = np.clip(np.exp(-levels[:, :3]), 1.0 / baking.max_gain, baking.max_gain)
    sharpness = np.exp(np.clip(levels[:, 3] - levels[:, 3].max(), -np.log(baking.max_sharpness), 0.0))
    return gains, sharpness
