"""The texels of an atlas: which face each shows, and where on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.texturing.unwrap import Atlas
from mvgamba_ros.types import F64, I32, I64, U8, Bool

SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Texels:
    """The N texels that show some of the mesh.

    Attributes:
        at: (N,) their indices in the flattened picture.
        face: (N,) of the mesh.
        barycentric: (N, 3) of their centres on the face; a little below 0 at an edge, where the texel sticks out.
    """

    at: I64
    face: I32
    barycentric: F64

    def interpolated(self, faces: I32, values: F64) -> F64:
        """``values`` (V, C) of the vertices at the texels, (N, C); ``faces`` (F, 3) are the mesh's."""
        corners = faces[self.face]
        result = self.barycentric[:, :1] * values[corners[:, 0]]
        for k in (1, 2):
            result += self.barycentric[:, k : k + 1] * values[corners[:, k]]
        return result


def cover(atlas: Atlas) -> Texels:
    """Every texel that a face of ``atlas`` covers or touches."""
    label = np.full((atlas.height, atlas.width), -1, np.int32)
    corners = np.round((atlas.corners - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)  # OpenCV's centres are integers
    for index, triangle in enumerate(corners):
        cv2.fillConvexPoly(label, triangle, index, cv2.LINE_8, SUBPIXEL_BITS)
    at = np.flatnonzero(label >= 0)
    face = label.ravel()[at]
    row, column = np.divmod(at, atlas.width)
    a, b, c = (atlas.corners[:, k] for k in range(3))
    edges = np.stack([b - a, c - a], axis=2)
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    area = np.where(np.abs(area) < 1e-9, np.inf, area)[face]  # a face without area shows its first corner
    x, y = column + 0.5 - a[face, 0], row + 0.5 - a[face, 1]
    u = (x * edges[face, 1, 1] - y * edges[face, 0, 1]) / area
    v = (y * edges[face, 0, 0] - x * edges[face, 1, 0]) / area
    barycentric = np.stack([1.0 - u - v, u, v], axis=1)
    # far outside a sliver its plane tells nothing
    barycentric = np.clip(barycentric, -0.5, 1.5)
    barycentric /= barycentric.sum(axis=1, keepdims=True)
    return Texels(at, face, barycentric)


def spread(picture: U8, covered: Bool) -> U8:
    """``picture`` (H, W, ...) with every texel that is not ``covered`` (H, W) a copy of the nearest one that is."""
    if covered.all() or not covered.any():
        return picture
    _, labels = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    source = np.zeros(int(labels.max()) + 1, np.int64)
    source[labels[covered]] = np.flatnonzero(covered)
    result: U8 = picture.reshape(-1, *picture.shape[2:])[source[labels]]
    return result
