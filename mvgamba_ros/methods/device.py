"""Where a method's network runs: the option ``device``."""

from __future__ import annotations

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.kernels.cuda import scan_fault


def choose_device(name: str, scans: bool = True) -> tuple[torch.device, tuple[str, ...]]:
    """The device of a name: ``cpu``, ``cuda``, ``cuda:N``, or ``auto``, the GPU where torch sees one and mamba-ssm,
    whose kernel the scan takes there, works on it, else the CPU. Not so for a network that does not scan
    (``scans`` False): that takes any GPU.

    -> The device, and notes for the result: why ``auto`` does not take a GPU that is there.

    Raises MISSING_PACKAGE for a GPU that cannot be, BAD_OPTION for any other name.
    """
    seen = torch.cuda.is_available()
    if name == "auto":
        fault = scan_fault("cuda") if seen and scans else ""
        if fault:
            return torch.device("cpu"), (f"the network ran on the CPU, not the GPU: {_remedy(fault)}",)
        return torch.device("cuda" if seen else "cpu"), ()
    kind, _, index = name.partition(":")
    if name == "cpu":
        return torch.device("cpu"), ()
    if kind != "cuda" or (name != "cuda" and not index.isdecimal()):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"device '{name}': choose auto, cpu, cuda or cuda:N")
    if not seen:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"device {name}: torch {torch.__version__} sees no GPU; install a torch built for CUDA, or choose device "
            "cpu",
        )
    if index and int(index) >= torch.cuda.device_count():
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"device {name}: torch sees {torch.cuda.device_count()} GPU, numbered from 0"
        )
    fault = scan_fault(name) if scans else ""
    if fault:
        raise ReconstructionError(ErrorCode.MISSING_PACKAGE, f"device {name}: {_remedy(fault)}, or choose device cpu")
    return torch.device(name), ()


def _remedy(fault: str) -> str:
    """What is wrong with mamba-ssm, whose ``fault`` is known, and what to do."""
    if "No module named 'mamba_ssm" in fault:
        return "mamba-ssm, whose kernel the scan takes there, is missing; pip install mamba-ssm"
    return (
        f"mamba-ssm, whose kernel the scan takes there, does not work ({fault}); it must be built for torch "
        f"{torch.__version__} and CUDA {torch.version.cuda}: pip install --force-reinstall --no-deps "
        "--no-build-isolation --no-binary :all: mamba-ssm"
    )
