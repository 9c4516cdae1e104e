"""Stand-ins of packages that make meshes from a picture: the calls of their published code, and a wedge as the answer.

The wedge is 2 wide, 1 deep and 0.5 high, low at its front: each package lays it into its own axes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

WEDGE = np.array([[0.5, -1, 0], [0.5, 1, 0], [-0.5, -1, 0], [-0.5, 1, 0], [-0.5, -1, 0.5], [-0.5, 1, 0.5]])
"""z up, its front at +x."""
FACES = np.array([[0, 2, 1], [1, 2, 3], [2, 4, 3], [3, 4, 5], [0, 1, 4], [1, 5, 4], [0, 4, 2], [1, 3, 5]])
COLORS = np.linspace(0.0, 1.0, 18).reshape(6, 3)


class Calls(dict[str, Any]):
    """What the packages were called with, by name."""


def install(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    """A module of this name, and those that it lies in."""
    parts = name.split(".")
    for depth in range(1, len(parts)):
        parent = ".".join(parts[:depth])
        if parent not in sys.modules:
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    module = ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


def install_triposr(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    class TSR:
        renderer = SimpleNamespace(set_chunk_size=lambda size: calls.update(chunk=size))

        @classmethod
        def from_pretrained(cls, path: str, config_name: str, weight_name: str) -> TSR:
            assert (Path(path) / config_name).is_file() and (Path(path) / weight_name).is_file()
            calls["offline"] = _offline()
            return cls()

        def to(self, device: torch.device) -> None:
            calls["device"] = str(device)

        def __call__(self, images: list[Image.Image], device: str) -> torch.Tensor:
            (calls["picture"],) = images
            return torch.zeros(1, 3, 40, 64, 64)

        def extract_mesh(self, codes: torch.Tensor, has_vertex_color: bool, resolution: int) -> list[trimesh.Trimesh]:
            assert has_vertex_color and resolution == 256 and codes.shape[0] == 1
            inward = FACES[:, ::-1]  # a package may well have them so
            return [trimesh.Trimesh(0.4 * WEDGE, inward, vertex_colors=COLORS, process=False)]

    install(monkeypatch, "tsr.system", TSR=TSR)


def install_trellis(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    class TrellisImageTo3DPipeline:
        @staticmethod
        def from_pretrained(path: str) -> TrellisImageTo3DPipeline:
            assert (Path(path) / "pipeline.json").is_file()
            return TrellisImageTo3DPipeline()

        def to(self, device: torch.device) -> None:
            calls["device"] = str(device)

        def run(self, image: Image.Image, seed: int, formats: list[str]) -> dict[str, list[SimpleNamespace]]:
            calls.update(picture=image, seed=seed)
            attributes = torch.from_numpy(np.hstack([COLORS, np.zeros((6, 3))]))
            mesh = SimpleNamespace(
                vertices=torch.from_numpy(WEDGE / 2), faces=torch.from_numpy(FACES), vertex_attrs=attributes
            )
            return {name: [mesh] for name in formats}

    install(monkeypatch, "trellis.pipelines", TrellisImageTo3DPipeline=TrellisImageTo3DPipeline)


def install_trellis2(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    class Trellis2ImageTo3DPipeline:
        @classmethod
        def from_pretrained(cls, path: str, config_file: str = "pipeline.json") -> Trellis2ImageTo3DPipeline:
            assert (Path(path) / config_file).is_file()
            return cls()

        def to(self, device: torch.device) -> None:
            calls["device"] = str(device)

        def run(self, image: Image.Image, num_samples: int = 1, seed: int = 42) -> list[SimpleNamespace]:
            calls.update(picture=image, seed=seed)
            attributes = torch.from_numpy(np.hstack([COLORS, np.zeros((6, 3))]))
            mesh = SimpleNamespace(
                vertices=torch.from_numpy(WEDGE / 2),
                faces=torch.from_numpy(FACES).int(),
                layout={"base_color": slice(0, 3), "metallic": slice(3, 4)},
                query_vertex_attrs=lambda: attributes,
            )
            return [mesh]

    install(monkeypatch, "trellis2.pipelines", Trellis2ImageTo3DPipeline=Trellis2ImageTo3DPipeline)


def install_step1x3d(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    class Step1X3DGeometryPipeline:
        @classmethod
        def from_pretrained(cls, model_path: str, subfolder: str = ".") -> Step1X3DGeometryPipeline:
            assert (Path(model_path) / subfolder / "model_index.json").is_file()
            return cls()

        def to(self, device: str) -> Step1X3DGeometryPipeline:
            calls["device"] = device
            return self

        def __call__(
            self, image: Image.Image, guidance_scale: float, num_inference_steps: int, generator: torch.Generator
        ) -> SimpleNamespace:
            calls.update(
                picture=image, seed=generator.initial_seed(), guidance=guidance_scale, steps=num_inference_steps
            )
            y_up = WEDGE[:, [0, 2, 1]] * [1, 1, -1]
            return SimpleNamespace(mesh=[trimesh.Trimesh(y_up, FACES, process=False)])

    install(
        monkeypatch, "step1x3d_geometry.models.pipelines.pipeline", Step1X3DGeometryPipeline=Step1X3DGeometryPipeline
    )


INSTALLERS = {
    "triposr": install_triposr,
    "trellis": install_trellis,
    "trellis2": install_trellis2,
    "step1x3d": install_step1x3d,
}


def write_weights(folder: Path) -> Path:
    """Files of the names that all four have."""
    (folder / "Step1X-3D-Geometry-1300m").mkdir(parents=True)
    for name in ("config.yaml", "model.ckpt", "Step1X-3D-Geometry-1300m/model_index.json"):
        (folder / name).write_text("{}")
    (folder / "pipeline.json").write_text(json.dumps({"args": {"image_cond_model": "dinov2_vitl14_reg"}}))
    return folder


def _offline() -> bool:
    constants = sys.modules.get("huggingface_hub.constants")
    return constants is not None and bool(vars(constants)["HF_HUB_OFFLINE"])
