"""The scan's Triton kernels: interpreted and compiled where Triton is installed, run where there is a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_kernels_scan import assert_close, draw, run

triton = pytest.importorskip("triton")

TOLERANCE = 1e-4
"""Of the largest value, against float64."""


def test_interpreted_the_kernels_equal_the_float64_reference() -> None:
    """In a process of its own: Triton decides when it is imported how it runs what it decorates."""
    pytest.importorskip("triton.runtime.interpreter")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "triton_interpreted.py"]
    ran = subprocess.run(command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]


def compiled(name: str, capability: int) -> object:
    """A kernel as it is compiled for a card of this compute capability; no card is needed."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mvgamba_ros.kernels import scan_triton_kernels

    kernel = getattr(scan_triton_kernels, name)
    sizes = {"CHUNK": 128, "STATES": 16, "LANES": 32}
    flags = {p.name: sizes.get(p.name, True) for p in kernel.params if p.is_constexpr}
    numbers = {"length", "width", "count", "chunks", "first"}
    types = {
        p.name: "constexpr" if p.is_constexpr else "i32" if p.name in numbers or p.name[-2:-1] == "_" else "*fp32"
        for p in kernel.params
    }
    return triton.compile(
        ASTSource(kernel, types, flags), target=GPUTarget("cuda", capability, 32), options={"num_warps": 1}
    )


@pytest.mark.parametrize("name", ["_reach", "_compose", "_forward", "_reach_back", "_backward"])
@pytest.mark.parametrize("capability", [80, 87, 90])
def test_each_kernel_compiles_for_cards_from_ampere_to_hopper_and_for_orin(name: str, capability: int) -> None:
    made = compiled(name, capability)
    assert len(made.asm["cubin"]) > 1000
    if name != "_backward":  # whose sums over the channels are the only ones
        assert "shfl" not in made.asm["ptx"], "a lane talks to another"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 40, 70, 16), (1, 200, 1000, 16), (3, 33, 101, 5)])
def test_on_the_gpu_outputs_and_gradients_are_the_float64_references(shape: tuple[int, ...]) -> None:
    args = draw(*shape, seed=sum(shape))
    dy = torch.randn(*shape[:3], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    right = run(args, dy, backend="reference")
    there = {k: v.float().cuda() for k, v in args.items()}
    got = {k: v.cpu() for k, v in run(there, dy.cuda(), backend="triton").items()}
    assert_close(got, right, TOLERANCE, of_all=0.1)
    again = {k: v.cpu() for k, v in run(there, dy.cuda(), backend="triton").items()}
    assert all(torch.equal(got[name], again[name]) for name in got), "the same call answers otherwise"
