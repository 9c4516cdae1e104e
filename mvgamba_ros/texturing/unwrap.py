"""An atlas of a mesh: charts that lie flat in one picture, by xatlas, or Open3D's UVAtlas where that is not there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from mvgamba_ros.types import F64, Mesh

FILLED = 0.7
"""Of the atlas, by charts: where a first guess of its side starts from; not a setting."""
TRIES = 3
"""With larger texels, where an atlas came out too large; not a setting."""
LEAST_PACKED = 256
"""Side of a picture in which UVAtlas finds room for every gutter; not a setting."""
STRETCH = 1.0 / 6.0
"""Most stretch that UVAtlas may give a chart; its own default."""


@dataclass(frozen=True)
class Atlas:
    """Where each face lies in a picture.

    Attributes:
        corners: (F, 3, 2) of each face's corners, x right and y down, in texels from the top-left corner.
        width: Of the picture, texels.
        height: Of the picture, texels.
        made_by: The library and its version.
    """

    corners: F64
    width: int
    height: int
    made_by: str


def unwrap(mesh: Mesh, texel: float, largest: int, padding: int) -> Atlas:
    """Charts of ``mesh`` with texels of about ``texel`` metres, larger where the picture's side would be more than
    ``largest``; ``padding`` texels between charts."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = 0.5 * float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
    texel = max(texel, math.sqrt(area / FILLED) / largest)
    if find_spec("xatlas") is None:
        side = min(largest, max(64, math.ceil(math.sqrt(area / FILLED) / texel)))
        return _by_uvatlas(mesh, side, padding)
    atlas = _by_xatlas(mesh, texel, padding)
    for _ in range(TRIES):
        too_large = max(atlas.width, atlas.height) / largest
        if too_large <= 1.0:
            return atlas
        texel *= 1.02 * too_large
        atlas = _by_xatlas(mesh, texel, padding)
    shrink = min(1.0, largest / max(atlas.width, atlas.height))  # it is the padding that needs the room
    width, height = (max(1, int(side * shrink)) for side in (atlas.width, atlas.height))
    corners = atlas.corners * [width / atlas.width, height / atlas.height]
    return replace(atlas, corners=corners, width=width, height=height)


def _by_xatlas(mesh: Mesh, texel: float, padding: int) -> Atlas:
    import xatlas

    made: Any = xatlas.Atlas()
    around = mesh.vertices - mesh.vertices.mean(axis=0)  # in texels, since xatlas has absolute tolerances
    made.add_mesh((around / texel).astype(np.float32), mesh.faces.astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    packing.texels_per_unit, packing.padding, packing.bilinear = 1.0, padding, True
    made.generate(charts, packing)
    _, faces, uv = made[0]
    width, height = max(int(made.width), 1), max(int(made.height), 1)
    corners = np.asarray(uv, np.float64)[np.asarray(faces, np.int64)] * [width, height]
    return Atlas(corners, width, height, f"xatlas {version('xatlas')}")


def _by_uvatlas(mesh: Mesh, side: int, padding: int) -> Atlas:
    import open3d as o3d

    tensor: Any = o3d.core.Tensor  # its stubs lack float32 arrays
    shape = o3d.t.geometry.TriangleMesh(
        tensor((mesh.vertices - mesh.vertices.mean(axis=0)).astype(np.float32)), tensor(mesh.faces.astype(np.int32))
    )
    with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
        shape.compute_uvatlas(size=max(side, LEAST_PACKED), gutter=float(padding), max_stretch=STRETCH)
    corners = shape.triangle.texture_uvs.numpy().astype(np.float64) * side
    return Atlas(corners, side, side, f"UVAtlas of Open3D {o3d.__version__}")
