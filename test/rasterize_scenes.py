"""Scenes of Gaussians that the rasteriser's tests draw, and gradients of what is drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mvgamba_ros.kernels.rasterize import Rendered, rasterize

IMAGE_TOLERANCE = 1e-5
"""Of colour and alpha in float32 against float64."""


@dataclass(frozen=True)
class Scene:
    """The tensors of a call."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor
    T_camera_world: Tensor
    K: Tensor
    background: Tensor

    def tensors(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def to(self, dtype: torch.dtype) -> Scene:
        return Scene(**{name: x.detach().to(dtype) for name, x in self.tensors().items()})

    def requiring_gradients(self) -> Scene:
        tensors = {name: x.detach().clone().requires_grad_(name != "K") for name, x in self.tensors().items()}
        return Scene(**tensors)

    def draw(self, width: int, height: int, backend: str) -> Rendered:
        return rasterize(**self.tensors(), width=width, height=height, backend=backend)


def random_scene(seed: int, N: int, V: int, width: int, height: int, size: float = 0.05, spread: float = 0.5) -> Scene:
    """Float32 values, so that both precisions draw the very same scene; some opacities are 0 and 1."""
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    turn = normal(V, 3) * 0.5
    skew = torch.zeros(V, 3, 3)
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = turn.unbind(-1)
    T = torch.eye(4).repeat(V, 1, 1)
    T[:, :3, :3] = torch.linalg.matrix_exp(skew - skew.transpose(1, 2))
    T[:, :3, 3] = torch.tensor([0.0, 0, 2]) + 0.1 * normal(V, 3)
    K = torch.eye(3).repeat(V, 1, 1)
    K[:, 0, 0], K[:, 1, 1] = max(width, height) * (0.7 + uniform(V)), max(width, height) * (0.7 + uniform(V))
    K[:, 0, 2], K[:, 1, 2] = width * (0.2 + 0.6 * uniform(V)), height * (0.2 + 0.6 * uniform(V))
    opacities = (uniform(N) * 1.4 - 0.2).clamp(0, 1)
    return Scene(
        means=normal(N, 3) * spread,
        quats=normal(N, 4),
        scales=size * 10 ** (uniform(N, 3) - 0.5),
        opacities=opacities,
        colors=uniform(N, 3),
        T_camera_world=T,
        K=K,
        background=uniform(V, 3),
    )


def one_gaussian(**changes: list[float]) -> Scene:
    values = {
        "means": [0.0, 0.0, 2.0],
        "quats": [1.0, 0.0, 0.0, 0.0],
        "scales": [0.1, 0.05, 0.2],
        "opacities": 0.8,
        "colors": [0.2, 0.5, 0.9],
    } | changes
    return Scene(
        **{name: torch.tensor(value)[None] for name, value in values.items()},
        T_camera_world=torch.eye(4)[None],
        K=torch.tensor([[[40.0, 0, 16], [0, 40, 12], [0, 0, 1]]]),
        background=torch.tensor([[0.1, 0.2, 0.3]]),
    )


def gradients(scene: Scene, width: int, height: int, backend: str, weights: tuple[Tensor, Tensor, Tensor]) -> dict:
    scene = scene.requiring_gradients()
    drawn = scene.draw(width, height, backend)
    color, depth, alpha = (w.to(scene.means.dtype) for w in weights)
    # depth is weighted by alpha: its own gradient grows without bound where alpha vanishes
    loss = (drawn.color * color).sum() + (drawn.depth * drawn.alpha * depth).sum() + (drawn.alpha * alpha).sum()
    loss.backward()
    return {name: x.grad for name, x in scene.tensors().items() if name != "K"}
