"""The textured mesh as USDZ, which Isaac Sim, Omniverse, Blender, usdview and Apple's viewers open: a zip archive,
uncompressed, of a scene in USD's text format and the picture.

After Pixar's specifications of USDZ and of UsdPreviewSurface. Metres, z up, both stated in the file.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.types import F64, Mesh, TextureMap

ALIGNMENT = 64
"""Bytes that the content of each file in the archive begins at a multiple of."""
PADDING_ID = 0x1986
"""Of the extra field that fills up to there."""
HEADER_BYTES = 30
"""Of a file's header in a zip archive, without its name and extra field."""
SCENE = """#usda 1.0
(
    defaultPrim = "object"
    metersPerUnit = 1
    upAxis = "Z"
)

def Xform "object" (
    kind = "component"
)
{{
    double3 xformOp:translate = {middle}
    uniform token[] xformOpOrder = ["xformOp:translate"]

    def Mesh "mesh" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {{
        uniform bool doubleSided = 0
        float3[] extent = [{extent}]
        int[] faceVertexCounts = [{counts}]
        int[] faceVertexIndices = [{indices}]
        rel material:binding = </object/surface>
        point3f[] points = [{points}]
        texCoord2f[] primvars:st = [{places}] (
            interpolation = "faceVarying"
        )
        int[] primvars:st:indices = [{corners}]
        uniform token subdivisionScheme = "none"
    }}

    def Material "surface"
    {{
        token outputs:surface.connect = </object/surface/shader.outputs:surface>

        def Shader "shader"
        {{
            uniform token info:id = "UsdPreviewSurface"
            color3f inputs:diffuseColor.connect = </object/surface/picture.outputs:rgb>
            float inputs:metallic = 0
            float inputs:roughness = 1
            token outputs:surface
        }}

        def Shader "picture"
        {{
            uniform token info:id = "UsdUVTexture"
            asset inputs:file = @texture.png@
            token inputs:sourceColorSpace = "sRGB"
            float2 inputs:st.connect = </object/surface/place.outputs:result>
            token inputs:wrapS = "clamp"
            token inputs:wrapT = "clamp"
            float3 outputs:rgb
        }}

        def Shader "place"
        {{
            uniform token info:id = "UsdPrimvarReader_float2"
            string inputs:varname = "st"
            float2 outputs:result
        }}
    }}
}}
"""
"""Filled in by `usda`."""


def usdz(mesh: Mesh, texture: TextureMap, T_model_world: F64) -> bytes:
    """``mesh`` with its texture inside, in the frame of ``T_model_world`` (4, 4)."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            ("mesh.usda", usda(mesh, texture, T_model_world)),
            ("texture.png", encode_png(texture.image)),
        ):
            info = zipfile.ZipInfo(name)  # of no date, so that the same result is the same file
            start = content.tell() + HEADER_BYTES + len(name)
            room = -(start + 4) % ALIGNMENT
            info.extra = PADDING_ID.to_bytes(2, "little") + room.to_bytes(2, "little") + bytes(room)
            archive.writestr(info, data)
    return content.getvalue()


def usda(mesh: Mesh, texture: TextureMap, T_model_world: F64) -> bytes:
    """The scene in text: each vertex once, so that a closed mesh stays closed, with places in texture.png of its own.
    Points are float32 around the mesh's middle, where it is put by a translation in float64."""
    vertices = transform(T_model_world, mesh.vertices)
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    vertices = vertices - middle
    places, corners = np.unique(texture.uv.reshape(-1, 2), axis=0, return_inverse=True)
    places[:, 1] = 1.0 - places[:, 1]  # from the lower left corner
    return SCENE.format(
        middle=_tuples(middle[None]),
        extent=_tuples(np.stack([vertices.min(axis=0), vertices.max(axis=0)])),
        counts=", ".join(["3"] * len(mesh.faces)),
        indices=", ".join(map(str, mesh.faces.ravel().tolist())),
        points=_tuples(vertices),
        places=_tuples(places),
        corners=", ".join(map(str, corners.ravel().tolist())),
    ).encode()


def _tuples(rows: np.ndarray) -> str:
    return ", ".join(f"({', '.join(f'{value:.6f}' for value in row)})" for row in rows.tolist())
