"""The textured mesh as files that other programs take: mesh.obj with mesh.mtl and texture.png, mesh.glb and mesh.usdz
with the picture inside, and texture_seen.png.

OBJ has no unit and no frame: metres, z up, in the frame of `model_frame`. GLB is metres and y up by its standard, so
its node turns the same coordinates; a reader that applies nodes gets (x, z, -y). texture_seen.png has the layout of
texture.png: of each texel how many views saw it, 0 where its colour spread there from around.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.io.usd_file import usdz
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import F32, F64, I64, U8, Mesh, TextureMap

Y_UP = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""From z up to y up."""
MATERIAL = "newmtl surface\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd texture.png\n"


def model_frame(result: Reconstruction) -> F64:
    """(4, 4) ``T_world_model``: where the textured files have their origin, by the option ``origin``."""
    if result.settings.get("options", {}).get("origin", "world") == "box":
        return result.box.T_world_box
    return np.eye(4)


def write_model(folder: Path, result: Reconstruction) -> None:
    """Writes the files of a ``result`` with a texture into ``folder``. Raises CANNOT_WRITE."""
    texture = result.texture
    assert texture is not None
    T_model_world = inverse(model_frame(result))
    write_file(folder / "texture.png", encode_png(texture.image))
    write_file(folder / "texture_seen.png", encode_png(texture.seen))
    write_file(folder / "mesh.mtl", MATERIAL.encode())
    write_file(folder / "mesh.obj", obj_text(transform(T_model_world, result.mesh.vertices), result.mesh, texture))
    write_file(folder / "mesh.glb", glb(result.mesh, texture, T_model_world))
    write_file(folder / "mesh.usdz", usdz(result.mesh, texture, T_model_world))


def obj_text(vertices: F64, mesh: Mesh, texture: TextureMap) -> bytes:
    """Of ``vertices`` (V, 3) with the faces of ``mesh``: each vertex once, so that a closed mesh stays closed, with
    places in the picture of their own."""
    uv, corners = _places(texture)
    indices = np.stack([mesh.faces, corners.reshape(-1, 3)], axis=2).reshape(-1, 6) + 1
    text = io.StringIO()
    text.write("# metres, z up\nmtllib mesh.mtl\no object\nusemtl surface\n")
    np.savetxt(text, vertices, "v %.6f %.6f %.6f")
    np.savetxt(text, uv, "vt %.6f %.6f")
    np.savetxt(text, indices, "f %d/%d %d/%d %d/%d")
    return text.getvalue().encode()


def glb(mesh: Mesh, texture: TextureMap, T_model_world: F64) -> bytes:
    """``mesh`` with its texture inside, in the frame of ``T_model_world`` (4, 4)."""
    import trimesh
    from PIL import Image

    uv, corners = _places(texture)
    split, index = np.unique(np.stack([mesh.faces.ravel(), corners], axis=1), axis=0, return_inverse=True)
    material = _matt(baseColorTexture=Image.fromarray(texture.image))
    visual = trimesh.visual.TextureVisuals(uv=uv[split[:, 1]], material=material)
    return _glb(mesh, split[:, 0], index.reshape(-1, 3), visual, T_model_world)


def colored_glb(mesh: Mesh, colors: U8, T_model_world: F64) -> bytes:
    """As `glb`, with ``colors`` (V, 3) of the vertices instead of a texture; glTF has these linear in light."""
    import trimesh

    share = colors / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    rgba = np.column_stack([linear * 255.0, np.full(len(colors), 255.0)]).round().astype(np.uint8)
    visual = trimesh.visual.TextureVisuals(material=_matt())
    visual.vertex_attributes["color"] = rgba
    return _glb(mesh, np.arange(len(mesh.vertices)), mesh.faces, visual, T_model_world)


def _matt(**picture: Any) -> Any:
    from trimesh.visual.material import PBRMaterial

    return PBRMaterial(name="surface", metallicFactor=0.0, roughnessFactor=1.0, **picture)


def _glb(mesh: Mesh, vertices: I64, faces: np.ndarray, visual: Any, T_model_world: F64) -> bytes:
    """``faces`` of the mesh's ``vertices`` (N,), which are float32 around the mesh's middle: the node's matrix puts it
    in its place, so that nothing is rounded far from the origin."""
    import trimesh

    middle = 0.5 * (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0))
    placed = np.eye(4)
    placed[:3, 3] = middle
    whole = trimesh.Trimesh(mesh.vertices - middle, mesh.faces, process=False)
    shape = trimesh.Trimesh(
        whole.vertices[vertices],
        faces,
        vertex_normals=whole.vertex_normals[vertices],
        visual=visual,
        process=False,
    )
    scene = trimesh.Scene()
    scene.add_geometry(shape, node_name="object", geom_name="object", transform=Y_UP @ T_model_world @ placed)
    content: Any = scene.export(file_type="glb", include_normals=True)
    return bytes(content)


def _places(texture: TextureMap) -> tuple[F32, I64]:
    """Distinct places (P, 2) in the picture, y up from its lower left corner as OBJ and trimesh have them, and of each
    face's corners the index, (3 F,)."""
    places, corners = np.unique(texture.uv.reshape(-1, 2), axis=0, return_inverse=True)
    places[:, 1] = 1.0 - places[:, 1]
    return places, corners.ravel()
