"""Where a GPU's memory runs out, an error with a code says what to do, nothing is lost, and the next call works."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import ref

import pytest
import torch
from pretended_gpu import pretended_gpu
from rendered import views

from mvgamba_ros import factories
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.kernels.gpu_memory import enough_gpu_memory, limit_gpu_memory
from mvgamba_ros.methods.mvgamba import MVGambaMethod
from mvgamba_ros.options import Options
from mvgamba_ros.types import Prompts

WORDS = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.44 GiB"
OPTIONS = Options(prompts=Prompts(support_height=0.0), use_masks=True, hull_resolution=32, refine=False)


class Buffer:
    """What work holds."""


def test_what_the_work_held_is_let_go_before_the_card_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[ref[Buffer]] = []
    alive: list[Any] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[0]()))

    def work() -> None:
        buffer = Buffer()
        held.append(ref(buffer))
        raise torch.cuda.OutOfMemoryError(WORDS)

    refused = pytest.raises(ReconstructionError, match=r"Tried to allocate 2\.00 GiB.*raise gpu_memory")
    with refused as caught, enough_gpu_memory():
        work()
    assert caught.value.code is ErrorCode.INTERNAL and alive == [None]


def test_a_reconstruction_without_memory_is_refused_and_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The views are the caller's, the method is loaded still."""
    seen = views(3)
    hull = carve(seen, None, 32, 0.0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    method = factories.load_method(OPTIONS)
    assert isinstance(method, MVGambaMethod)
    network = method.network.forward

    def full(*_: Any) -> Any:
        raise torch.cuda.OutOfMemoryError(WORDS)

    monkeypatch.setattr(method.network, "forward", full)
    with pytest.raises(ReconstructionError, match="the GPU ran out of memory") as caught:
        factories.run_method(OPTIONS, seen, hull, lambda stage, share: None, lambda: False)
    assert caught.value.code is ErrorCode.INTERNAL
    monkeypatch.setattr(method.network, "forward", network)
    shape = factories.run_method(OPTIONS, seen, hull, lambda stage, share: None, lambda: False)
    assert len(shape.mesh.faces) > 100
    assert factories.load_method(OPTIONS) is method


def test_a_process_takes_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[tuple[float, int | None]] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: shares.append(given))
    limit_gpu_memory(0.3, "cuda")
    assert not shares, "no GPU, no limit"
    with pretended_gpu(monkeypatch):
        limit_gpu_memory(0.3, "cuda:1")
        limit_gpu_memory(0.4, "auto")
        limit_gpu_memory(1.0, "auto")
        limit_gpu_memory(0.5, "cpu")
        factories.load_method(replace(OPTIONS, method="hull", gpu_memory=0.25))
    assert shares == [(0.3, 1), (0.4, None), (0.25, None)]
    with pytest.raises(ReconstructionError, match="gpu_memory"):
        Options(gpu_memory=0.0)
