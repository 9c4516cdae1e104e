"""TRELLIS.2, where its authors' code is installed: one picture -> a coloured mesh, on a GPU of 24 GB.

(Code and weights MIT; github.com/microsoft/TRELLIS.2.) Its own pipeline runs; only the picture's alpha before it and
the frame after it are this package's. It loads DINOv3 and a background remover too, which have licences of their own.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from mvgamba_ros.errors import ErrorCode, boundary
from mvgamba_ros.generate.canonical_mesh import Z_UP, as_bytes, canonical_mesh, hub_access, import_installed
from mvgamba_ros.generate.hub import Published
from mvgamba_ros.generate.installed_generator import InstalledGenerator
from mvgamba_ros.generate.upstream import TRELLIS2
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.types import Mesh

LICENCE = "MIT; DINOv3 and the background remover that its pipeline.json names have their own"


class Trellis2(InstalledGenerator):
    """``folder``: of huggingface.co/microsoft/TRELLIS.2-4B. ``fetch``: whether its code may download the further
    networks that pipeline.json names. Raises MISSING_PACKAGE, BAD_CHECKPOINT, BAD_OPTION."""

    name = "trellis2"
    published = Published("microsoft/TRELLIS.2-4B", "", LICENCE)
    note = "TRELLIS.2 turns objects as it was trained: the picture's side is not known"

    def __init__(self, folder: Path, device: str = "auto", fetch: bool = False) -> None:
        kind = import_installed(self.name, "trellis2.pipelines", "Trellis2ImageTo3DPipeline", TRELLIS2.command)
        chosen, _ = choose_device(device, scans=False)
        remedy = f"give the folder of {self.published.repository}, and download what its pipeline.json names"
        with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", remedy), hub_access(fetch):
            self.pipeline = kind.from_pretrained(str(folder))
        self.pipeline.to(chosen)
        self.provenance = {"device": str(chosen), "checkpoint": str(folder)}

    def _mesh(self, picture: Image.Image, seed: int) -> Mesh:
        made = self.pipeline.run(picture, seed=seed)[0]
        colors = as_bytes(made.query_vertex_attrs()[:, made.layout["base_color"]])
        return canonical_mesh(self.name, made.vertices, made.faces, colors, Z_UP)
