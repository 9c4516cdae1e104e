"""Step1X-3D's geometry, where its authors' code is installed: one picture -> a mesh without colours, on a GPU of 27 GB.

(Li et al., arXiv 2505.07747; code and weights Apache-2.0.) Its own pipeline runs; only the picture's alpha before it
and the frame after it are this package's. Its texturing, which takes code under Hunyuan3D's licence, is not called.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from mvgamba_ros.errors import ErrorCode, boundary
from mvgamba_ros.generate.canonical_mesh import Z_UP_FROM_Y_UP, canonical_mesh, hub_access, import_installed
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.hub import DATA, Published, find_weights
from mvgamba_ros.generate.installed_generator import InstalledGenerator
from mvgamba_ros.generate.upstream import STEP1X3D
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.types import Mesh

PART = "Step1X-3D-Geometry-1300m"
GUIDANCE = 7.5
"""Of its authors' script."""


class Step1X3D(InstalledGenerator):
    """``folder``: of huggingface.co/stepfun-ai/Step1X-3D, with the subfolder `PART`. ``steps``: of denoising.
    ``guidance``: 0 is the published 7.5. ``fetch``: whether its code may download what its config names. Raises
    MISSING_PACKAGE, BAD_CHECKPOINT, BAD_OPTION."""

    name = "step1x3d"
    published = Published("stepfun-ai/Step1X-3D", "", "Apache-2.0", tuple(f"{PART}/{pattern}" for pattern in DATA))
    note = "Step1X-3D answers a shape without colours, turned as it was trained"

    def __init__(
        self, folder: Path, device: str = "auto", fetch: bool = False, steps: int = 30, guidance: float = 0.0
    ) -> None:
        module = "step1x3d_geometry.models.pipelines.pipeline"
        kind = import_installed(self.name, module, "Step1X3DGeometryPipeline", STEP1X3D.command)
        self.device, _ = choose_device(device, scans=False)
        self.steps, self.guidance = steps, guidance or GUIDANCE
        remedy = f"give the folder of {self.published.repository} that holds {PART}"
        with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", remedy), hub_access(fetch):
            if not (folder / PART).is_dir():
                raise FileNotFoundError(f"it has no folder {PART}")
            self.pipeline = kind.from_pretrained(str(folder), subfolder=PART)
        self.pipeline = self.pipeline.to(str(self.device))
        self.provenance = {"device": str(self.device), "checkpoint": str(folder / PART)}

    @classmethod
    def from_options(cls, options: GeneratorOptions) -> Step1X3D:
        """The factory that is registered."""
        folder = find_weights(cls.name, options.weights, cls.published, options.fetch)
        return cls(folder, options.device, options.fetch, options.steps, options.guidance)

    def _mesh(self, picture: Image.Image, seed: int) -> Mesh:
        made = self.pipeline(
            picture,
            guidance_scale=self.guidance,
            num_inference_steps=self.steps,
            generator=torch.Generator(device=self.device).manual_seed(seed),
        ).mesh[0]
        return canonical_mesh(self.name, made.vertices, made.faces, None, Z_UP_FROM_Y_UP)
