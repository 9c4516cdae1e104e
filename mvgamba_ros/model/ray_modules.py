"""Torch modules along rays as `kernels.ray_layers` takes them, and the soft-argmax over depth hypotheses."""

from __future__ import annotations

from torch import Tensor, nn

from mvgamba_ros.kernels.ray_types import Layer, RayMLP


class RayLinear(nn.Linear):
    """A dense layer of each position along a ray, for `kernels.ray_layers`, which runs it in float32: `halve_weights`
    leaves its weights as they are."""


def ray_mlp(position: nn.Linear, convolutions: nn.Sequential, views: nn.Sequential | None = None) -> RayMLP:
    """The dense layers and convolutions of these modules; the ReLUs between are `kernels.ray_layers`' own."""
    return RayMLP(_layer(position), _layers(convolutions), () if views is None else _layers(views))


def _layer(module: nn.Linear | nn.Conv1d) -> Layer:
    assert module.bias is not None
    return module.weight, module.bias


def _layers(modules: nn.Sequential) -> tuple[Layer, ...]:
    return tuple(_layer(module) for module in modules if isinstance(module, nn.Linear | nn.Conv1d))


def soft_argmax(logits: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Soft-argmax: mean and standard deviation, (...) each, of ``positions`` (N,) under the softmax of ``logits``
    (..., N); differentiable (Kendall et al., "End-to-End Learning of Geometry and Context", ICCV 2017)."""
    p = logits.softmax(-1)
    mean = (p * positions).sum(-1)
    variance = (p * (positions - mean[..., None]).square()).sum(-1)
    return mean, variance.clamp(min=1e-12).sqrt()
