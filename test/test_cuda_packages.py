"""mamba-ssm and causal-conv1d that are installed and do not work, as they often are not: built for another torch."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.kernels import cuda
from mvgamba_ros.kernels.conv import causal_conv1d_reference
from mvgamba_ros.kernels.scan_reference import selective_scan_reference
from mvgamba_ros.methods.device import choose_device
from mvgamba_ros.methods.mvgamba import MVGambaMethod

UNDEFINED = (
    "selective_scan_cuda.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c1021throwNullDataPtrErrorEv\n"
    "a second line"
)


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    """Whether a package works is found anew in every test."""
    for probe in (cuda.scan_fault, cuda.conv_works):
        probe.cache_clear()
    yield
    for probe in (cuda.scan_fault, cuda.conv_works):
        probe.cache_clear()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch sees a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


class Broken(MetaPathFinder, Loader):
    """Packages that are found and do not import."""

    def __init__(self, error: Exception, *names: str) -> None:
        self.error, self.names = error, names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname in self.names else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        raise self.error


def installed(monkeypatch: pytest.MonkeyPatch, scan: Callable[..., Any]) -> None:
    """mamba-ssm with this ``selective_scan_fn``."""
    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = scan  # type: ignore[attr-defined]
    for module in (ModuleType("mamba_ssm"), ModuleType("mamba_ssm.ops"), interface):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def right(*given: Any, return_last_state: bool, **options: Any) -> Any:
    return selective_scan_reference(*given, **options)


def test_a_mamba_ssm_that_does_not_import_leaves_the_network_on_the_cpu_and_the_result_says_why(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", [Broken(ImportError(UNDEFINED), "mamba_ssm"), *sys.meta_path])
    method = MVGambaMethod(device="auto")
    assert method.device.type == "cpu"
    (note,) = method.notes
    assert "ran on the CPU, not the GPU" in note
    assert "undefined symbol: _ZN3c10" in note and "second line" not in note
    with pytest.raises(
        ReconstructionError, match=r"device cuda: mamba-ssm.*undefined symbol.*--no-build-isolation"
    ) as e:
        choose_device("cuda")
    assert e.value.code is ErrorCode.MISSING_PACKAGE


def test_a_gpu_without_mamba_ssm_is_noted_with_the_remedy(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    device, (note,) = choose_device("auto")
    assert device.type == "cpu"
    assert "mamba-ssm" in note


def test_a_library_that_the_loader_refuses_is_a_fault_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "meta_path", [Broken(OSError("libcudart.so.11.0: cannot open"), "mamba_ssm"), *sys.meta_path]
    )
    assert cuda.scan_fault("cpu").startswith("OSError: libcudart.so.11.0")


def test_a_scan_that_answers_the_reference_works_and_the_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, right)
    assert cuda.scan_fault("cpu") == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y, h: (1.3 * y, h), "its answer is off by"),
        (lambda y, h: (y * float("nan"), h), "its answer is off by nan"),
        (lambda y, h: (y[:, :1], h), r"a tensor \(1, 1, 12\) for \(1, 8, 12\)"),
    ],
)
def test_a_scan_that_answers_something_else_does_not(wrong: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, lambda *given, **options: wrong(*right(*given, **options)))
    with pytest.raises(AssertionError, match=message):
        assert not cuda.scan_fault("cpu"), cuda.scan_fault("cpu")


def test_a_gpu_that_the_kernels_were_not_built_for_is_refused_with_torchs_words(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, right)  # and tensors cannot go to a GPU that is not there
    with pytest.raises(ReconstructionError, match=r"device cuda:0: mamba-ssm.*does not work \("):
        choose_device("cuda:0")


def convolution(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any]) -> None:
    package = ModuleType("causal_conv1d")
    package.causal_conv1d_fn = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "causal_conv1d", package)


def test_a_convolution_that_works_is_used_and_one_that_does_not_is_left_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def works(x: Any, weight: Any, bias: Any, activation: Any) -> Any:
        return causal_conv1d_reference(x.transpose(1, 2), weight, bias, activation is not None).transpose(1, 2)

    convolution(monkeypatch, works)
    assert cuda.conv_works("cpu")
    cuda.conv_works.cache_clear()
    convolution(monkeypatch, lambda *given, **options: np.nan * works(*given, **options))
    with pytest.warns(UserWarning, match="causal-conv1d does not work on cpu, plain torch is used"):
        assert not cuda.conv_works("cpu")
    cuda.conv_works.cache_clear()
    monkeypatch.delitem(sys.modules, "causal_conv1d")
    monkeypatch.setattr(sys, "meta_path", [Broken(ImportError(UNDEFINED), "causal_conv1d"), *sys.meta_path])
    with pytest.warns(UserWarning, match="undefined symbol"):
        assert not cuda.conv_works("cpu")


def test_a_convolution_that_is_not_installed_is_no_reason_to_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not cuda.conv_works("cpu")
