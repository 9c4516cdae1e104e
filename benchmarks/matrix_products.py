"""The matrix products of one forward pass, run alone: the yardstick that the network is timed beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode

from mvgamba_ros.kernels import ray_layers
from mvgamba_ros.model.cost_volume import Intervals
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.rendering.crops import CropBatch

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""Of a function: itself and its arguments."""


def products(network: RayGamba, crops: CropBatch, rays: Intervals) -> Callable[[], None]:
    """A function that runs the matrix products of one forward pass, on the same tensors, and nothing else."""
    calls = recorded(network, crops, rays)

    def run() -> None:
        for function, args, kwargs in calls:
            function(*args, **kwargs)

    return run


def recorded(network: RayGamba, crops: CropBatch, rays: Intervals) -> list[Call]:
    """The matrix products of one forward pass; those of the small networks along rays, which run in a kernel of ours,
    as torch runs them."""
    with patch.object(ray_layers, "_native", lambda *_: False), Products() as seen:
        network(crops, rays)
    return seen.calls


class Products(TorchFunctionMode):
    """Records every call to linear and to a convolution; they are in `calls`."""

    KINDS = (torch.nn.functional.linear, torch.conv1d, torch.conv2d)

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in self.KINDS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))
