"""Capture reader of COLMAP's workspaces: a sparse model beside its images.

Layout: https://colmap.github.io/format.html. A model has no unit of length, nor an upright axis, unless it was aligned
to known positions. Masks are those in ``masks``, of the image's path and ".png", or with that in place of its ending.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mvgamba_ros.io.colmap_model import read_model
from mvgamba_ros.io.frame_paths import find_file
from mvgamba_ros.io.pictures_reader import PicturesReader
from mvgamba_ros.io.posed_pictures import PosedPicture, unknown_scale

MODELS = ("", "sparse", "sparse/*", "colmap/sparse", "colmap/sparse/*", "dense/sparse", "distorted/sparse/*")
"""Where a model lies in a workspace, patterns."""
log = logging.getLogger(__name__)


class Colmap(PicturesReader):
    """The capture reader of COLMAP models, see `mvgamba_ros.io.capture_readers`."""

    layout = "a COLMAP workspace: images and sparse/0 with cameras and images as .txt or .bin, or that folder"

    def holds(self, path: Path) -> bool:
        """See `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        return bool(_models(path))

    def pictures(self, path: Path) -> list[PosedPicture]:
        """The registered images of the largest model, see `mvgamba_ros.io.pictures_reader.PicturesReader`."""
        models = sorted(_models(path), key=_size, reverse=True)
        if len(models) > 1:
            others = ", ".join(str(model.relative_to(path)) for model in models[1:])
            log.warning("%s: the largest of its models is taken, not %s", models[0], others)
        unknown_scale(path, "lengths of a COLMAP model have no unit unless it was aligned")
        # the images of a model lie in its workspace, a few folders up
        places = [place for place in (path, *models[0].parents) if (place / "images").is_dir()]
        workspace = places[0] if places else path
        return [
            PosedPicture(
                name=image.name,
                picture=find_file(workspace / "images" if places else workspace, image.name),
                camera=image.camera,
                T_world_camera=image.T_world_camera,
                mask=_mask(workspace, image.name),
            )
            for image in read_model(models[0])
        ]


def _models(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    folders = [folder for pattern in MODELS for folder in (path.glob(pattern) if pattern else [path])]
    found = [
        folder
        for folder in folders
        for ending in (".bin", ".txt")
        if (folder / f"cameras{ending}").is_file() and (folder / f"images{ending}").is_file()
    ]
    return list(dict.fromkeys(found))


def _size(model: Path) -> int:
    file = model / "images.bin"
    return (file if file.is_file() else model / "images.txt").stat().st_size


def _mask(workspace: Path, name: str) -> Path | None:
    folder = workspace / "masks"
    spelled = (folder / f"{name}.png", (folder / name).with_suffix(".png"))
    return next((file for file in spelled if file.is_file()), None)
