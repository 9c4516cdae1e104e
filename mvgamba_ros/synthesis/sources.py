"""Where training objects come from: our families, PyBullet's, robosuite's, or a folder of meshes.

A source is a sequence of `TexturedMesh`; the same seed and index always give the same object.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.io.mesh_headers import check_mesh_header
from mvgamba_ros.registry import available
from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.draw import rotation
from mvgamba_ros.synthesis.furniture import CATALOGUES, Furniture
from mvgamba_ros.synthesis.loaded_mesh import Y_UP, Piece, mesh_piece, mesh_tile, within_texture
from mvgamba_ros.synthesis.registered_source import registered
from mvgamba_ros.synthesis.textured_mesh import Material, Part, TexturedMesh, assemble, box_uv

SIZES_M = (0.02, 0.3)
"""Largest side that a robot's hand grasps. Objects of other sizes are in other units, and are scaled to between 5 and
25 cm."""
MESH_FILES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")


class Source(Protocol):
    """Objects by index: the same index always gives the same object, centred on the origin, in metres.

    What is registered as an object source is a function ``(seed: int, count: int) -> Source``. ``count`` is how many
    objects are wanted: a source that makes them up has that many; one that has a fixed number may have fewer or more.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> TexturedMesh: ...


def _sized(mesh: TexturedMesh, rng: np.random.Generator) -> TexturedMesh:
    """About the origin, and no larger or smaller than what a hand grasps. Raises ValueError for a mesh without size."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    side = float((high - low).max())
    if not 0.0 < side < np.inf:
        raise ValueError(f"its longest side is {side:g}")
    target = side if SIZES_M[0] <= side <= SIZES_M[1] else float(np.exp(rng.uniform(np.log(0.05), np.log(0.25))))
    return replace(mesh, vertices=(mesh.vertices - (low + high) / 2) * (target / side))


@dataclass(frozen=True)
class Folder:
    """Every mesh file under a folder (Objaverse, Google Scanned Objects, ShapeNet, one's own), in order of path.

    glTF stands y up, as its standard says, and keeps its own upright pose; other formats say nothing of it and come to
    rest anyhow. Raises ``BAD_CAPTURE`` where there is no mesh, or one cannot be read.
    """

    path: Path
    seed: int

    @cached_property
    def files(self) -> list[Path]:
        found = sorted(p for p in self.path.rglob("*") if p.suffix.lower() in MESH_FILES)
        if not found:
            raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{self.path} holds no mesh ({', '.join(MESH_FILES)})")
        return found

    def __len__(self) -> int:
        return len(self.files)

    def name_of(self, index: int) -> str:
        """Of an object: its path below the folder, without the suffix."""
        return str(self.files[index].relative_to(self.path).with_suffix(""))

    def __getitem__(self, index: int) -> TexturedMesh:
        import trimesh

        path = self.files[index]
        rng = np.random.default_rng([self.seed, index])
        with boundary(ErrorCode.BAD_CAPTURE, path, "cannot be read as a mesh; take it out, or write it anew"):
            check_mesh_header(path)
            scene = trimesh.load_scene(path)
            pieces = [mesh_piece(mesh, rng) for mesh in scene.dump() if len(getattr(mesh, "faces", ()))]
            if not pieces:
                raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path} has no triangles")
            upright = path.suffix.lower() in (".glb", ".gltf")
            if upright:
                pieces = [(part.turned(Y_UP), images, gloss) for part, images, gloss in pieces]
            return _sized(assemble(pieces, self.path.name, upright), rng)


@dataclass(frozen=True)
class PyBullet:
    """The 1,000 random grasping blobs that PyBullet ships, painted by us: theirs have one colour each."""

    seed: int

    @cached_property
    def files(self) -> list[Path]:
        root = _package("pybullet_data", "pybullet") / "random_urdfs"
        return sorted(root.glob("*/*.obj"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> TexturedMesh:
        import trimesh

        rng = np.random.default_rng([self.seed, index])
        shape = trimesh.load_mesh(self.files[index])
        vertices, faces = np.asarray(shape.vertices) * 0.015, np.asarray(shape.faces, np.int32)  # the URDFs' own scale
        vertices = vertices @ rotation(rng).T
        part = Part(vertices, faces, box_uv(vertices, faces), np.zeros(len(faces), np.int32))
        gloss = Material(float(rng.uniform(0, 0.5)), float(rng.uniform(10, 100)))
        return _sized(assemble([(part, [tex.anything(rng)], gloss)], "pybullet"), rng)


@dataclass(frozen=True)
class Robosuite:
    """The six textured groceries of robosuite, each stretched otherwise each time round."""

    seed: int
    root: Path | None = None
    """The folder of its object XMLs; None finds the installed package."""

    @cached_property
    def files(self) -> list[Path]:
        root = self.root or _package("robosuite", "robosuite") / "models" / "assets" / "objects"
        return [root / f"{name}.xml" for name in ("bottle", "bread", "can", "cereal", "lemon", "milk")]

    def __len__(self) -> int:
        return 100 * len(self.files)

    def __getitem__(self, index: int) -> TexturedMesh:
        import mujoco

        rng = np.random.default_rng([self.seed, index])
        path = self.files[index % len(self.files)]
        model = mujoco.MjModel.from_xml_path(str(path))
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        # what is drawn is in geom group 1; objects that are nothing else have all in group 0
        shown = [g for g in range(model.ngeom) if model.geom_dataid[g] >= 0]
        drawn = [g for g in shown if model.geom_group[g] == 1] or shown
        pieces = [_mujoco_piece(model, data, g, rng) for g in drawn]
        stretch = rng.uniform(0.85, 1.15, 3)
        pieces = [(part.moved(lambda p: p * stretch), images, gloss) for part, images, gloss in pieces]
        return _sized(assemble(pieces, f"robosuite {path.stem}"), rng)


def _mujoco_piece(model: Any, data: Any, geom: int, rng: np.random.Generator) -> Piece:
    mesh = model.geom_dataid[geom]
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    start, number = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    vertices = model.mesh_vert[first : first + count].astype(np.float64)
    vertices = vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
    faces = model.mesh_face[start : start + number].astype(np.int32)
    uv, image = box_uv(vertices, faces), mesh_tile(tex.anything(rng))
    material = model.geom_matid[geom]
    texture = max(model.mat_texid[material]) if material >= 0 else -1
    if texture >= 0:
        h, w, channels = model.tex_height[texture], model.tex_width[texture], model.tex_nchannel[texture]
        begin = model.tex_adr[texture]
        pixels = model.tex_data[begin : begin + h * w * channels].reshape(h, w, channels)
        if model.mesh_texcoordnum[mesh]:
            at = model.mesh_texcoordadr[mesh]
            table = model.mesh_texcoord[at : at + model.mesh_texcoordnum[mesh]]
            uv = within_texture(table[model.mesh_facetexcoord[start : start + number]].astype(np.float32))
        image = mesh_tile(pixels)
    gloss = Material(float(rng.uniform(0, 0.4)), float(rng.uniform(10, 80)))
    return Part(vertices, faces, uv, np.zeros(len(faces), np.int32)), [image], gloss


def _package(module: str, install: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ReconstructionError(ErrorCode.MISSING_PACKAGE, f"objects of {install} need it: pip install {install}")
    return Path(spec.origin).parent


@dataclass(frozen=True)
class Mixture:
    """``count`` objects, each from one of several sources drawn by their shares."""

    sources: tuple[Source, ...]
    shares: tuple[float, ...]
    seed: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> TexturedMesh:
        rng = np.random.default_rng([self.seed, index, 2])
        p = np.asarray(self.shares, np.float64)
        source = self.sources[rng.choice(len(p), p=p / p.sum())]
        return source[index if len(source) >= self.count else int(rng.integers(len(source)))]


def open_pybullet(seed: int, count: int) -> Source:
    """The objects that come with PyBullet; ``count`` is not used, their number is given."""
    return PyBullet(seed)


def open_robosuite(seed: int, count: int) -> Source:
    """The objects that come with robosuite; ``count`` is not used, their number is given."""
    return Robosuite(seed)


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (RuntimeError, ValueError):  # ~user of nobody, a 0 byte
        return False


def open_source(spec: str, seed: int, count: int) -> Source:
    """A registered source (`mvgamba_ros.registry`) by name, or a folder of meshes; or several, with shares:
    ``procedural=0.8,pybullet=0.1,~/meshes=0.1``. A folder of Sweet Home 3D's catalogues gives their models, with
    ``#train`` or ``#test`` behind it those of that half. Raises ``BAD_OPTION`` for what is none of these, and what
    loading a registered one raises."""
    sources: list[Source] = []
    shares: list[float] = []
    for item in spec.split(","):
        name, _, share = item.strip().partition("=")
        try:
            shares.append(float(share or 1))
            usable = 0 < shares[-1] < np.inf
        except ValueError:
            usable = False
        if not usable:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"share {share!r} of source {name!r}: give a number above 0, as in {name}=0.5"
            )
        folder, _, half = name.partition("#")
        if name in available("object_sources"):
            sources.append(registered(name, seed, count))
        elif folder and _is_folder(folder) and any(Path(folder).expanduser().glob(CATALOGUES)):
            sources.append(Furniture(Path(folder).expanduser(), half))
        elif name and _is_folder(name):
            sources.append(Folder(Path(name).expanduser(), seed))
        else:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"source {name!r}: give {', '.join(available('object_sources'))} or a folder of meshes",
            )
    return sources[0] if len(sources) == 1 else Mixture(tuple(sources), tuple(shares), seed, count)
