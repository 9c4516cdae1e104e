"""TRELLIS.2, where its authors' code is installed: one picture -> a coloured mesh, on a GPU of 24 GB.

(Code and weights MIT; github.com/microsoft/TRELLIS.2.) Its own pipeline runs; only the picture's alpha before it and
the frame after it are this package's. It loads DINOv3 and a background remover too, which have licences of their own.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from mvgamba_ros.errors import ErrorCode, boundary, stop_if
from mvgamba_ros.generate.canonical_mesh import Z_UP, as_bytes, canonical_mesh, hub_access, import_installed
from mvgamba_ros.generate.generator import GeneratedMesh, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.hub import Published, find_weights
from mvgamba_ros.generate.upstream import TRELLIS2
from mvgamba_ros.methods.device import choose_device
from mvgamba_ros.types import Cancelled, Progress

LICENCE = "MIT; DINOv3 and the background remover that its pipeline.json names have their own"


class Trellis2:
    """``folder``: of huggingface.co/microsoft/TRELLIS.2-4B. ``fetch``: whether its code may download the further
    networks that pipeline.json names. Raises MISSING_PACKAGE, BAD_CHECKPOINT, BAD_OPTION."""

    name = "trellis2"
    published = Published("microsoft/TRELLIS.2-4B", "", LICENCE)

    def __init__(self, folder: Path, device: str = "auto", fetch: bool = False) -> None:
        kind = import_installed(self.name, "trellis2.pipelines", "Trellis2ImageTo3DPipeline", TRELLIS2.command)
        chosen, _ = choose_device(device, scans=False)
        remedy = f"give the folder of {self.published.repository}, and download what its pipeline.json names"
        with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", remedy), hub_access(fetch):
            self.pipeline = kind.from_pretrained(str(folder))
        self.pipeline.to(chosen)
        self.provenance = {"device": str(chosen), "checkpoint": str(folder)}

    @classmethod
    def from_options(cls, options: GeneratorOptions) -> Trellis2:
        """The factory that is registered."""
        folder = find_weights(cls.name, options.weights, cls.published, options.fetch)
        return cls(folder, options.device, options.fetch)

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> GeneratedMesh:
        """Its pipeline runs as a whole: ``cancelled`` is polled before and after it."""
        cutout = subject.needed_cutout(self.name)
        stop_if(cancelled)
        made = self.pipeline.run(Image.fromarray(cutout.rgba(), "RGBA"), seed=seed)[0]
        progress("network", 0.95)
        stop_if(cancelled)
        colors = as_bytes(made.query_vertex_attrs()[:, made.layout["base_color"]])
        mesh = canonical_mesh(self.name, made.vertices, made.faces, colors, Z_UP)
        progress("surface", 1.0)
        return GeneratedMesh(
            mesh, notes=("TRELLIS.2 turns objects as it was trained: the picture's side is not known",)
        )
