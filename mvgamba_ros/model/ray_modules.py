"""What is learned along the positions of every ray: its layers, and the choice among the positions."""

from __future__ import annotations

from torch import Tensor, nn

from mvgamba_ros.kernels.ray_types import Layer


class RayLinear(nn.Linear):
    """A dense layer of each position along a ray, for `kernels.ray_layers`, which runs it in float32: `halve_weights`
    leaves its weights as they are."""


def layer(module: nn.Linear | nn.Conv1d) -> Layer:
    """``module``, which has a bias, as `kernels.ray_layers` takes it."""
    assert module.bias is not None
    return module.weight, module.bias


def layers(modules: nn.Sequential) -> list[Layer]:
    """The dense layers or convolutions among ``modules``; what lies between is `kernels.ray_layers`' own."""
    return [layer(module) for module in modules if isinstance(module, nn.Linear | nn.Conv1d)]


def mean_and_spread(logits: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (...) each, of ``places`` (N,), each as likely as ``logits`` (..., N) say."""
    p = logits.softmax(-1)
    mean = (p * places).sum(-1)
    variance = (p * (places - mean[..., None]).square()).sum(-1)
    return mean, variance.clamp(min=1e-12).sqrt()
