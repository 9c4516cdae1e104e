"""Sweet Home 3D's catalogues of models as a source of everyday objects of true sizes.

A catalogue is a zip with the suffix .sh3f: models, most of them OBJ, and ``PluginFurnitureCatalog.properties``, which
has for the n-th model ``id#n``, ``model#n``, its path in the zip, ``width#n``, ``depth#n`` and ``height#n`` in
centimetres, and ``modelRotation#n``. Debian ships five of them with 820 models as the package sweethome3d-furniture.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.synthesis.loaded_mesh import Y_UP, mesh_piece
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh, assemble
from mvgamba_ros.types import F64

INSTALLED = Path("/usr/share/sweethome3d/furniture")
"""Where Debian's package sweethome3d-furniture has them."""
CATALOGUES = "*.sh3f"
PROPERTIES = "PluginFurnitureCatalog.properties"
SIDES_CM = (2.0, 35.0)
"""Longest sides of the objects that are taken: what a hand grasps."""
HALVES = ("train", "test")
CC0 = re.compile(r"Creative Commons Zero|publicdomain/(zero|mark)|\bCC-?0\b", re.I)
CC_BY = re.compile(r"Creative Commons (3\.0 )?Attribution(?![- ]?(Share|Non|No))|licenses/by/", re.I)
LIMITED = re.compile(r"licenses/by-(nc|nd|sa)|NonCommercial|NoDeriv|ShareAlike", re.I)
EACH_ITS_OWN = re.compile(r"license files included in the folder of each model", re.I)


@dataclass(frozen=True)
class CatalogueModel:
    """One model of a catalogue. ``size`` (3,): along x, y and z once it stands, metres."""

    catalogue: Path
    id: str
    name: str
    path: str
    size: F64
    rotation: F64
    creator: str
    licence: str
    """"CC0" or "CC-BY 3.0"."""

    @property
    def half(self) -> str:
        """Which half of the models it belongs to, by the letters of its name alone: variants stay together."""
        stem = re.sub(r"[^a-z]", "", self.id.partition("#")[2].lower())
        return HALVES[hashlib.sha256(stem.encode()).digest()[0] % 2]


def read_catalogue(file: Path) -> list[CatalogueModel]:
    """The models of a catalogue whose longest side is within `SIDES_CM` and whose licence is clear (`clear_licence`).
    Raises BAD_CAPTURE for a file that is none."""
    with boundary(ErrorCode.BAD_CAPTURE, file, "give a catalogue of Sweet Home 3D (.sh3f)"), zipfile.ZipFile(file) as z:
        rows: dict[int, dict[str, str]] = defaultdict(dict)
        for line in z.read(PROPERTIES).decode("latin-1").splitlines():
            found = re.fullmatch(r"\s*(\w+)#(\d+)\s*=(.*)", line)
            if found:
                rows[int(found[2])][found[1]] = found[3].strip()
        models = []
        for _, row in sorted(rows.items()):
            path = row["model"].lstrip("/")
            size = np.array([float(row[side]) for side in ("width", "depth", "height")])
            if not SIDES_CM[0] <= size.max() <= SIDES_CM[1] or not path.lower().endswith(".obj"):
                continue
            licence = clear_licence(z, path)
            if licence:
                rotation = np.array([float(x) for x in row.get("modelRotation", "1 0 0 0 1 0 0 0 1").split()])
                models.append(
                    CatalogueModel(
                        file,
                        row["id"],
                        row.get("name", row["id"]),
                        path,
                        size / 100,
                        rotation.reshape(3, 3),
                        row.get("creator", ""),
                        licence,
                    )
                )
        return models


def clear_licence(z: zipfile.ZipFile, path: str) -> str:
    """CC0 or CC-BY 3.0, as the licence file beside a model in the zip states, or, without one, the catalogue's, unless
    that refers to the models' own; empty where neither is plainly one of the two."""
    folder = path.rpartition("/")[0] + "/"
    own = [name for name in z.namelist() if name.startswith(folder) and "licen" in name.rpartition("/")[2].lower()]
    texts = [z.read(name).decode("latin-1") for name in own]
    if not own:
        whole = next((name for name in z.namelist() if name.lower() == "license.txt"), "")
        texts = [z.read(whole).decode("latin-1")] if whole else []
        if any(EACH_ITS_OWN.search(text) for text in texts):
            return ""
    if not texts or any(LIMITED.search(text) for text in texts):
        return ""
    kinds = {"CC0" if CC0.search(text) else "CC-BY 3.0" if CC_BY.search(text) else "" for text in texts}
    return kinds.pop() if len(kinds) == 1 else ""


@dataclass(frozen=True)
class Furniture:
    """The models of all catalogues in a folder, in order of their ids, each at its true size, standing.

    ``half``: "train", "test", or empty for all. Raises BAD_CAPTURE where there is no catalogue, or one cannot be read,
    BAD_OPTION for another half.
    """

    path: Path
    half: str = ""

    @cached_property
    def models(self) -> list[CatalogueModel]:
        if self.half not in (*HALVES, ""):
            raise ReconstructionError(ErrorCode.BAD_OPTION, f"half '{self.half}': give {' or '.join(HALVES)}")
        files = sorted(self.path.glob(CATALOGUES))
        if not files:
            raise ReconstructionError(
                ErrorCode.BAD_CAPTURE,
                f"{self.path} holds no catalogue ({CATALOGUES}): apt-get install sweethome3d-furniture, or unpack its "
                "package by dpkg-deb -x and give the folder usr/share/sweethome3d/furniture of it",
            )
        found = [model for file in files for model in read_catalogue(file)]
        return sorted((m for m in found if self.half in ("", m.half)), key=lambda model: model.id)

    def __len__(self) -> int:
        return len(self.models)

    def name_of(self, index: int) -> str:
        """Of an object: its id."""
        return self.models[index].id

    def __getitem__(self, index: int) -> TexturedMesh:
        import trimesh

        model = self.models[index]
        rng = np.random.default_rng([0, index])  # paints what has no colour
        with boundary(ErrorCode.BAD_CAPTURE, f"{model.catalogue}: {model.path}", "leave the catalogue out"):
            with zipfile.ZipFile(model.catalogue) as z:
                resolver: Any = _InZip(z, model.path.rpartition("/")[0])
                scene = trimesh.load_scene(io.BytesIO(z.read(model.path)), file_type="obj", resolver=resolver)
                pieces = [mesh_piece(mesh, rng) for mesh in scene.dump() if len(getattr(mesh, "faces", ()))]
            if not pieces:
                raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{model.path} has no triangles")
            standing = Y_UP @ model.rotation
            pieces = [(part.turned(standing), images, gloss) for part, images, gloss in pieces]
            low = np.min([part.vertices.min(0) for part, _, _ in pieces], axis=0)
            high = np.max([part.vertices.max(0) for part, _, _ in pieces], axis=0)
            scale = model.size / np.maximum(high - low, 1e-9)
            pieces = [(part.moved(lambda p: (p - (low + high) / 2) * scale), a, b) for part, a, b in pieces]
            return replace(assemble(pieces, f"sweethome3d {model.name}"), upright=True)


class _InZip:
    """The files beside a model in its zip, for trimesh."""

    def __init__(self, z: zipfile.ZipFile, folder: str) -> None:
        self._z, self._folder = z, folder

    def __getitem__(self, name: str) -> bytes:
        name = name.strip().replace("\\", "/").removeprefix("./")
        return self._z.read(f"{self._folder}/{name}" if self._folder else name)

    get = __getitem__


def open_train(seed: int, count: int) -> Furniture:
    """The half of Debian's sweethome3d-furniture to train on; seed and count are not used, its models are given."""
    return Furniture(INSTALLED, "train")


def open_test(seed: int, count: int) -> Furniture:
    """The other half, to measure by."""
    return Furniture(INSTALLED, "test")
