"""The native causal convolution against plain torch; the norm; the allocator call."""

from __future__ import annotations

import native_kernels
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgamba_ros.kernels import causal_conv1d, native, norm, rms_norm


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 40),
    width=st.integers(1, 40),
    taps=st.integers(1, 6),
    silu=st.booleans(),
    with_bias=st.booleans(),
    threads=st.sampled_from([1, 2]),
)
def test_outputs_and_gradients_equal_the_float64_reference(batch, length, width, taps, silu, with_bias, threads):
    g = torch.Generator().manual_seed(length * 41 + width)
    x, weight, bias = (
        torch.randn(*shape, generator=g, dtype=torch.float64)
        for shape in ((batch, length, width), (width, taps), (width,))
    )
    dy = torch.randn(batch, length, width, generator=g, dtype=torch.float64)
    results = []
    with native_kernels.threads(threads):
        for dtype, backend in ((torch.float64, "reference"), (torch.float32, "cpu")):
            leaves = [v.detach().to(dtype).requires_grad_() for v in (x, weight, bias)]
            used = leaves if with_bias else leaves[:2]
            y = causal_conv1d(*used, silu=silu, backend=backend)
            y.backward(dy.to(dtype))
            results.append([y.detach().double(), *(v.grad.double() for v in used)])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()) + 1e-7)


def test_a_token_sees_no_later_token():
    x, weight = torch.randn(1, 20, 8), torch.randn(8, 4)
    changed = x.clone()
    changed[:, 12:] += 1.0
    assert torch.equal(causal_conv1d(x, weight)[:, :12], causal_conv1d(changed, weight)[:, :12])


def test_half_of_a_wider_tensor_is_read_in_place():
    wide, weight = torch.randn(2, 9, 32), torch.randn(16, 4)
    half = wide.chunk(2, dim=-1)[1]
    torch.testing.assert_close(causal_conv1d(half, weight), causal_conv1d(half.contiguous(), weight), rtol=0, atol=0)


def test_inside_autocast_half_precision_becomes_float32():
    x, weight = torch.randn(2, 9, 16).bfloat16(), torch.randn(16, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = causal_conv1d(x, weight, silu=True)
    assert y.dtype == torch.float32
    assert torch.equal(y, causal_conv1d(x.float(), weight, silu=True))


@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(4, 4), None, r"x must be \(batch, length, width\)"),
        (torch.zeros(1, 3, 4), torch.zeros(5, 4), None, r"weight must be \(4, taps\)"),
        (torch.zeros(1, 3, 4), torch.zeros(4, 4), torch.zeros(3), r"bias must be \(4,\)"),
        (torch.zeros(1, 3, 4), torch.zeros(4, 4).double(), None, "weight must be torch.float32"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_expected_shape(x, weight, bias, message):
    with pytest.raises(ValueError, match=message):
        causal_conv1d(x, weight, bias)


@pytest.mark.parametrize("fused", [True, False])
def test_rms_norm_of_a_three_four_vector(fused, monkeypatch):
    """By torch's one operation, and by its formula, which torch before 2.4 needs."""
    if fused and not norm.FUSED:
        pytest.skip(f"torch {torch.__version__} has no rms_norm")
    monkeypatch.setattr(norm, "FUSED", fused)
    x = torch.tensor([[3.0, 4.0]])
    expected = x / (12.5**0.5) * torch.tensor([1.0, 2.0])
    torch.testing.assert_close(rms_norm(x, torch.tensor([1.0, 2.0]), eps=0.0), expected)


def test_a_missing_library_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MVGAMBA_KERNELS", str(tmp_path))
    with pytest.raises(ImportError, match=r"cmake -S .*native"):
        native.library.__wrapped__()


@pytest.mark.parametrize("instructions", ["sse2", "avx2"])
def test_every_instruction_set_that_runs_here_gives_the_same_scan(instructions):
    if native.instruction_set() not in ("avx2", "avx512"):
        pytest.skip("needs an x86-64 with AVX2")
    from mvgamba_ros.kernels.scan_cpu import SelectiveScan
    from mvgamba_ros.kernels.scan_reference import selective_scan_reference

    u, delta, z = (torch.randn(1, 40, 50) for _ in range(3))
    A, B, C = -torch.rand(40, 16) * 4, torch.randn(1, 16, 50), torch.randn(1, 16, 50)
    D, bias = torch.randn(40), torch.randn(40)
    arguments = (u, delta, A, B, C, D, z, bias)
    y, _ = SelectiveScan.apply(*arguments, True, True, native.library(instructions))
    expected, _ = selective_scan_reference(*(x.double() for x in arguments), delta_softplus=True)
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
