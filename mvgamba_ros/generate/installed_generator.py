"""What adapters over other packages have in common: weights found by the options, one picture in, one mesh out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mvgamba_ros.errors import stop_if
from mvgamba_ros.generate.generator import GeneratedMesh, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.hub import Published, find_weights
from mvgamba_ros.types import Cancelled, Mesh, Progress

if TYPE_CHECKING:
    from typing_extensions import Self


class InstalledGenerator:
    """A generator whose authors' pipeline takes a picture with its alpha and runs as a whole.

    A subclass loads the pipeline in its constructor and calls it in `_mesh`; one that can stop midway has a
    ``__call__`` of its own.
    """

    name: str
    published: Published
    note: str
    """What to know of each of its meshes."""

    def __init__(self, folder: Path, device: str = "auto", fetch: bool = False) -> None:
        raise NotImplementedError

    def _mesh(self, picture: Image.Image, seed: int) -> Mesh:
        """The pipeline's mesh of an RGBA ``picture``, in the canonical frame."""
        raise NotImplementedError

    @classmethod
    def from_options(cls, options: GeneratorOptions) -> Self:
        """The factory that is registered."""
        folder = find_weights(cls.name, options.weights, cls.published, options.fetch)
        return cls(folder, options.device, options.fetch)

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> GeneratedMesh:
        """``cancelled`` is polled before the pipeline and after it. Raises BAD_OPTION for words alone."""
        cutout = subject.needed_cutout(self.name)
        stop_if(cancelled)
        mesh = self._mesh(Image.fromarray(cutout.rgba(), "RGBA"), seed)
        progress("surface", 1.0)
        stop_if(cancelled)
        return GeneratedMesh(mesh, notes=(self.note,))
