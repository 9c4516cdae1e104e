"""A GPU that is not there: tensors that say they are on CUDA, hold their values on the CPU, and refuse to be mixed.

Inside `pretended_gpu`, what is made on or moved to ``cuda`` is such a tensor. Every operation on one runs on the CPU
with its values, and raises RuntimeError where another argument is a CPU's, of more than no dimensions, as a GPU would.
So a whole network can be shown to stay on its device, and its results compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from mvgamba_ros.kernels import scan_cuda
from mvgamba_ros.kernels.scan_chunked import selective_scan_chunked

CUDA = torch.device("cuda", 0)


class OnGpu(Tensor):
    """``values``, on the CPU, under another device's name."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            requires_grad=values.requires_grad,
        )
        made.values = values
        return made

    device = property(lambda self: CUDA)  # type: ignore[assignment]  # to Python; torch's own C++ sees the CPU's
    is_cuda = property(lambda self: True)  # type: ignore[assignment]

    def tolist(self) -> Any:
        return self.values.tolist()

    def cpu(self) -> Tensor:  # type: ignore[override]
        return self.values

    def to(self, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        devices = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.device | str)]
        if devices and torch.device(devices[0]).type == "cpu":
            return self.values.to(*args, **kwargs)
        return super().to(*[x for x in args if x not in devices])

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.values!r})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(function, args, kwargs or {})


def dispatched(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the CPU, its results wrapped where they would be on the GPU."""
    leaves = tree_leaves((args, kwargs))
    there = [x for x in leaves if isinstance(x, OnGpu)]
    to = kwargs.get("device")
    copies = "_to_copy" in str(function) or "copy_" in str(function)
    if there and not copies:
        # a scalar and, as an index, a CPU's tensor may come to a GPU; nothing here has an index from the CPU
        strangers = [x for x in leaves if type(x) in (Tensor, torch.nn.Parameter) and x.dim()]
        if strangers:
            raise RuntimeError(f"{function}: tensors on {CUDA} and {[tuple(x.shape) for x in strangers]} on the CPU")
    wraps = torch.device(to).type == "cuda" if to is not None else bool(there)
    if copies and to is None and "copy_" in str(function):
        wraps = isinstance(args[0], OnGpu)
    if to is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain = tree_map(lambda x: x.values if isinstance(x, OnGpu) else x, (args, kwargs))
    made = function(*plain[0], **plain[1])
    if function._schema.is_mutable and args and isinstance(args[0], Tensor):
        return args[0] if isinstance(made, Tensor) else made
    return tree_map(lambda x: OnGpu(x) if isinstance(x, Tensor) and wraps else x, made)


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(function, args, kwargs or {})


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch sees a GPU on which the scan is torch's."""
    found = scan_cuda.FoundScan("torch", selective_scan_chunked, {})
    assert not torch.cuda.is_available(), "there is a GPU: try that"
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "pretended")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    for user in ("mvgamba_ros.methods.device", "mvgamba_ros.kernels.scan_cuda"):
        monkeypatch.setattr(f"{user}.working_scan", lambda name: found)
    tensor = torch.tensor  # which asks for the device without dispatching
    monkeypatch.setattr(torch, "tensor", lambda data, device=None, **rest: tensor(data, **rest).to(device or "cpu"))
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Mode():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
