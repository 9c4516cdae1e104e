"""What stands on the table: an object that a wheel ships, by name, or any mesh file.

Named objects come from the robosuite wheel (MIT), of which only the files are used; it is never imported. A mesh file
(GLB, OBJ, PLY, STL: what trimesh reads) must be in metres, z up; its texture or its vertex colours are kept.
"""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.sim.engine import mujoco

if TYPE_CHECKING:
    import trimesh

OBJECTS = ("bottle", "bread", "can", "cereal", "lemon", "milk")
"""The objects that have a name."""

MIN_SIZE, MAX_SIZE = 0.02, 0.3
"""Metres: a longest side outside of this is not an object for this arm (and is probably millimetres)."""


def assets() -> Path:
    """The folder of robosuite's models. Raises MISSING_PACKAGE where the wheel is not installed."""
    spec = importlib.util.find_spec("robosuite")
    if spec is None or not spec.submodule_search_locations:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            "the simulated arm takes its model from the robosuite wheel: pip install --no-deps robosuite==1.5.2",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "models" / "assets"


def object_spec(name: str) -> mujoco.MjSpec:
    """A MuJoCo model with one body ``object``: the shipped object ``name``, or the mesh file of that path.

    Raises BAD_OPTION for a name that is neither, an unreadable file or a size outside [MIN_SIZE, MAX_SIZE].
    """
    if name in OBJECTS:
        return mujoco.MjSpec.from_file(str(assets() / "objects" / f"{name}.xml"))
    path = Path(name)
    if not path.is_file():
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"object {name!r}: neither one of {', '.join(OBJECTS)} nor a mesh file"
        )
    return _mesh_spec(_read_mesh(path))


def _read_mesh(path: Path) -> trimesh.Trimesh:
    import trimesh

    with boundary(ErrorCode.BAD_OPTION, f"object {path}", "not a mesh that can be read"):
        mesh = trimesh.load_mesh(path)
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"object {path}: holds no triangles")
    if path.suffix.lower() in (".glb", ".gltf"):  # glTF is y up
        mesh.apply_transform([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    size = float(mesh.extents.max())
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"object {path}: its longest side is {size:.4g} m, it must lie in [{MIN_SIZE}, {MAX_SIZE}]; "
            "mesh files are taken to be in metres",
        )
    return mesh


def _mesh_spec(mesh: trimesh.Trimesh) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    vertices, faces, uv, image = _textured(mesh)
    spec.assets = {"object.png": image}
    texture = spec.add_texture(name="object", type=mujoco.mjtTexture.mjTEXTURE_2D, file="object.png")
    material = spec.add_material(name="object", specular=0.2, shininess=0.3)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture.name
    spec.add_mesh(
        name="object",
        uservert=vertices.ravel(),
        userface=faces.ravel(),
        usertexcoord=uv.ravel(),
        userfacetexcoord=faces.ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,  # scans are seldom closed
    )
    body = spec.worldbody.add_body(name="object")
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH, meshname="object", material="object", density=300.0, friction=[0.9, 0.3, 0.1]
    )
    return spec


def _textured(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray, np.ndarray, bytes]:
    """Vertices, faces, texture coordinates and a PNG. MuJoCo knows no vertex colours, so a mesh that has those gets
    an atlas of one texel per face; its vertices are no longer shared then."""
    from PIL import Image

    visual: Any = mesh.visual
    material = getattr(visual, "material", None)
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    uv = getattr(visual, "uv", None)
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32)
    if picture is None or uv is None:
        colors = (visual.to_color() if uv is not None else visual).face_colors
        side = int(np.ceil(np.sqrt(len(faces))))
        texels = np.zeros((side * side, 3), np.uint8)
        texels[: len(faces)] = colors[:, :3]
        picture = Image.fromarray(texels.reshape(side, side, 3))
        index = np.repeat(np.arange(len(faces)), 3)
        uv = np.stack([(index % side + 0.5) / side, 1.0 - (index // side + 0.5) / side], axis=1)
        vertices, faces = vertices[faces.ravel()], np.arange(len(index), dtype=np.int32).reshape(-1, 3)
    png = io.BytesIO()
    picture.convert("RGB").save(png, format="PNG")
    return vertices, faces, np.asarray(uv, np.float64), png.getvalue()
