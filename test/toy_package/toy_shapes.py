"""A package that brings one extension of each kind; the test of the registry installs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.sources import Source
from mvgamba_ros.types import Camera, Cancelled, Mesh, Progress, Prompts, View

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
"""Corners of each side, counter-clockwise seen from outside."""


class BoundingBoxMethod:
    """The axis-parallel bounding box of the visual hull."""

    name = "bounding-box"

    def __init__(self, options: Options) -> None:
        if options.checkpoint:
            raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"{options.checkpoint}: a box has no weights")

    def __call__(
        self, views: Sequence[View], hull: DistanceField, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        stop_if(cancelled)
        low, high = hull.bounds()
        faces = np.concatenate([QUADS[:, [0, 1, 2]], QUADS[:, [0, 2, 3]]]).astype(np.int32)
        progress("method", 1.0)
        return Shape(Mesh(low + CORNERS * (high - low), faces, np.full((8, 3), 128, np.uint8)))


class RedSegmenter:
    """What is red. Has an ``embed``, as a segmenter that computes an embedding of each image."""

    name = "red"

    def __init__(self, options: Options) -> None:
        pass

    def embed(self, view: View) -> None:
        print(f"{self.name}: embedded a view of {view.image.shape[1]} x {view.image.shape[0]}", flush=True)

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        colors = [view.image.astype(np.int16) for view in views]
        return Silhouettes([image[..., 0] > image[..., 1] + 30 for image in colors])


def cuboids(seed: int, count: int) -> Source:
    return Procedural(seed, count, {"box": 1.0})


class NpzReader:
    """images (V, H, W, 3) uint8, K (3, 3) and T_world_camera (V, 4, 4), all in one file."""

    layout = "an .npz file of images, K and T_world_camera"

    def recognises(self, path: Path, views_file: str) -> bool:
        return path.suffix == ".npz" and path.is_file()

    def read(self, path: Path, views_file: str) -> list[View]:
        content = np.load(path)
        images = content["images"]
        camera = Camera(content["K"], images.shape[2], images.shape[1])
        return [View(image, camera, T) for image, T in zip(images, content["T_world_camera"], strict=True)]
