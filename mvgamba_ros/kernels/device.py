"""Where networks run: the option ``device``."""

from __future__ import annotations

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.kernels.scan_cuda import FoundScan, described, working_scan

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str, scans: bool = True) -> tuple[torch.device, tuple[str, ...]]:
    """The device of a name: ``cpu``, ``cuda``, ``cuda:N``, or ``auto``, the GPU where torch sees one and a selective
    scan works on it, else the CPU. Not so for a network that does not scan (``scans`` False): that takes any GPU.

    -> The device, and notes for the result: why ``auto`` does not take a GPU that is there, and which scan of the GPU's
    is installed and does not work.

    Raises MISSING_PACKAGE for a GPU that cannot be, BAD_OPTION for any other name.
    """
    seen = torch.cuda.is_available()
    if name == "auto":
        if not seen:
            return torch.device("cpu"), ()
        found = working_scan("cuda") if scans else None
        if found is not None and found.scan is None:
            return torch.device("cpu"), (f"the network ran on the CPU, not the GPU: {_unusable(found)}",)
        return torch.device("cuda"), _passed_over(found)
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
    found = working_scan(name) if scans else None
    if found is not None and found.scan is None:
        raise ReconstructionError(ErrorCode.MISSING_PACKAGE, f"device {name}: {_unusable(found)}, or choose device cpu")
    return torch.device(name), _passed_over(found)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """In what a network's products are made on ``device``: ``float32``, ``bfloat16``, ``float16``, or ``auto``,
    bfloat16 where `has_bfloat16`, else float32. Raises BAD_OPTION for another name, and for float16 on a CPU, which
    has no instructions for it."""
    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    chosen = PRECISIONS.get(name)
    if chosen is None or (chosen is torch.float16 and device.type == "cpu"):
        where = "" if chosen is None else " on a CPU"
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"precision '{name}'{where}: choose auto, {', '.join(PRECISIONS)} (that on a GPU only)",
        )
    return chosen


def ran_on(device: torch.device, scans: bool = True) -> dict[str, str]:
    """Entries of a ``provenance``: the device and, of a GPU, the card's name and, for a network that ``scans``, which
    selective scan runs there."""
    if device.type != "cuda":
        return {"device": str(device)}
    card = torch.cuda.get_device_name(device)
    scan = {"selective_scan": working_scan(str(device)).name} if scans else {}
    return {"device": f"{device} ({card})", **scan}


def _unusable(found: FoundScan) -> str:
    """Why no scan works there, torch's own included, and what to do."""
    return (
        f"no selective scan works there ({described(found.faults)}); torch {torch.__version__} must be built for this "
        f"GPU and its driver (it is for CUDA {torch.version.cuda})"
    )


def _passed_over(found: FoundScan | None) -> tuple[str, ...]:
    """Notes of what is installed and does not work; a package that is missing is none."""
    faults = {} if found is None else found.faults
    remedies = {
        "mamba-ssm": f"built for torch {torch.__version__} and CUDA {torch.version.cuda} it would: pip install "
        "--force-reinstall --no-deps --no-build-isolation --no-binary :all: mamba-ssm",
        "triton": "it needs the version that this torch was released with, a C compiler and Python's headers",
    }
    return tuple(
        f"the selective scan was {found.name}'s, as {name} does not work ({fault}); {remedies[name]}"
        for name, fault in faults.items()
        if found is not None and not _is_missing(name.replace("-", "_"), fault)
    )


def _is_missing(package: str, fault: str) -> bool:
    """Whether nothing more is wrong with a package; one of those that it imports in turn is more."""
    return any(f"{words} {package}" in fault.replace("'", "") for words in ("No module named", "import of"))
