"""Scores of shapes that were made up: how well they fit the words or the picture they were made of.

- ``clip``: mean over `orbit`'s pictures of 100 max(cos, 0) between CLIP's vectors of the picture and of the subject,
  the words or else the given picture (CLIPScore without its weight: Hessel et al., EMNLP 2021).
- ``r_precision``: share of those pictures to which no other subject of the same kind is closer than their own (Park et
  al., NeurIPS 2021; for 3D Jain et al., Dream Fields, CVPR 2022).
- ``psnr_db``, ``ssim``, ``lpips``, ``iou``: against the given picture, seen from where it was taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.evaluation.evaluation_protocol import (
    ORBIT_DISTANCE,
    ORBIT_ELEVATION,
    ORBIT_FIELD_OF_VIEW,
    ORBIT_SIDE,
    ORBIT_VIEWS,
    PICTURE_MARGIN,
    PICTURE_SIDE,
)
from mvgamba_ros.evaluation.novel_view import Target, cut_target, picture_scores, show_gaussians, show_mesh
from mvgamba_ros.generate.clip import Clip
from mvgamba_ros.generate.cutout import Cutout, recentre
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.io.image_files import read_image
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.ply import read_gaussians
from mvgamba_ros.io.results import LARGEST_REPORT, REPORT
from mvgamba_ros.io.transforms_json import read_transforms_json
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F32, F64, Bool, Camera, Gaussians, Mesh, View

BORDER = 1.0 - 1.0 / PICTURE_MARGIN
"""Part of a picture's side that stays free around its object, as in a left-out view."""


@dataclass(frozen=True)
class GeneratedShape:
    """A folder that `mvgamba generate` wrote.

    Attributes:
        name: For tables.
        mesh: What was made.
        gaussians: The same, where the method makes them; then pictures are of them.
        words: What it was made of; empty for a picture.
        cutout: The picture that it was made of.
        view: From where that picture was taken, in the frame of the shape; None where that is not known.
        measured: Whether ``view`` is that picture itself, with its own camera; else only the side is known.
    """

    name: str
    mesh: Mesh
    gaussians: Gaussians | None
    words: str
    cutout: Cutout | None
    view: View | None
    measured: bool

    @property
    def made_of(self) -> str:
        """``words`` or ``picture``."""
        return "picture" if self.cutout else "words"

    @cached_property
    def _caster(self) -> Raycaster:
        return Raycaster(self.mesh)

    def show(self, target: Target) -> tuple[F32, Bool]:
        """Picture on white and silhouette from where ``target`` is."""
        return show_mesh(self._caster, target) if self.gaussians is None else show_gaussians(self.gaussians, target)


def find_generated(roots: Sequence[Path]) -> list[Path]:
    """Those of ``roots`` and of the folders in them that hold a report, each once, absolute. Raises BAD_CAPTURE for one
    without."""
    found = dict[Path, None]()
    for root in roots:
        here = [folder.resolve() for folder in [root, *sorted(root.glob("*/"))] if (folder / REPORT).is_file()]
        if not here:
            raise ReconstructionError(
                ErrorCode.BAD_CAPTURE, f"{root}: no {REPORT} here; give folders that `mvgamba generate -o` wrote"
            )
        found |= dict.fromkeys(here)
    return list(found)


def read_generated(folder: Path) -> GeneratedShape:
    """Raises BAD_CAPTURE for a folder that `mvgamba generate` did not write, or that was changed since."""
    path = folder / REPORT
    with boundary(ErrorCode.BAD_CAPTURE, path, "is not of `mvgamba generate`: make the shape anew with it"):
        with path.open("rb") as file:
            subject = json.loads(file.read(LARGEST_REPORT))["subject"]
        words, measured = str(subject["words"]), bool(subject["measured"])
        index = None if subject["view"] is None else int(subject["view"])
        cutout = None
        if subject["picture"] is not None:
            pixels = read_image(folder / str(subject["picture"]))
            cutout = Cutout(pixels[..., :3].copy(), (pixels[..., 3] / np.float32(255.0)).astype(np.float32), str(path))
        view = None if index is None else read_transforms_json(folder / "views")[index]
    splats = folder / "gaussians.ply"
    gaussians = read_gaussians(splats) if splats.is_file() else None
    return GeneratedShape(folder.name, read_mesh(folder / "mesh.ply"), gaussians, words, cutout, view, measured)


def orbit(mesh: Mesh) -> list[tuple[Camera, F64]]:
    """The cameras around ``mesh``, z up, and their poses."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centre, reach = 0.5 * (low + high), ORBIT_DISTANCE * float((high - low).max())
    focal = ORBIT_SIDE / 2 / np.tan(np.radians(ORBIT_FIELD_OF_VIEW) / 2)
    K = np.array([[focal, 0.0, ORBIT_SIDE / 2], [0.0, focal, ORBIT_SIDE / 2], [0.0, 0.0, 1.0]])
    up = np.radians(ORBIT_ELEVATION)
    turns = 2.0 * np.pi * np.arange(ORBIT_VIEWS) / ORBIT_VIEWS
    away = np.stack([np.cos(turns) * np.cos(up), np.sin(turns) * np.cos(up), np.full(ORBIT_VIEWS, np.sin(up))], axis=1)
    return [(Camera(K, ORBIT_SIDE, ORBIT_SIDE), look_at(centre + reach * toward, centre)) for toward in away]


def orbit_pictures(shape: GeneratedShape) -> list[F32]:
    """(512, 512, 3) in [0, 1], on white, of each camera of `orbit`."""
    return [shape.show(_target(camera, T))[0] for camera, T in orbit(shape.mesh)]


def photo_scores(shape: GeneratedShape) -> dict[str, float]:
    """`picture_scores` against the picture it was made of; empty where there is none, or its side is not known.

    A picture with a camera is compared as a left-out view is. Of one without, of which the generator fixes the side
    alone, both pictures are cut to their own object.
    """
    if shape.view is None or shape.cutout is None:
        return {}
    if shape.measured:
        target = cut_target(shape.view)
        return picture_scores(*shape.show(target), target)
    picture, silhouette = shape.show(_target(shape.view.camera, shape.view.T_world_camera))
    drawn = Cutout((picture * 255.0).round().astype(np.uint8), silhouette.astype(np.float32), f"{shape.name}, rendered")
    found, true = (recentre(cutout, PICTURE_SIDE, BORDER).cutout for cutout in (drawn, shape.cutout))
    target = Target(replace(shape.view, mask=true.mask), true.on(1.0))
    return picture_scores(found.on(1.0), found.mask, target)


def clip_scores(shapes: Sequence[GeneratedShape], seen: Sequence[F32], clip: Clip) -> list[dict[str, float]]:
    """``clip`` and, where there are several subjects of a kind, ``r_precision`` of each shape.

    ``seen``: of each, (8, D) `Clip.pictures` of its `orbit_pictures`.
    """
    words = list(dict.fromkeys(shape.words for shape in shapes if shape.cutout is None))
    pictures = {shape.cutout.rgba().tobytes(): shape.cutout for shape in shapes if shape.cutout is not None}
    subjects = [recentre(cutout, ORBIT_SIDE, BORDER).cutout.on(1.0) for cutout in pictures.values()]
    of_words = clip.words(words) if words else None
    of_pictures = clip.pictures(subjects) if subjects else None
    scores = []
    for shape, vectors in zip(shapes, seen, strict=True):
        if shape.cutout is None:
            own, subject = words.index(shape.words), of_words
        else:
            own, subject = list(pictures).index(shape.cutout.rgba().tobytes()), of_pictures
        assert subject is not None
        cosines = vectors @ subject.T
        row = {"clip": float(100.0 * cosines[:, own].clip(min=0.0).mean())}
        if len(subject) > 1:
            row["r_precision"] = float((cosines.argmax(axis=1) == own).mean())
        scores.append(row)
    return scores


def _target(camera: Camera, T_world_camera: F64) -> Target:
    """A place to look from, with nothing seen there."""
    blank = np.full((camera.height, camera.width, 3), 255, np.uint8)
    return Target(View(blank, camera, T_world_camera), blank / np.float32(255.0))
