"""Pictures of tabletop scenes by ray casting: shadows, mirrors, clear things, and whose every pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np

from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.synthesis.backgrounds import join
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.shading import Light, Rng, ambient_light, random_directions, unit
from mvgamba_ros.synthesis.tabletop_beam import Beam
from mvgamba_ros.synthesis.tabletop_materials import Item
from mvgamba_ros.synthesis.tabletop_shader import RoomShader, TextureLevels
from mvgamba_ros.types import F32, F64, I64, U8, Bool, Camera

SAMPLES = 2
"""Of the light that reaches every second pixel of every second row, each of several rays."""
HARD = 0.04
"""Softness of light whose shadows are cast for every pixel and not smoothed."""
LIFT = 2e-4
"""Above a surface where rays from it start, metres."""
BEHIND = 0.55
"""Share of the light from above that reaches what is seen in mirrors and through clear things."""
RIM = np.array([[0.3, 0.3], [-0.3, 0.1], [0.1, -0.3]], np.float32)
"""Where else than in their centres pixels at edges are sampled, pixels."""


class Stage:
    """Everything in a scene, as rays and light meet it. ``beam``: how evenly the key light falls; ``spread``: radius of
    what shades the table, metres."""

    def __init__(self, items: Sequence[Item], light: Light, beam: Beam, environment: F32, spread: float) -> None:
        self.mesh = reduce(join, (item.mesh for item in items))
        counts = [len(item.mesh.faces) for item in items]
        self.label = np.repeat(np.array([item.label for item in items], np.uint8), counts)
        self.clear = np.repeat(np.array([item.clear for item in items], np.float32), counts)
        self.mirror = np.repeat(np.array([item.mirror for item in items], np.float32), counts)
        flat = np.repeat(np.array([item.flat for item in items]), counts)
        self.metallic = np.array([m.metallic for m in self.mesh.materials], np.float32)[self.mesh.material]
        self.light, self.beam, self.environment, self.spread = light, beam, environment, spread
        self.levels = TextureLevels(self.mesh.textures)
        self.solid = np.flatnonzero(self.clear == 0)
        self.visible = RayScene(self.mesh.vertices, self.mesh.faces)
        self.behind = self._rays(self.clear == 0) if (self.clear > 0).any() else self.visible
        self.occluder = self._rays((self.clear == 0) & ~flat)
        self.veil = self._rays(self.clear > 0)

    def _rays(self, faces: Bool) -> RayScene | None:
        return RayScene(self.mesh.vertices, self.mesh.faces[faces]) if faces.any() else None


@dataclass(frozen=True)
class _Hits:
    """Of rays (N,): whether they hit, distance, face, barycentric coordinates, and the rays' directions."""

    hit: Bool
    t: F32
    face: I64
    bary: F32
    ahead: F32


class _Picture:
    """One view of a stage."""

    def __init__(self, stage: Stage, camera: Camera, T: F64, rng: Rng) -> None:
        self.stage, self.rng = stage, rng
        self.shape = camera.height, camera.width
        origin, directions = rays(camera, T)
        self.eye, ahead = origin.astype(np.float32), directions.reshape(-1, 3).astype(np.float32)
        self.right = (T[:3, 0] / camera.K[0, 0]).astype(np.float32)
        self.down = (T[:3, 1] / camera.K[1, 1]).astype(np.float32)
        self.axis = T[:3, 2].astype(np.float32)
        pixel = 1.0 / float(camera.K[0, 0])
        self.shader = RoomShader(stage.mesh, stage.light, stage.levels, stage.environment, origin, pixel)
        self.hits = self._cast(stage.visible, np.broadcast_to(self.eye, ahead.shape), ahead)
        self.label = np.where(self.hits.hit, stage.label[np.minimum(self.hits.face, len(stage.label) - 1)], 0)
        self.light = self._light()

    def _cast(self, scene: RayScene, origin: F32, ahead: F32) -> _Hits:
        t, face, bary = scene.cast(origin, ahead)
        return _Hits(np.isfinite(t), t, face, bary, ahead)

    def _light(self) -> tuple[F32, F32]:
        """(h * w, 4) ambient RGB and the key's share at every pixel, for what is no object and for objects."""
        stage, hits = self.stage, self.hits
        height, width = self.shape
        rows, columns = np.mgrid[0:height:2, 0:width:2]
        coarse = (rows * width + columns).ravel()
        coarse = coarse[hits.hit[coarse]]
        normals = self.shader.facing(hits.face[coarse], hits.ahead[coarse])
        points = self.eye + hits.ahead[coarse] * hits.t[coarse, None] + normals * np.float32(LIFT)
        around = np.ones((len(coarse), 4), np.float32)
        soft = stage.light.softness
        around[:, :3] = (stage.light.sky + stage.light.ground) / 2
        if stage.occluder is not None:
            shares = [
                ambient_light(stage.occluder, points, normals, stage.light, 0.0, stage.spread, self.rng)
                for _ in range(SAMPLES)
            ]
            around[:, :3] = np.mean(shares, axis=0)
        if soft >= HARD:
            around[:, 3] = np.mean([self._lit(coarse, hits) for _ in range(2 * SAMPLES)], axis=0)
        small = ((height + 1) // 2, (width + 1) // 2)
        at = (coarse // width // 2) * small[1] + coarse % width // 2
        layers = []
        for group in (self.label[coarse] == 0, self.label[coarse] > 0):
            layer = np.zeros((small[0] * small[1], 5), np.float32)
            layer[at[group], :4], layer[at[group], 4] = around[group], 1
            picture = layer.reshape(*small, 5)
            ambient = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.0), np.float32)
            ambient[..., 3] = cv2.GaussianBlur(picture[..., 3], (0, 0), 0.8 + 8 * soft)
            weight = cv2.GaussianBlur(picture[..., 4], (0, 0), 0.8 + 8 * soft)
            ambient[..., :3] /= np.maximum(ambient[..., 4:], 1e-4)
            ambient[..., 3] /= np.maximum(np.asarray(weight, np.float32), 1e-4)
            whole = cv2.resize(ambient, (width, height), interpolation=cv2.INTER_LINEAR).reshape(-1, 5)
            layers.append(np.ascontiguousarray(whole[:, :4], np.float32))
        if soft < HARD:
            lit = self._lit(np.flatnonzero(hits.hit), hits)
            for layer in layers:
                layer[hits.hit, 3] = lit
        return layers[0], layers[1]

    def _lit(self, where: I64, hits: _Hits, origin: F32 | None = None) -> F32:
        """The key light's share (n,) at hits ``where``, from one ray each."""
        stage = self.stage
        start = self.eye if origin is None else origin[where]
        normals = self.shader.facing(hits.face[where], hits.ahead[where])
        points = start + hits.ahead[where] * hits.t[where, None] + normals * np.float32(LIFT)
        towards = stage.light.key + stage.light.softness * random_directions(len(where), self.rng)
        lit = stage.beam.share(points)
        if stage.occluder is not None:
            lit[stage.occluder.blocked(points, towards)] = 0
        if stage.veil is not None:
            lit[stage.veil.blocked(points, towards)] *= 0.6
        return lit

    def _surface(self, hits: _Hits, pixel: I64) -> F32:
        """Linear RGB (N, 3) that leaves hits towards the eye, in the pixels (N,) whose light they share."""
        stage, shader = self.stage, self.shader
        color = np.empty((len(pixel), 3), np.float32)
        away = ~hits.hit
        color[away] = shader.radiance(hits.ahead[away])
        where = np.flatnonzero(hits.hit)
        face, ahead = hits.face[where], hits.ahead[where]
        own = stage.label[face] > 0
        light = np.where(own[:, None], self.light[1][pixel[where]], self.light[0][pixel[where]])
        made = shader.shade(face, hits.bary[where], -ahead, light[:, :3], light[:, 3])
        special = np.flatnonzero((stage.mirror[face] > 0) | (stage.clear[face] > 0))
        if len(special):
            made[special] = self._special(hits, where[special], made[special])
        color[where] = made
        return color

    def _special(self, hits: _Hits, where: I64, made: F32) -> F32:
        """``made`` (n, 3), the light from the surfaces of hits ``where``, with what they mirror and let through."""
        stage = self.stage
        face, ahead, t = hits.face[where], hits.ahead[where], hits.t[where]
        normals = self._normals(face, hits.bary[where], ahead)
        points = self.eye + ahead * t[:, None]
        facing = np.clip(-np.einsum("nc,nc->n", normals, ahead), 0, 1)
        rim = (1 - facing) ** 4
        clear = stage.clear[face]
        through = np.flatnonzero(clear > 0)
        if len(through):
            bent = unit(ahead[through] - np.float32(0.12) * normals[through] * (1 - facing[through, None]))
            seen = self._beyond(points[through], bent, through_clear=True)
            tint = self.shader.linear[stage.mesh.textures[stage.mesh.tile[face[through]], 0, 0]]
            tint = np.where((clear[through] > 0.68)[:, None], tint, 1.0)
            share = (clear[through] * (1 - 0.8 * rim[through]))[:, None]
            made[through] = made[through] * (1 - share) + share * tint * seen
        mirror = stage.mirror[face]
        bright = np.flatnonzero(mirror > 0)
        if len(bright):
            metal = stage.metallic[face[bright]]
            strength = mirror[bright] * (metal + (1 - metal) * (0.06 + 0.94 * rim[bright]))
            mirrored = ahead[bright] + 2 * facing[bright, None] * normals[bright]
            seen = self._beyond(points[bright] + normals[bright] * np.float32(LIFT), mirrored, through_clear=False)
            keep = (1 - strength)[:, None]
            tint = np.where(metal[:, None] > 0, np.minimum(made[bright] * 1.5, 1.0) * 0.5 + 0.5, 1.0)
            made[bright] = made[bright] * keep + strength[:, None] * tint * seen
        return made

    def _normals(self, face: I64, bary: F32, ahead: F32) -> F32:
        """Shading normals (n, 3) turned towards where the rays come from."""
        weights = np.concatenate([1 - bary.sum(1, keepdims=True), bary], 1)
        blend = np.einsum("nk,nkc->nc", weights, self.shader.corners[face][..., :3])
        normals = unit(blend)
        return normals * -np.sign(np.einsum("nc,nc->n", normals, ahead))[:, None]

    def _beyond(self, origin: F32, ahead: F32, through_clear: bool) -> F32:
        """Linear RGB (n, 3) that comes along rays from surfaces, roughly lit."""
        stage = self.stage
        scene = stage.behind if through_clear else stage.visible
        assert scene is not None
        found = self._cast(scene, origin, ahead)
        color = np.empty((len(ahead), 3), np.float32)
        color[~found.hit] = self.shader.radiance(ahead[~found.hit])
        where = np.flatnonzero(found.hit)
        if len(where):
            face = stage.solid[found.face[where]] if through_clear and stage.veil is not None else found.face[where]
            met = _Hits(found.hit[where], found.t[where], face, found.bary[where], ahead[where])
            lit = self._lit(np.arange(len(where)), met, origin[where])
            ambient = np.broadcast_to(
                (stage.light.sky + stage.light.ground) / 2 * np.float32(BEHIND * 1.4), (len(where), 3)
            )
            color[where] = self.shader.shade(face, met.bary, -met.ahead, ambient, lit)
        return color

    def rendered(self) -> tuple[F32, U8, F32]:
        """Linear light (H, W, 3), whose each pixel's centre is (H, W), and z-depth (H, W), metres."""
        hits, stage = self.hits, self.stage
        pixels = np.arange(len(hits.t))
        color = np.minimum(self._surface(hits, pixels), 4.0)
        edge = self._edges()
        if len(edge):
            total = color[edge]
            for x, y in RIM:
                ahead = unit(
                    hits.ahead[edge] / (hits.ahead[edge] @ self.axis)[:, None] + x * self.right + y * self.down
                )
                more = self._cast(stage.visible, np.broadcast_to(self.eye, ahead.shape), ahead)
                total = total + np.minimum(self._surface(more, edge), 4.0)
            color[edge] = total / (1 + len(RIM))
        depth = np.where(hits.hit, hits.t * (hits.ahead @ self.axis), np.float32(0)).astype(np.float32)
        return (
            color.reshape(*self.shape, 3),
            self.label.reshape(self.shape).astype(np.uint8),
            depth.reshape(self.shape),
        )

    def _edges(self) -> I64:
        """Pixels (n,) whose neighbour shows something else, or something at another distance."""
        label = self.label.reshape(self.shape).astype(np.float32)
        inverse = np.where(self.hits.hit, 1 / np.maximum(self.hits.t, 1e-3), 0).reshape(self.shape).astype(np.float32)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        jump = cv2.morphologyEx(label, cv2.MORPH_GRADIENT, cross) > 0
        curve = np.abs(cv2.Laplacian(inverse, cv2.CV_32F)) > 0.03 * inverse
        return np.flatnonzero(jump | curve)


def picture(stage: Stage, camera: Camera, T: F64, rng: Rng) -> tuple[F32, U8, F32]:
    """One view: the linear light (H, W, 3), the label (H, W) of what each pixel's centre shows, and its
    z-depth (H, W), metres, 0 where nothing is.

    Args:
        stage: The scene, objects on z = 0.
        camera: Without distortion.
        T: ``T_world_camera`` (4, 4).
        rng: Draws where soft light comes from.
    """
    return _Picture(stage, camera, T, rng).rendered()
