"""The scan that runs all chunks side by side, in torch, against the loop over tokens in float64."""

from __future__ import annotations

import pytest
import torch
from test_kernels_scan import assert_close, draw, run

from mvgamba_ros.kernels import scan_chunked, selective_scan

TOLERANCE = 6e-5
"""Of the largest value, as for the native scan."""


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 2, 3), (2, 40, 70, 16), (1, 33, 101, 13)])
@pytest.mark.parametrize("dropped", [(), ("D", "z", "delta_bias")])
def test_outputs_and_gradients_are_the_references_for_any_shape(shape: tuple[int, ...], dropped: tuple[str]) -> None:
    args = {k: v for k, v in draw(*shape, seed=sum(shape)).items() if k not in dropped}
    dy = torch.randn(*shape[:3], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    right = run(args, dy, backend="reference")
    assert_close(run(args, dy, backend="chunked"), right, 1e-11, of_all=0.1)
    assert_close(run({k: v.float() for k, v in args.items()}, dy, backend="chunked"), right, TOLERANCE, of_all=0.1)


def test_channels_worked_off_in_groups_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    args, dy = draw(2, 20, 30, 4, seed=2), torch.ones(2, 20, 30)
    whole = run(args, dy, backend="chunked")
    monkeypatch.setattr(scan_chunked, "_STATES_AT_ONCE", 2 * 30 * 4 * 7)
    assert_close(run(args, dy, backend="chunked"), whole, 1e-14, of_all=0.1)


def test_steps_may_be_negative_and_states_grow_as_in_the_reference() -> None:
    args, dy = draw(1, 20, 30, 16, 5), torch.ones(1, 20, 30)
    args["delta"], args["delta_bias"] = 0.02 * args["delta"], 0.02 * args["delta_bias"]
    right = run(args, dy, softplus=False, backend="reference")
    assert_close(run({k: v.float() for k, v in args.items()}, dy, softplus=False, backend="chunked"), right, TOLERANCE)


def test_decays_of_long_sequences_neither_overflow_nor_lose_a_slow_state() -> None:
    args = {k: v.float() for k, v in draw(1, 4, 2500, 2, 3).items()}
    args["A"] = torch.tensor([[-1e-4, -50.0]]).expand(4, 2)
    got, right = (selective_scan(**args, delta_softplus=True, backend=name) for name in ("chunked", "reference"))
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-3)


def test_half_precision_keeps_its_states_in_float32() -> None:
    args = {k: v.bfloat16() for k, v in draw(1, 8, 300, 4, 1).items()}
    y = selective_scan(**args, delta_softplus=True, backend="chunked")
    right = selective_scan(**{k: v.float() for k, v in args.items()}, delta_softplus=True, backend="chunked")
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, right.bfloat16(), rtol=0, atol=0)


def test_shapes_follow_from_shapes_alone() -> None:
    """On a device without values: nothing in it waits for a number."""
    args = {k: v.float().to("meta") for k, v in draw(2, 12, 50, 4, 1).items()}
    y, last = selective_scan(**args, delta_softplus=True, return_last_state=True)
    assert y.is_meta and y.shape == (2, 12, 50) and last.shape == (2, 12, 4)
