"""TripoSR, where its authors' code is installed: one picture -> a coloured mesh, on a CPU as well.

(Tochilkin et al., arXiv 2403.02151; code and weights MIT.) Its own loading, networks and marching cubes run; only the
picture before them and the frame after them are this package's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mvgamba_ros.errors import ErrorCode, boundary, stop_if
from mvgamba_ros.generate.canonical_mesh import Z_UP, as_bytes, canonical_mesh, hub_access, import_installed
from mvgamba_ros.generate.cutout import recentre
from mvgamba_ros.generate.generator import GeneratedMesh, Subject
from mvgamba_ros.generate.hub import Published
from mvgamba_ros.generate.installed_generator import InstalledGenerator
from mvgamba_ros.generate.upstream import TRIPOSR
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.types import Cancelled, Progress

FOREGROUND, BACKGROUND = 0.85, 0.5
"""Of the picture: the object's part of its side, and the grey around it. The authors' defaults, as those below."""
PICTURE_SIZE, CHUNK, RESOLUTION = 512, 8192, 256


class TripoSR(InstalledGenerator):
    """``folder``: holds config.yaml and model.ckpt of huggingface.co/stabilityai/TripoSR. ``fetch``: whether its code
    may download what it still needs, the config of facebook/dino-vitb16. Raises MISSING_PACKAGE, BAD_CHECKPOINT,
    BAD_OPTION."""

    name = "triposr"
    published = Published("stabilityai/TripoSR", "", "MIT", ("config.yaml", "model.ckpt"))

    def __init__(self, folder: Path, device: str = "auto", fetch: bool = False) -> None:
        system = import_installed(self.name, "tsr.system", "TSR", TRIPOSR.command)
        self.device, _ = choose_device(device, scans=False)
        remedy = "give the folder of stabilityai/TripoSR, and run `hf download facebook/dino-vitb16 config.json`"
        with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", remedy), hub_access(fetch):
            self.model = system.from_pretrained(str(folder), config_name="config.yaml", weight_name="model.ckpt")
        self.model.renderer.set_chunk_size(CHUNK)
        self.model.to(self.device)
        self.provenance = {"device": str(self.device), "checkpoint": str(folder)}

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> GeneratedMesh:
        """The picture's one answer: nothing is drawn, ``seed`` changes nothing."""
        cutout = subject.needed_cutout(self.name)
        picture = recentre(cutout, PICTURE_SIZE, 1.0 - FOREGROUND).cutout.on(BACKGROUND)
        stop_if(cancelled)
        with torch.no_grad():
            codes = self.model([Image.fromarray((picture * 255.0).astype(np.uint8))], device=str(self.device))
        progress("network", 0.5)
        stop_if(cancelled)
        made = self.model.extract_mesh(codes, True, resolution=RESOLUTION)[0]
        colors = np.asarray(made.visual.vertex_colors)[:, :3] / 255.0
        # its cameras circle z from +x on, where the picture's is; marching cubes of a density
        mesh = canonical_mesh(self.name, made.vertices, made.faces, as_bytes(colors), Z_UP)
        progress("surface", 1.0)
        return GeneratedMesh(mesh, photo_azimuth=0.0)
