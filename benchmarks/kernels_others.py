"""The CPU kernels beside those of other projects, compiled from clones of theirs.

usage: python -m benchmarks.kernels_others --ggml DIR --opensplat DIR [--repeats 20] [--build DIR]

  git clone --depth 1 https://github.com/ggml-org/ggml
  git clone --depth 1 https://github.com/pierotofy/OpenSplat
  python -m benchmarks.kernels_others --ggml ggml --opensplat OpenSplat

Compiles small bridges against the clones (benchmarks/bridges; it takes CMake, a C++ compiler and, the first time, some
minutes) and times, in one process and on one thread, on the same numbers:

  --ggml       its operation ggml_ssm_scan beside `selective_scan`: recurrence and softplus, which is all it does
  --opensplat  its CPU rasteriser beside `rasterize`: projection and blending of one view, and with the gradients of
               means, quaternions, scales, opacities and colours
  IPEX         torch.ops.torch_ipex.selective_scan_fn beside `selective_scan`, with skip and gate, where
               intel_extension_for_pytorch imports (its versions each need one of torch)

Each kernel of theirs is first checked to give what ours gives, and its row says how far they are apart. Then both are
called in turn; a row holds medians, and the median of the turns' ratios with its quartiles in brackets: the ratio is
theirs to ours, above 1 where ours is the faster. Times are the processor's for this process, not the clock's on the
wall, so that a machine that does something else beside can measure too.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernels_rasterize import trained_like_scene
from benchmarks.kernels_scan import STATES, scan_arguments
from benchmarks.machine import processor
from benchmarks.timing import Calls, turns
from mvgamba_ros.kernels import native, selective_scan
from mvgamba_ros.kernels.rasterize import rasterize

BRIDGES = Path(__file__).parent / "bridges"
MARKS = {
    "ggml": ("include/ggml.h", "https://github.com/ggml-org/ggml"),
    "opensplat": ("rasterizer/gsplat-cpu/gsplat_cpu.cpp", "https://github.com/pierotofy/OpenSplat"),
}
"""What a clone must hold, and where it comes from."""

SCANS = [(1024, 768), (4096, 1536)]  # length, width
PICTURES = [(4096, 128), (16384, 256), (65536, 512)]  # Gaussians, pixels a side
SCAN_TOLERANCE = 1e-4
"""Largest difference of outputs, of the largest output: float32 sums over up to thousands of steps."""
PIXELS_APART, COLOUR_APART, GRADIENT_TOLERANCE = 1e-3, 1e-2, 1e-2
"""At most so many pixels differ by more than so much, as OpenSplat cuts a Gaussian off at a box of three standard
deviations; and the norm of the gradients' difference is at most so much of their norm."""
NEAR, FAR = 0.5, 10.0
"""Clip planes of OpenSplat's projection, metres: it sorts by the depth between them, which float32 tells apart the less
the closer the near one is to the camera."""
LEARNED = ("means", "quats", "scales", "opacities", "colors")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ggml", metavar="DIR", type=Path, help="clone of ggml")
    parser.add_argument("--opensplat", metavar="DIR", type=Path, help="clone of OpenSplat")
    parser.add_argument("--repeats", type=int, default=20, help="timed turns of each row (%(default)s)")
    parser.add_argument(
        "--build", metavar="DIR", type=Path, default=Path("build/kernels_others"), help="build folder (%(default)s)"
    )
    args = parser.parse_args(argv)
    clones = {name: folder for name in MARKS if (folder := getattr(args, name)) is not None}
    for name, folder in clones.items():
        mark, address = MARKS[name]
        if not (folder / mark).is_file():
            parser.error(f"--{name} {folder}: no {mark} there. Get the clone: git clone --depth 1 {address} {folder}")
    ipex, why_not = ipex_scan()
    if not clones and ipex is None:
        parser.error(f"nothing to compare with: give --ggml DIR or --opensplat DIR (see --help); {why_not}")
    torch.set_num_threads(1)
    if clones:
        build(clones, args.build)
    print(f"{processor()}, {native.instruction_set()}, 1 thread, torch {torch.__version__}, {args.repeats} turns")
    if why_not:
        print(f"IPEX left out: {why_not}")
    print("\n| kernel of theirs | size | ours ms | theirs ms | theirs / ours | apart by |")
    print("|---|---|---:|---:|---:|---|")
    if "ggml" in clones:
        for length, width in SCANS:
            ggml_row(ctypes.CDLL(str(args.build / "libbridge_ggml.so")), length, width, args.repeats)
    if ipex is not None:
        for length, width in SCANS:
            ipex_row(ipex, length, width, args.repeats)
    if "opensplat" in clones:
        torch.ops.load_library(str((args.build / "libbridge_opensplat.so").resolve()))
        for N, pixels in PICTURES:
            opensplat_rows(N, pixels, args.repeats)


def build(clones: dict[str, Path], folder: Path) -> None:
    """Compiles the bridges to ``clones`` into ``folder``; ends the program with the compiler's last lines where it
    cannot."""
    named = [f"-D{name.upper()}_DIR={clones[name].resolve() if name in clones else ''}" for name in MARKS]
    configure = ["cmake", "-S", str(BRIDGES), "-B", str(folder), f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"]
    for command in ([*configure, *named], ["cmake", "--build", str(folder), "--parallel", "2"]):
        print("$", *command, file=sys.stderr, flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            last = "\n".join(done.stdout.splitlines()[-20:])
            raise SystemExit(
                f"{last}\nbuilding the bridges failed (exit status {done.returncode}): a clone may be of a version "
                f"whose functions have changed; see {BRIDGES}, and docs/kernels.md for versions that compile"
            )


def row(
    name: str, size: str, calls: Calls, repeats: int, apart: str, clock: Callable[[], float] = time.process_time
) -> None:
    """Prints a row: ``calls`` are ours and theirs, in this order, timed by ``clock``."""
    times = turns(calls, repeats, clock)
    ours, theirs = times.values()
    low, middle, high = statistics.quantiles((b / a for a, b in zip(ours, theirs, strict=True)), n=4)
    print(
        f"| {name} | {size} | {1e3 * statistics.median(ours):.2f} | {1e3 * statistics.median(theirs):.1f} "
        f"| {middle:.1f}x [{low:.1f}, {high:.1f}] | {apart} |",
        flush=True,
    )


def scan_apart(ours: Tensor, theirs: Tensor) -> str:
    """How far two scans are apart; raises `AssertionError` beyond `SCAN_TOLERANCE`."""
    apart = float((ours - theirs).abs().max() / ours.abs().max())
    if not apart <= SCAN_TOLERANCE:
        raise AssertionError(f"the scans differ by {apart:.1e} of the largest output, more than {SCAN_TOLERANCE:g}")
    return f"{apart:.0e}"


def ggml_row(library: ctypes.CDLL, length: int, width: int, repeats: int) -> None:
    arguments = scan_arguments(length, width)
    arguments["delta"] = arguments["delta"] + arguments["delta_bias"][:, None]
    ours = partial(selective_scan, **{name: arguments[name] for name in ("u", "delta", "A", "B", "C")})
    tokens = {name: arguments[name].transpose(1, 2).contiguous() for name in ("u", "delta", "B", "C")}
    tensors = [tokens["u"], tokens["delta"], arguments["A"].contiguous(), tokens["B"], tokens["C"]]

    library.bridge_ggml_new.restype = ctypes.c_void_p
    library.bridge_ggml_run.restype = ctypes.POINTER(ctypes.c_float)
    library.bridge_ggml_run.argtypes = library.bridge_ggml_delete.argtypes = [ctypes.c_void_p]
    sizes = [ctypes.c_int64(size) for size in (length, width, STATES)]
    made = library.bridge_ggml_new(*sizes, *(ctypes.c_void_p(x.data_ptr()) for x in tensors))
    theirs = partial(library.bridge_ggml_run, made)
    output = theirs()
    if not output:
        raise RuntimeError("ggml could not compute the scan")
    y = torch.frombuffer(
        (ctypes.c_float * (length * width)).from_address(ctypes.addressof(output.contents)), dtype=torch.float32
    )
    with torch.no_grad():
        apart = scan_apart(ours(delta_softplus=True), y.view(1, length, width).transpose(1, 2))
        row(
            "ggml_ssm_scan",
            f"{length} x {width}",
            {"ours": partial(ours, delta_softplus=True), "ggml": theirs},
            repeats,
            apart,
        )
    library.bridge_ggml_delete(made)


def ipex_scan() -> tuple[Callable[..., Any] | None, str]:
    """IPEX's operator, or why there is none."""
    try:
        importlib.import_module("intel_extension_for_pytorch")
        return torch.ops.torch_ipex.selective_scan_fn, ""
    except (ImportError, OSError, AttributeError, SystemExit) as error:  # it exits where torch's version is another
        return None, f"intel_extension_for_pytorch does not import ({type(error).__name__}: {error})"


def ipex_row(operator: Callable[..., Any], length: int, width: int, repeats: int) -> None:
    arguments = scan_arguments(length, width)
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    theirs = partial(operator, *(arguments[name].contiguous() for name in names), True, False)
    ours = partial(selective_scan, **arguments, delta_softplus=True)
    with torch.no_grad():
        apart = scan_apart(ours(), theirs()[0])
        row("IPEX selective_scan_fn", f"{length} x {width}", {"ours": ours, "IPEX": theirs}, repeats, apart)


class Blend(torch.autograd.Function):
    """OpenSplat's blending with its own gradients, as its training calls it."""

    @staticmethod
    def forward(ctx: Any, width: int, height: int, *tensors: Tensor) -> Tensor:
        image, transmittance, owner, lists = torch.ops.bridge_opensplat.blend(width, height, *tensors)
        ctx.save_for_backward(*tensors, transmittance)
        ctx.width, ctx.height, ctx.owner, ctx.lists = width, height, owner, lists
        return image

    @staticmethod
    def backward(ctx: Any, of_image: Tensor) -> tuple[Tensor | None, ...]:
        of_alpha = torch.zeros(ctx.height, ctx.width)
        centers, conics, colors, opacities = torch.ops.bridge_opensplat.blend_backward(
            ctx.width, ctx.height, *ctx.saved_tensors, ctx.lists, of_image.contiguous(), of_alpha
        )
        conics = conics * conics.new_tensor([1.0, 2.0, 1.0])  # of the covariance between x and y it hands back a half
        return None, None, centers, conics, colors, opacities, None, None, None


def opensplat_color(scene: dict[str, Any]) -> Tensor:
    """The scene's only view as OpenSplat draws it, on black, (H, W, 3)."""
    T, K = scene["T_camera_world"][0], scene["K"][0]
    width, height = scene["width"], scene["height"]
    fx, fy, cx, cy = (float(K[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    clip = torch.zeros(4, 4)
    clip[0, 0], clip[0, 2], clip[1, 1], clip[1, 2] = (
        2 * fx / width,
        2 * cx / width - 1,
        2 * fy / height,
        2 * cy / height - 1,
    )
    clip[2, 2], clip[2, 3], clip[3, 2] = (FAR + NEAR) / (FAR - NEAR), -FAR * NEAR / (FAR - NEAR), 1.0
    centers, conics, covariances, depths = torch.ops.bridge_opensplat.project(
        scene["means"], scene["scales"], scene["quats"], T, clip @ T, fx, fy, cx, cy, height, width
    )
    opacities = scene["opacities"][:, None]
    color = Blend.apply(width, height, centers, conics, scene["colors"], opacities, torch.zeros(3), covariances, depths)
    assert isinstance(color, Tensor)
    return color


def our_color(scene: dict[str, Any]) -> Tensor:
    return rasterize(**scene).color[0]


def gradients(draw: Callable[[dict[str, Any]], Tensor], scene: dict[str, Any], weights: Tensor) -> tuple[Tensor, ...]:
    leaves = {name: scene[name].clone().requires_grad_() for name in LEARNED}
    return torch.autograd.grad((draw({**scene, **leaves}) * weights).sum(), list(leaves.values()))


def opensplat_rows(N: int, pixels: int, repeats: int) -> None:
    scene = trained_like_scene(N, pixels)
    scene |= {name: scene[name][:1] for name in ("T_camera_world", "K")}
    scene["opacities"] = scene["opacities"].clamp(max=0.98)  # the two bound an alpha at 0.99 and at 0.999
    size, weights = f"{N}, {pixels}^2", torch.randn(pixels, pixels, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        apart = float(((our_color(scene) - opensplat_color(scene)).abs().amax(-1) > COLOUR_APART).double().mean())
        if not apart <= PIXELS_APART:
            raise AssertionError(
                f"{apart:.2%} of the pixels differ by more than {COLOUR_APART:g}, allowed {PIXELS_APART:.2%}"
            )
        calls: Calls = {"ours": partial(our_color, scene), "OpenSplat": partial(opensplat_color, scene)}
        row("OpenSplat, forward", size, calls, repeats, f"{apart:.2%} of pixels by > {COLOUR_APART:g}")
    both = {
        name: partial(gradients, draw, scene, weights)
        for name, draw in (("ours", our_color), ("OpenSplat", opensplat_color))
    }
    pairs = zip(both["ours"](), both["OpenSplat"](), strict=True)
    off = max(float((a - b).norm() / a.norm()) for a, b in pairs)
    if not off <= GRADIENT_TOLERANCE:
        raise AssertionError(f"gradients differ by {off:.2%} of their norm, allowed {GRADIENT_TOLERANCE:.0%}")
    row("OpenSplat, both passes", size, dict(both), repeats, f"gradients by {off:.1%}")


if __name__ == "__main__":
    main()
