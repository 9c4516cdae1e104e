"""A GPU that is not there: tensors that say they are on CUDA, hold their values on the CPU, and refuse to be mixed.

Inside `pretended_gpu`, what is made on or moved to ``cuda`` is such a tensor. Every operation on one runs on the CPU
with its values, and raises RuntimeError where another argument is a CPU's, of more than no dimensions, as a GPU would.
So a whole network can be shown to stay on its device, and its results compared; and how often it waits for the other
side is counted.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from mvgamba_ros.kernels import rasterize_cuda, scan_cuda
from mvgamba_ros.kernels.rasterize_tiled import draw_tiled
from mvgamba_ros.kernels.scan_chunked import selective_scan_chunked

CUDA = torch.device("cuda", 0)
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "repeat_interleave", "bincount", "unique")
"""Operations whose result has a size, or is a number, that the CPU has to wait for."""


@dataclass
class Traffic:
    """Tensors copied ``up`` to the GPU and ``down`` from it, how often else the CPU ``waits`` for it, and memory."""

    up: int = 0
    up_bytes: int = 0
    down: int = 0
    down_bytes: int = 0
    waits: int = 0
    held: Counter[int] = field(default_factory=Counter)
    """How many tensors share each piece of memory, by its address."""
    held_bytes: int = 0
    most_bytes: int = 0
    """Of memory in use at once."""

    def hold(self, storage: torch.UntypedStorage) -> tuple[int, int]:
        key, size = storage.data_ptr(), storage.nbytes()
        self.held[key] += 1
        if self.held[key] == 1:
            self.held_bytes += size
            self.most_bytes = max(self.most_bytes, self.held_bytes)
        return key, size

    def let_go(self, key: int, size: int) -> None:
        self.held[key] -= 1
        if not self.held[key]:
            self.held_bytes -= size


class OnGpu(Tensor):
    """``values``, on the CPU, under another device's name."""

    values: Tensor
    traffic = Traffic()
    """Of the pretended GPU that is in use."""

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device="meta",  # what torch's own C++ sees: not the CPU's either
            requires_grad=values.requires_grad,
        )
        made.values = values
        weakref.finalize(made, cls.traffic.let_go, *cls.traffic.hold(values.untyped_storage()))
        return made

    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def cpu(self) -> Tensor:  # type: ignore[override]
        self.traffic.down += 1
        self.traffic.down_bytes += self.values.nbytes
        return self.values

    def to(self, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        devices = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.device | str)]
        if devices and torch.device(devices[0]).type == "cpu":
            return self.cpu().to(*args, **kwargs)
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
    wraps = bool(there) if to is None else _is_there(torch.device(to).type, bool(there))
    _count(function, args, there, wraps, copies)
    if copies and to is None and "copy_" in str(function):
        wraps = isinstance(args[0], OnGpu)
    if to is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain = tree_map(lambda x: x.values if isinstance(x, OnGpu) else x, (args, kwargs))
    made = function(*plain[0], **plain[1])
    if function._schema.is_mutable and args and isinstance(args[0], Tensor):
        return args[0] if isinstance(made, Tensor) else made
    return tree_map(lambda x: OnGpu(x) if isinstance(x, Tensor) and wraps else x, made)


def _is_there(kind: str, of_gpu: bool) -> bool:
    """Whether a tensor of a ``kind`` of device is on the GPU. torch's C++ asks for a meta one where it makes one like
    another, and in a backward pass like one that it does not name."""
    return kind == "cuda" or (kind == "meta" and (of_gpu or torch._C._current_graph_task_id() >= 0))


def _count(function: Any, args: Any, there: list[OnGpu], wraps: bool, copies: bool) -> None:
    traffic = OnGpu.traffic
    if copies and wraps and not there:
        traffic.up += 1
        traffic.up_bytes += args[0].nbytes
    elif copies and there and not isinstance(args[0], OnGpu):  # a CPU's tensor is overwritten
        traffic.down += 1
        traffic.down_bytes += args[0].nbytes
    elif there:
        masks = args[1] if "index" in str(function) and len(args) > 1 and isinstance(args[1], list) else []
        by_mask = any(isinstance(x, Tensor) and x.dtype == torch.bool for x in masks)
        traffic.waits += by_mask or any(name in str(function) for name in WAITS)


class _Mode(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # which would import all of torch's compiler, for seconds

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(function, args, kwargs or {})


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """torch sees a GPU on which the scan and the rasteriser are torch's. What comes and goes is counted."""
    found = scan_cuda.FoundScan("torch", selective_scan_chunked, {})
    assert not torch.cuda.is_available(), "there is a GPU: try that"
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "pretended")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    for user in ("mvgamba_ros.kernels.device", "mvgamba_ros.kernels.scan_cuda"):
        monkeypatch.setattr(f"{user}.working_scan", lambda name: found)
    monkeypatch.setattr(rasterize_cuda, "working_rasteriser", lambda device: draw_tiled)
    tensor = torch.tensor  # which asks for the device without dispatching

    def made(data: Any, *, device: Any = None, **rest: Any) -> Tensor:
        return tensor(data, **rest) if device is None else tensor(data, **rest).to(device)

    monkeypatch.setattr(torch, "tensor", made)
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        OnGpu.traffic = Traffic()
        with _Mode():
            yield OnGpu.traffic
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
