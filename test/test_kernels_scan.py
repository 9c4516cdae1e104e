"""The native selective scan against the float64 reference, and what the call refuses."""

from __future__ import annotations

import inspect
import math
import sys
import types

import native_kernels
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from mvgamba_ros.kernels import selective_scan
from mvgamba_ros.kernels.scan_reference import selective_scan_reference

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def draw(batch, width, length, states, seed, dtype=torch.float64):
    """One set of arguments, u, delta, z, B and C token-major as in the block."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    def tokens(channels):
        return normal(batch, length, channels).transpose(1, 2)

    A = -torch.exp(normal(width, states))
    return {
        "u": tokens(width),
        "delta": tokens(width),
        "A": A,
        "B": tokens(states),
        "C": tokens(states),
        "D": normal(width),
        "z": tokens(width),
        "delta_bias": normal(width),
    }


def run(args, dy, softplus=True, **options):
    """Output, last state and every gradient, as float64."""
    leaves = {k: v.detach().requires_grad_() for k, v in args.items()}
    y, h = selective_scan(**leaves, delta_softplus=softplus, return_last_state=True, **options)
    y.backward(dy.to(y.dtype))
    return {"y": y.detach().double(), "h": h.double(), **{"d" + k: v.grad.double() for k, v in leaves.items()}}


def assert_close(got, expected, tolerance, of_all=0.0):
    """Within ``tolerance`` of each tensor's largest value, or of the share ``of_all`` of the largest of all: a gradient
    of one number is a sum that may cancel to nearly nothing, its rounding is that of its terms."""
    most = max(right.abs().max() for right in expected.values())
    for name, right in expected.items():
        error = (got[name] - right).abs().max() / torch.maximum(right.abs().max(), of_all * most).clamp(min=1e-6)
        assert error < tolerance, f"{name} is off by {error:.1e} of its largest value"


def test_tensors_so_large_that_they_are_written_past_the_caches_hold_what_small_ones_do():
    """Six scenes are 2.25 MB a tensor, each alone a sixth of that. Gradients summed over scenes are left out."""
    args = {k: v.float() for k, v in draw(6, 256, 384, 8, seed=3).items()}
    dy = torch.randn(6, 256, 384, generator=torch.Generator().manual_seed(4))
    shared = {"A", "D", "delta_bias"}
    large = run(args, dy)
    for scene in range(6):
        small = run({k: v if k in shared else v[scene : scene + 1] for k, v in args.items()}, dy[scene : scene + 1])
        for name in small.keys() - {"d" + k for k in shared}:
            assert torch.equal(large[name][scene : scene + 1], small[name]), name


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    width=st.integers(1, 70),
    length=st.integers(1, 70),
    states=st.sampled_from([1, 3, 8, 13, 16, 32, 64]),
    dropped=st.sets(st.sampled_from(["D", "z", "delta_bias"])),
    seed=st.integers(0, 2**20),
)
def test_outputs_and_gradients_equal_the_float64_reference_for_any_shape(batch, width, length, states, dropped, seed):
    args = draw(batch, width, length, states, seed)
    args = {k: v for k, v in args.items() if k not in dropped}
    dy = torch.randn(batch, width, length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    single = {k: v.float() for k, v in args.items()}
    # of 20,000 cases drawn at random the worst is off by 3e-5, a dA of two channels; a search finds 5e-5
    assert_close(run(single, dy), run(args, dy, backend="reference"), 6e-5, of_all=0.1)


def test_a_sum_over_the_width_that_cancels_is_as_exact_as_its_terms():
    args = {k: v for k, v in draw(1, 34, 1, 1, seed=33).items() if k in {"u", "delta", "A", "B", "C"}}
    dy = torch.randn(1, 34, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(33))
    right = run(args, dy, backend="reference")
    assert right["dB"].abs().item() < 0.02 * right["du"].abs().max()
    assert_close(run({k: v.float() for k, v in args.items()}, dy), right, 3e-5, of_all=0.1)


def test_small_steps_have_gradients_as_exact_as_large_ones():
    """Steps of a thousandth, as models begin with: what softplus leaves of them must not be lost in 1 - e^-step."""
    args = draw(2, 40, 30, 16, seed=7)
    args["delta"] = 0.3 * args["delta"] - 7.0
    del args["delta_bias"]
    dy = torch.randn(2, 40, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    got, right = run({k: v.float() for k, v in args.items()}, dy), run(args, dy, backend="reference")
    error = (got["ddelta"] - right["ddelta"]).abs().max() / right["ddelta"].abs().max()
    assert error < 3e-6, error


def test_without_softplus_steps_may_be_negative_and_states_grow_as_in_the_reference():
    args = draw(1, 20, 30, 16, 5)
    args["delta"], args["delta_bias"] = 0.02 * args["delta"], 0.02 * args["delta_bias"]
    dy = torch.ones(1, 20, 30)
    single = {k: v.float() for k, v in args.items()}
    assert_close(run(single, dy, softplus=False), run(args, dy, softplus=False, backend="reference"), 3e-5)


def test_the_reference_itself_passes_gradcheck():
    args = draw(2, 3, 4, 2, 1)
    leaves = [args[k].requires_grad_() for k in NAMES]
    assert gradcheck(lambda *x: selective_scan_reference(*x, delta_softplus=True)[0], leaves)


def test_one_channel_one_state_gives_the_sum_written_by_hand():
    # dt = 1, A = -ln 2, B = C = 1: h_t = h_(t-1) / 2 + u_t
    u = torch.tensor([[[4.0, 2.0, 1.0]]])
    one = torch.ones(1, 1, 3)
    y, h = selective_scan(u, one, torch.tensor([[-math.log(2.0)]]), one, one, return_last_state=True)
    torch.testing.assert_close(y, torch.tensor([[[4.0, 4.0, 3.0]]]), rtol=1e-6, atol=0)
    torch.testing.assert_close(h, torch.tensor([[[3.0]]]), rtol=1e-6, atol=0)


def test_a_slow_state_is_still_right_after_four_thousand_steps():
    length = 4096
    u, one = torch.zeros(1, 8, length), torch.ones(1, 1, length)
    u[:, :, 0] = 1.0
    delta = torch.full((1, 8, length), 1e-3)
    y = selective_scan(u, delta, -torch.ones(8, 1), one, one)
    expected = 1e-3 * math.exp(-1e-3 * (length - 1))
    assert abs(y[0, 0, -1].item() / expected - 1) < 1e-3


def test_huge_steps_and_inputs_give_no_nan_and_no_infinity():
    args = {k: v.float() for k, v in draw(1, 24, 40, 16, 3).items()}
    args["delta"] = 300.0 * args["delta"]  # decays far below the smallest float, and softplus far beyond exp's range
    args["z"] = 1e4 * args["z"]
    for name, value in run(args, torch.ones(1, 24, 40)).items():
        assert torch.isfinite(value).all(), name


def test_thread_counts_agree():
    args = {k: v.float() for k, v in draw(2, 80, 50, 16, 9).items()}
    dy = torch.randn(2, 80, 50)
    results = native_kernels.by_threads(lambda: run(args, dy))
    for other in results[1:]:
        assert torch.equal(other["y"], results[0]["y"])  # channels are independent
        assert_close(other, results[0], 2e-6)  # B's and C's gradients are summed in another order


def test_memory_layouts_agree():
    args = {k: v.float() for k, v in draw(2, 24, 30, 8, 4).items()}
    dy = torch.randn(2, 24, 30)
    expected = run(args, dy)
    channel_major = {k: v.contiguous() for k, v in args.items()}
    wider = {k: torch.cat([v, v], 1)[:, : v.shape[1]] if v.ndim == 3 else v for k, v in args.items()}
    for other in (channel_major, wider):
        assert_close(run(other, dy), expected, 1e-6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("delta", torch.zeros(2, 6, 5), r"delta must be \(2, 6, 4\)"),
        ("A", torch.zeros(5, 3), r"A must be \(6, 3\)"),
        ("B", torch.zeros(2, 4, 3), r"B must be \(2, 3, 4\)"),
        ("C", torch.zeros(2, 3, 4, dtype=torch.float64), "C must be torch.float32"),
        ("D", torch.zeros(1), r"D must be \(6,\)"),
        ("z", torch.zeros(2, 6, 4, device="meta"), "z must be torch.float32 on cpu"),
        ("u", torch.zeros(6, 4), r"u must be \(batch, width, length\)"),
        ("backend", "tpu", "unknown backend 'tpu'"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_expected_shape(name, value, message):
    args = {k: v.float() for k, v in draw(2, 6, 4, 3, 0).items()}
    args[name] = value
    with pytest.raises(ValueError, match=message):
        selective_scan(**args)


def test_the_cpu_backend_refuses_float64():
    with pytest.raises(ValueError, match="float32"):
        selective_scan(**draw(1, 2, 3, 4, 0), backend="cpu")


def selective_scan_fn(
    u,
    delta,
    A,
    B,
    C,
    D=None,
    z=None,
    delta_bias=None,
    delta_softplus=False,
    return_last_state=False,
    cu_seqlens=None,
):
    """The signature of mamba-ssm's function, answered by the reference."""
    y, h = selective_scan_reference(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    return (y, h) if return_last_state else y


def causal_conv1d_fn(
    x,
    weight,
    bias=None,
    seq_idx=None,
    initial_states=None,
    return_final_states=False,
    final_states_out=None,
    activation=None,
):
    """The signature of causal-conv1d's function: (batch, width, length) in and out."""
    from mvgamba_ros.kernels.conv import causal_conv1d_reference

    assert activation in (None, "silu", "swish")
    return causal_conv1d_reference(x.transpose(1, 2), weight, bias, activation is not None).transpose(1, 2)


def test_the_cuda_adapters_call_with_the_authors_signatures(monkeypatch):
    from mvgamba_ros.kernels import cuda
    from mvgamba_ros.kernels.conv import causal_conv1d_reference

    interface = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = selective_scan_fn
    package = types.ModuleType("causal_conv1d")
    package.causal_conv1d_fn = causal_conv1d_fn
    for module in (types.ModuleType("mamba_ssm"), types.ModuleType("mamba_ssm.ops"), interface, package):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    args = draw(1, 6, 5, 3, 2)
    y, h = cuda.selective_scan(*(args[k] for k in NAMES), True)
    expected = selective_scan_reference(*(args[k] for k in NAMES), delta_softplus=True)
    assert torch.equal(y, expected[0])
    assert torch.equal(h, expected[1])
    x, weight, bias = torch.randn(2, 7, 6), torch.randn(6, 4), torch.randn(6)
    assert torch.equal(cuda.causal_conv1d(x, weight, bias, True), causal_conv1d_reference(x, weight, bias, True))


@pytest.mark.cuda
def test_mamba_ssm_agrees_with_the_reference():
    interface = pytest.importorskip("mamba_ssm.ops.selective_scan_interface")
    assert "delta_softplus" in inspect.signature(interface.selective_scan_fn).parameters
    args = {k: v.cuda().float() for k, v in draw(2, 32, 50, 16, 7).items()}
    dy = torch.randn(2, 32, 50, device="cuda")
    assert_close(run(args, dy, backend="cuda"), run(args, dy, backend="reference"), 1e-3)


def test_inside_autocast_half_precision_becomes_float32():
    """As the products of a mixed-precision block hand it over; gradients come back in the type that came."""
    args = draw(2, 16, 9, 4, seed=3, dtype=torch.float32)
    half = {k: v.bfloat16() if k in ("u", "delta", "B", "C", "z") else v for k, v in args.items()}
    expected = selective_scan(**{k: v.float() for k, v in half.items()}, delta_softplus=True)
    leaf = half["u"].requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = selective_scan(**half, delta_softplus=True)
    assert y.dtype == torch.float32
    assert torch.equal(y, expected)
    y.sum().backward()
    assert leaf.grad.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="bfloat16"):
        selective_scan(**half, delta_softplus=True)
