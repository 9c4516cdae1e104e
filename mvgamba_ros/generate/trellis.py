"""TRELLIS, where its authors' code is installed: one picture -> a coloured mesh, on a GPU of 16 GB.

(Xiang et al., arXiv 2412.01506; code and weights MIT.) Its own pipeline runs; only the picture's alpha before it and
the frame after it are this package's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from PIL import Image

from mvgamba_ros.errors import ErrorCode, boundary
from mvgamba_ros.generate.canonical_mesh import Z_UP, as_bytes, canonical_mesh, hub_access, import_installed
from mvgamba_ros.generate.hub import Published
from mvgamba_ros.generate.installed_generator import InstalledGenerator
from mvgamba_ros.generate.upstream import TRELLIS
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.types import Mesh


class Trellis(InstalledGenerator):
    """``folder``: of huggingface.co/microsoft/TRELLIS-image-large. ``fetch``: whether its code may download DINOv2 by
    torch.hub. Raises MISSING_PACKAGE, BAD_CHECKPOINT, BAD_OPTION."""

    name = "trellis"
    published = Published("microsoft/TRELLIS-image-large", "", "MIT")
    note = "TRELLIS turns objects as it was trained: the picture's side is not known"

    def __init__(self, folder: Path, device: str = "auto", fetch: bool = False) -> None:
        os.environ.setdefault("SPCONV_ALGO", "native")  # read when it is imported; the other one benchmarks first
        kind = import_installed(self.name, "trellis.pipelines", "TrellisImageTo3DPipeline", TRELLIS.command)
        chosen, _ = choose_device(device, scans=False)
        with boundary(
            ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", f"give the folder of {self.published.repository}"
        ):
            if not fetch:
                _check_dinov2(folder)
            with hub_access(fetch):
                self.pipeline = kind.from_pretrained(str(folder))
        self.pipeline.to(chosen)
        self.provenance = {"device": str(chosen), "checkpoint": str(folder)}

    def _mesh(self, picture: Image.Image, seed: int) -> Mesh:
        made = self.pipeline.run(picture, seed=seed, formats=["mesh"])["mesh"][0]  # which crops and resizes it
        colors = None if made.vertex_attrs is None else as_bytes(made.vertex_attrs)  # colours, then normals
        return canonical_mesh(self.name, made.vertices, made.faces, colors, Z_UP)


def _check_dinov2(folder: Path) -> None:
    """Raises FileNotFoundError where the pipeline would download its image encoder."""
    named = json.loads((folder / "pipeline.json").read_text(encoding="utf-8"))["args"]["image_cond_model"]
    cache = Path(torch.hub.get_dir())
    weights = cache / "checkpoints" / f"{named.replace('_reg', '_reg4')}_pretrain.pth"
    if not weights.is_file() or not (cache / "facebookresearch_dinov2_main").is_dir():
        command = f"import torch; torch.hub.load('facebookresearch/dinov2', '{named}')"
        raise FileNotFoundError(f'{named} is not in {cache}: run python -c "{command}"')
