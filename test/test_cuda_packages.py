"""Which scan and which convolution run on a GPU: packages that are missing, or installed and built for another torch.

There is no GPU here: the order is tried on the CPU, which is a device like any other to all but Triton.
"""

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
from mvgamba_ros.kernels import cuda, scan_cuda
from mvgamba_ros.kernels.conv import causal_conv1d_reference
from mvgamba_ros.kernels.device import choose_device, ran_on
from mvgamba_ros.kernels.scan_chunked import selective_scan_chunked
from mvgamba_ros.kernels.scan_reference import selective_scan_reference

UNDEFINED = (
    "selective_scan_cuda.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c1021throwNullDataPtrErrorEv\n"
    "a second line"
)


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    """Whether a package works is found anew in every test."""
    for probe in (scan_cuda.working_scan, cuda.conv_works):
        probe.cache_clear()
    yield
    for probe in (scan_cuda.working_scan, cuda.conv_works):
        probe.cache_clear()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch sees a GPU, on which works what works on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Pretended")
    monkeypatch.setattr("mvgamba_ros.kernels.device.working_scan", lambda name: scan_cuda.working_scan("cpu"))


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


def triton_runs(monkeypatch: pytest.MonkeyPatch, scan: Callable[..., Any]) -> None:
    """Triton's scan is this one."""
    module = ModuleType("mvgamba_ros.kernels.scan_triton")
    module.selective_scan_triton = scan  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def missing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def test_without_any_package_the_scan_is_torchs_and_the_gpu_is_taken_without_a_word(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "mamba_ssm", "triton")
    assert choose_device("auto") == choose_device("cuda") == (torch.device("cuda"), ())
    found = scan_cuda.working_scan("cpu")
    assert found.name == "torch" and found.scan is selective_scan_chunked
    assert list(found.faults) == ["mamba-ssm", "triton"]
    assert ran_on(torch.device("cuda")) == {"device": "cuda (NVIDIA Pretended)", "selective_scan": "torch"}


def test_mamba_ssm_is_taken_first_and_triton_second(monkeypatch: pytest.MonkeyPatch) -> None:
    triton_runs(monkeypatch, selective_scan_reference)
    installed(monkeypatch, right)
    assert scan_cuda.working_scan("cpu").name == "mamba-ssm"
    scan_cuda.working_scan.cache_clear()
    missing(monkeypatch, "mamba_ssm.ops.selective_scan_interface")
    found = scan_cuda.working_scan("cpu")
    assert found.name == "triton" and list(found.faults) == ["mamba-ssm"]


def test_a_mamba_ssm_that_does_not_import_is_passed_over_and_the_result_says_so(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "triton")
    monkeypatch.setattr(sys, "meta_path", [Broken(ImportError(UNDEFINED), "mamba_ssm"), *sys.meta_path])
    device, (note,) = choose_device("auto")
    assert device.type == "cuda"
    assert note.startswith("the selective scan was torch's, as mamba-ssm does not work (ImportError: ")
    assert "undefined symbol: _ZN3c10" in note and "second line" not in note and "--no-build-isolation" in note


def test_a_library_that_the_loader_refuses_is_a_fault_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Broken(OSError("libcudart.so.11.0: cannot open"), "mamba_ssm")
    monkeypatch.setattr(sys, "meta_path", [refused, *sys.meta_path])
    assert "libcudart.so.11.0" in scan_cuda.working_scan("cpu").faults["mamba-ssm"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y, h: (1.3 * y, h), "its answer is off by"),
        (lambda y, h: (y * float("nan"), h), "its answer is off by nan"),
        (lambda y, h: (y[:, :1], h), r"a tensor (1, 1, 70) for (1, 40, 70)"),
        (lambda y, h: (2 * y.detach() - y, h), "its answer is off by"),  # the gradient's sign alone
    ],
)
def test_a_scan_that_answers_something_else_is_not_taken(
    wrong: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, lambda *given, **options: wrong(*right(*given, **options)))
    triton_runs(monkeypatch, lambda *given: wrong(*selective_scan_reference(*given)))
    found = scan_cuda.working_scan("cpu")
    assert found.name == "torch"
    assert message in found.faults["mamba-ssm"] and message in found.faults["triton"]


def test_a_gpu_that_torch_is_not_built_for_leaves_the_network_on_the_cpu_and_the_result_says_why(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_image(*_: Any) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    missing(monkeypatch, "mamba_ssm", "triton")
    monkeypatch.setattr(scan_cuda, "selective_scan_chunked", no_image)
    device, (note,) = choose_device("auto")
    assert device.type == "cpu"
    assert "ran on the CPU, not the GPU" in note and "torch: RuntimeError: CUDA error: no kernel image" in note
    with pytest.raises(ReconstructionError, match=r"device cuda:0: no selective scan works.*choose device cpu") as e:
        choose_device("cuda:0")
    assert e.value.code is ErrorCode.MISSING_PACKAGE
    with pytest.raises(RuntimeError, match=r"no selective scan works on cpu: mamba-ssm: .*no kernel image"):
        scan_cuda.selective_scan_cuda(torch.zeros(1, 1, 1))


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
