"""The parts of a check of the GPU that need torch and numpy alone: machine, kernels, the paper's network."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from tools.gpu_rows import DEVICE, milliseconds, needs_gpu, peak_memory, report
from tools.gpu_ways import GRAPH, ways

KERNEL_TOLERANCE = 2e-4
"""Of the largest value of a tensor, float32 against float64 on the CPU."""
PAPER_MS = 30.0
"""The paper's inference time for its 16,384 Gaussians, on an A800."""
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def machine() -> None:
    """What it runs on."""
    report(
        "machine", "processor, Python, torch", f"{platform.machine()}, {platform.python_version()}, {torch.__version__}"
    )
    if not needs_gpu("machine", "card"):
        from mvgamba_ros.kernels.rasterize_cuda import working_rasteriser
        from mvgamba_ros.kernels.scan_cuda import working_scan

        major, minor = torch.cuda.get_device_capability()
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        report(
            "machine",
            "card",
            f"{torch.cuda.get_device_name()}, {major}.{minor}, {total:.0f} GB, CUDA {torch.version.cuda}",
        )
        found = working_scan("cuda")
        report("machine", "the scan that runs", found.name or "none", "one", found.scan is not None)
        for name, fault in found.faults.items():
            report("machine", f"not {name}", fault)
        report("machine", "the rasteriser that runs", working_rasteriser("cuda").__name__)
    for name in ("triton", "mamba_ssm", "causal_conv1d", "gsplat", "open3d", "pytest"):
        report("machine", name, "there" if find_spec(name) else "missing")


def build() -> None:
    """The native CPU kernels, which the CPU's half of each comparison runs."""
    from mvgamba_ros.kernels import native

    kernels = Path(native.__file__).parent
    if any(kernels.glob("libmvgamba_kernels_*.so")):
        report("build", "native CPU kernels", "there")
        return
    made = Path("build/gpu_check_kernels")
    configure = ["cmake", "-S", str(kernels / "native"), "-B", str(made), f"-DMVGAMBA_KERNELS_DIR={kernels.resolve()}"]
    subprocess.run(configure, check=True)
    subprocess.run(["cmake", "--build", str(made), "--parallel", "8"], check=True)
    report("build", "native CPU kernels", "built")


def kernels() -> None:
    """Each of ours that a GPU runs against float64 on the CPU, forward and gradients, and its time."""
    from mvgamba_ros.kernels import selective_scan
    from mvgamba_ros.kernels.conv import causal_conv1d_reference

    def scan(backend: str, device: torch.device, dtype: torch.dtype, *shape: int) -> list[Tensor]:
        leaves = [x.to(device, dtype).requires_grad_() for x in scan_arguments(*shape)]
        y = selective_scan(*leaves, delta_softplus=True, backend=backend)
        return [y.detach(), *torch.autograd.grad(y.tanh().sum(), leaves)]

    cpu, shape = torch.device("cpu"), (2, 70, 300, 16)
    right = scan("reference", cpu, torch.float64, *shape)
    for backend in ("triton", "chunked"):
        if backend == "chunked" or not needs_gpu("kernels", f"scan, {backend}"):
            compare(f"scan, {backend}", lambda b=backend: scan(b, DEVICE, torch.float32, *shape), right)
    x, weight = torch.randn(2, 50, 40, dtype=torch.float64), torch.randn(40, 4, dtype=torch.float64)
    compare(
        "causal convolution",
        lambda: [causal_conv1d_reference(x.float().to(DEVICE), weight.float().to(DEVICE), None, True)],
        [causal_conv1d_reference(x, weight, None, True)],
    )
    rasterisers()
    if needs_gpu("kernels", "scan of 16,384 tokens, width 1536: time"):
        return
    for backend in ("cuda", "triton", "chunked"):
        time_scan(backend)


def time_scan(backend: str) -> None:
    """Of the paper's longest scan."""
    from mvgamba_ros.kernels import selective_scan

    given = [x.float().to(DEVICE) for x in scan_arguments(1, 1536, 16384, 16)]

    def forward() -> Tensor:
        return selective_scan(*given, delta_softplus=True, backend=backend)

    def both() -> None:
        leaves = [x.requires_grad_() for x in given]
        torch.autograd.grad(selective_scan(*leaves, delta_softplus=True, backend=backend).sum(), leaves)

    try:
        with torch.no_grad():
            report("kernels", f"scan 16384 x 1536, {backend}: forward", f"{milliseconds(forward):.2f} ms")
        report("kernels", f"scan 16384 x 1536, {backend}: both passes", f"{milliseconds(both, 3):.2f} ms")
        peak_memory("kernels", f"scan 16384 x 1536, {backend}")
    except Exception as error:  # one backend that fails leaves the others
        report("kernels", f"scan 16384 x 1536, {backend}", f"{type(error).__name__}: {error}"[:200], "runs", False)


def rasterisers() -> None:
    """Those of the GPU; on the CPU the one that runs anywhere."""
    from mvgamba_ros.kernels.rasterize import rasterize

    g = torch.Generator().manual_seed(0)
    N, V, size = 300, 2, 70
    T = torch.eye(4).repeat(V, 1, 1)
    T[:, 2, 3] = 2.0
    K = torch.tensor([[60.0, 0, 34], [0, 64, 36], [0, 0, 1]]).repeat(V, 1, 1)
    uniform = [torch.rand(N, n, generator=g) for n in (3, 4, 3, 1, 3)]
    scene = [
        uniform[0] - 0.5,
        uniform[1] - 0.5,
        0.02 + 0.06 * uniform[2],
        0.05 + 0.8 * uniform[3][:, 0],
        uniform[4],
        T,
        K,
    ]

    def drawn(backend: str, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        leaves = [x.to(device, dtype).requires_grad_() for x in scene[:6]]
        images = rasterize(*leaves, scene[6].to(device, dtype), size, size, backend=backend)
        loss = images.color.square().sum() + images.alpha.sum() + (images.depth * images.alpha).sum()
        return [images.color.detach(), images.alpha.detach(), *torch.autograd.grad(loss, leaves)]

    right = drawn("reference", torch.device("cpu"), torch.float64)
    compare("rasteriser, tiled", lambda: drawn("tiled", DEVICE, torch.float32), right)
    if not needs_gpu("kernels", "rasteriser that runs on the GPU", "rasteriser: time"):
        compare("rasteriser that runs on the GPU", lambda: drawn("cuda", DEVICE, torch.float32), right, 1e-2)
        for backend in ("cuda", "tiled"):
            spent = milliseconds(lambda b=backend: drawn(b, DEVICE, torch.float32), 5)  # type: ignore[misc]
            report("kernels", f"rasteriser, {backend}, {N} Gaussians, {V} views: both passes", f"{spent:.2f} ms")


def compare(
    what: str, call: Callable[[], list[Tensor]], right: list[Tensor], tolerance: float = KERNEL_TOLERANCE
) -> None:
    """Row of how far the worst of a call's tensors is off, relative to its largest value."""
    try:
        got = call()
    except Exception as error:  # what fails must not hide what comes after it
        report("kernels", what, f"{type(error).__name__}: {error}"[:200], "runs", False)
        return
    worst = max(float((a.double().cpu() - b).abs().max() / b.abs().max()) for a, b in zip(got, right, strict=True))
    report("kernels", f"{what}: off float64 by", f"{worst:.1e}", f"{tolerance:.0e}", worst < tolerance)


def scan_arguments(batch: int, width: int, length: int, states: int) -> list[Tensor]:
    """``NAMES``, float64, token-major."""
    g = torch.Generator().manual_seed(0)

    def tokens(channels: int) -> Tensor:
        return torch.randn(batch, length, channels, generator=g, dtype=torch.float64).transpose(1, 2)

    def vector(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    rates = -torch.exp(vector(width, states))
    return [
        tokens(width),
        tokens(width),
        rates,
        tokens(states),
        tokens(states),
        vector(width),
        tokens(width),
        vector(width),
    ]


def paper() -> None:
    """The paper's network, a forward pass of one object, at 16,384 tokens; on a CPU its tiny preset alone."""
    from mvgamba_ros.methods.published.network import PRESETS, PublishedNetwork

    for name, config in PRESETS.items():
        what = f"{name}, {config.tokens} tokens"
        if name != "tiny" and needs_gpu("paper", f"{what}: forward"):
            continue
        torch.manual_seed(0)
        network = PublishedNetwork(config).eval().to(DEVICE)
        views = torch.rand(1, config.views, 9, config.size, config.size, device=DEVICE)
        for precision in (torch.float32, torch.bfloat16) if DEVICE.type == "cuda" else (torch.float32,):

            def forward(network: PublishedNetwork = network, views: Tensor = views, p: torch.dtype = precision) -> None:
                with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=p == torch.bfloat16):
                    network(views)

            spent, kind = milliseconds(forward), str(precision).removeprefix("torch.")
            bounded = precision == torch.bfloat16 and config.tokens == 16384
            label = f"{what}: forward, {kind}"
            report(
                "paper",
                label,
                f"{spent:.1f} ms",
                f"{PAPER_MS:.0f} ms" if bounded else "",
                spent <= PAPER_MS if bounded else None,
            )
            peak_memory("paper", label)
        if DEVICE.type == "cuda":
            with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
                ways("paper", f"{what}: forward, bfloat16", lambda v, n=network: n(v).means, views, GRAPH)  # type: ignore
