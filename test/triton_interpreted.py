"""Run by test_kernels_scan_triton.py in a process in which Triton interprets its kernels (TRITON_INTERPRET=1)."""

from __future__ import annotations

import pytest
import torch
from test_kernels_scan import assert_close, draw
from torch import Tensor

from mvgamba_ros.kernels import scan_triton
from mvgamba_ros.kernels.scan_reference import selective_scan_reference

TOLERANCE = 6e-5
"""Of the largest value, as for the native scan."""


def run(scan, args: dict[str, Tensor], dy: Tensor, softplus: bool) -> dict[str, Tensor]:
    """Output, last state and every gradient, as float64."""
    leaves = {k: v.detach().requires_grad_() for k, v in args.items()}
    y, h = scan(**leaves, delta_softplus=softplus)
    y.backward(dy.to(y.dtype))
    return {"y": y.detach().double(), "h": h.double(), **{"d" + k: v.grad.double() for k, v in leaves.items()}}


@pytest.mark.parametrize(
    ("shape", "dropped", "softplus"),
    [
        ((1, 1, 1, 1), (), True),
        ((2, 3, 9, 3), ("z",), True),  # states that are no power of two, a last chunk that is not full
        ((1, 35, 17, 2), (), True),  # two programs' channels, three chunks
        ((1, 3, 12, 8), ("D", "delta_bias", "z"), False),
    ],
)
def test_outputs_and_gradients_are_the_references(shape, dropped, softplus) -> None:
    args = {k: v for k, v in draw(*shape, seed=sum(shape)).items() if k not in dropped}
    if not softplus:
        args["delta"] = 0.1 * args["delta"]
    dy = torch.randn(*shape[:3], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    right = run(selective_scan_reference, args, dy, softplus)
    got = run(scan_triton.selective_scan_triton, {k: v.float() for k, v in args.items()}, dy, softplus)
    assert_close(got, right, TOLERANCE, of_all=0.1)


def test_chunks_in_several_launches_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    args, dy = {k: v.float() for k, v in draw(1, 3, 20, 2, seed=2).items()}, torch.ones(1, 3, 20)
    whole = run(scan_triton.selective_scan_triton, args, dy, True)
    monkeypatch.setattr(scan_triton, "_SCRATCH", 1)
    again = run(scan_triton.selective_scan_triton, args, dy, True)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_small_steps_have_gradients_as_exact_as_large_ones() -> None:
    args = draw(1, 4, 12, 4, seed=7)
    args["delta"] = 0.3 * args["delta"] - 7.0
    del args["delta_bias"]
    dy = torch.randn(1, 4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    got = run(scan_triton.selective_scan_triton, {k: v.float() for k, v in args.items()}, dy, True)
    right = run(selective_scan_reference, args, dy, True)
    assert (got["ddelta"] - right["ddelta"]).abs().max() < 3e-6 * right["ddelta"].abs().max()


def test_any_strides_are_read_in_place() -> None:
    args = {k: v.float() for k, v in draw(1, 4, 9, 4, seed=4).items()}
    right = run(selective_scan_reference, args, torch.ones(1, 4, 9), True)
    args = {k: v.contiguous() if v.ndim == 3 else torch.stack([v, v], -1)[..., 0] for k, v in args.items()}
    got = run(scan_triton.selective_scan_triton, args, torch.ones(1, 4, 9), True)
    assert_close(got, right, TOLERANCE, of_all=0.1)
