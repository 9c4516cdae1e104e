"""A generator that knows the truth: views of a known mesh, or the mesh, in the canonical frame of one picture's camera;
as good as a network can get, or spoilt."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.errors import stop_if
from mvgamba_ros.generate.canonical_cameras import AZIMUTHS, orbit_pose, square_camera
from mvgamba_ros.generate.generator import Generated, GeneratedMesh, GeneratedViews, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.similarity import Similarity
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F64, Cancelled, Mesh, Progress, View


def true_similarity(truth: Mesh, T_world_camera: F64) -> Similarity:
    """Canonical to world: the camera at azimuth 0, the object upright, its longest side 0.9, which the canonical
    cameras see whole."""
    low, high = truth.vertices.min(axis=0), truth.vertices.max(axis=0)
    centre = 0.5 * (low + high)
    away = T_world_camera[:3, 3] - centre
    turn = np.arctan2(away[1], away[0])
    c, s = np.cos(turn), np.sin(turn)
    return Similarity(float((high - low).max()) / 0.9, np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), centre)


def canonical(truth: Mesh, T_world_camera: F64) -> Mesh:
    """``truth`` in the frame of `true_similarity`."""
    placed = true_similarity(truth, T_world_camera)
    return replace(truth, vertices=(truth.vertices - placed.t) @ placed.R / placed.scale)


@dataclass
class Oracle:
    """Ray casts ``truth`` (canonical). ``distortion``: pixels by which each view is bent, by a smooth grid of its own.
    ``wrong``: index of a view that shows the object lying on its side."""

    truth: Mesh
    as_mesh: bool = False
    distortion: float = 0.0
    wrong: int | None = None
    size: int = 256
    name: str = "oracle"
    calls: list[int] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=lambda: {"weights": "the truth"})

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> Generated:
        self.calls.append(seed)
        azimuth = None if subject.cutout is None else 0.0
        if self.as_mesh:
            return GeneratedMesh(self.truth, azimuth)
        views = []
        for index, turn in enumerate(AZIMUTHS):
            stop_if(cancelled)
            progress("paint", index / len(AZIMUTHS))
            views.append(self._view(index, orbit_pose(turn), np.random.default_rng(seed + index)))
        return GeneratedViews(tuple(views), azimuth)

    def _view(self, index: int, T: F64, rng: np.random.Generator) -> View:
        mesh = self.truth
        if index == self.wrong:
            mesh = replace(mesh, vertices=mesh.vertices[:, [0, 2, 1]], faces=mesh.faces[:, ::-1].copy())
        camera = square_camera(self.size)
        picture = Raycaster(mesh).render(camera, T)
        image = np.where(picture.mask[..., None], picture.color, 255).astype(np.uint8)
        mask = picture.mask
        if self.distortion:
            grid = rng.uniform(-1.0, 1.0, (2, 5, 5)).astype(np.float32) * self.distortion
            moved = np.stack([cv2.resize(g, (self.size, self.size), interpolation=cv2.INTER_CUBIC) for g in grid])
            y, x = np.mgrid[: self.size, : self.size].astype(np.float32)
            image = cv2.remap(image, x + moved[0], y + moved[1], cv2.INTER_LINEAR, borderValue=(255, 255, 255))
            bent = cv2.remap(mask.astype(np.float32), x + moved[0], y + moved[1], cv2.INTER_LINEAR)
            mask = bent > 0.5
        return View(image, camera, T, mask=mask, name=f"oracle {index}")


KNOWN: dict[str, Oracle] = {}
"""What `from_options` makes, by the weights' name."""


def from_file(options: GeneratorOptions) -> Oracle:
    """The factory to install, for a process of its own: the weights are a mesh file, of the truth."""
    return Oracle(read_mesh(options.weights), as_mesh=True)


def installed(site: Path) -> str:
    """Makes ``site`` a folder with a package that brings the generator ``oracle``; a PYTHONPATH that finds it."""
    metadata = site / "oracle_package-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: oracle-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[mvgamba_ros.generators]\noracle = oracle:from_file\n")
    return os.pathsep.join(filter(None, [str(site), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


def from_options(options: GeneratorOptions) -> Oracle:
    """The factory to register: ``oracle:from_options``."""
    return KNOWN[options.weights]
