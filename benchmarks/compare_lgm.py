"""What a forward pass costs: the networks of this package beside LGM's, four views each.

usage: python -m benchmarks.compare_lgm [--lgm CLONE] [--time NAME ...] [--repeats N]

CLONE: a clone of 3DTopia/LGM that you have; of it only the U-Net is imported, in its size "big", with random weights.
Operations are those of torch's FlopCounterMode, two a multiply-add, and of the selective scans after the paper; the
published network's are counted from its sizes. Seconds are of one thread's processor time, medians: what else runs
on the machine hardly moves them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import processor
from mvgamba_ros.methods.published.flops import published_flops, scan_flops
from mvgamba_ros.methods.published.network import PRESETS, PublishedNetwork
from mvgamba_ros.model.checkpoint import load_checkpoint
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.rendering.crops import CropBatch
from mvgamba_ros.synthesis.orbit_cameras import PRESETS as CAMERAS
from mvgamba_ros.synthesis.orbit_cameras import orbit_intrinsics, orbit_poses

VIEWS = 4
OURS, LGM = "mvgamba (shipped)", "LGM big"
LGM_SIZE = 256
"""Side of LGM's input pictures, pixels."""
LGM_BIG: dict[str, Any] = {
    "in_channels": 9,
    "out_channels": 14,
    "down_channels": (64, 128, 256, 512, 1024, 1024),
    "down_attention": (False, False, False, True, True, True),
    "mid_attention": True,
    "up_channels": (1024, 1024, 512, 256, 128),
    "up_attention": (True, True, True, False, False),
}
"""The sizes of its configuration "big"."""


@dataclass(frozen=True)
class Cost:
    """Of one network: ``parameters``, ``flops`` of a forward pass, and ``call``, which runs one."""

    parameters: int
    flops: float
    call: Callable[[], object]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def counted(call: Callable[[], object]) -> float:
    """Operations of ``call``, with gradients: then all products are torch's, which it counts."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def quiet(call: Callable[..., object], *arguments: object) -> object:
    with torch.no_grad():
        return call(*arguments)


def processor_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median over ``repeats`` calls after one."""
    took = []
    for _ in range(repeats + 1):
        began = time.process_time()
        call()
        took.append(time.process_time() - began)
    return statistics.median(took[1:])


def ours(network: RayGamba) -> Cost:
    """On solid crops, whose every patch is a token: no view can cost more."""
    config, ring = network.config, CAMERAS["mvgamba"]
    poses = torch.from_numpy(orbit_poses(ring.inputs, 2.5, np.zeros(3))).float()[None]
    K = torch.from_numpy(orbit_intrinsics(40.0, config.size)).float().expand(1, VIEWS, 3, 3)
    size = config.size
    batch = CropBatch(
        torch.rand(1, VIEWS, 3, size, size), torch.ones(1, VIEWS, size, size), K, poses, torch.tensor([-torch.inf])
    )
    scans = len(config.orders) * scan_flops(VIEWS * (size // config.patch) ** 2, config.width)
    return Cost(parameters(network), counted(partial(network, batch)) + scans, partial(quiet, network, batch))


def published(preset: str) -> Cost:
    """A preset of the published network, built where it is called first: the warm-up of whoever times it."""
    config = PRESETS[preset]
    with torch.device("meta"):
        count = parameters(PublishedNetwork(config))
    build = cache(lambda: PublishedNetwork(config).eval())

    def call() -> Tensor:
        with torch.no_grad():
            means: Tensor = build()(torch.rand(1, config.views, 9, config.size, config.size)).means
        return means

    return Cost(count, float(sum(published_flops(config).values())), call)


def lgm(clone: Path) -> Cost:
    """The U-Net of a clone, by torch's own attention. Raises SystemExit for a folder that is none."""
    if not (clone / "core" / "unet.py").is_file():
        raise SystemExit(f"{clone} has no core/unet: give a clone of 3DTopia/LGM")
    sys.path.insert(0, str(clone))
    try:
        from core.unet import UNet  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(clone))
    network = nn.Sequential(UNet(**LGM_BIG), nn.Conv2d(14, 14, 1)).eval()
    views = torch.rand(VIEWS, 9, LGM_SIZE, LGM_SIZE)
    with torch.device("meta"):
        empty = nn.Sequential(UNet(**LGM_BIG), nn.Conv2d(14, 14, 1)).eval()
        flops = counted(partial(empty, torch.rand(VIEWS, 9, LGM_SIZE, LGM_SIZE)))
    return Cost(parameters(network), flops, partial(quiet, network, views))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lgm", metavar="CLONE", type=Path, help="a clone of 3DTopia/LGM")
    parser.add_argument("--time", nargs="*", default=None, metavar="NAME", help="networks to time (ours and LGM)")
    parser.add_argument("--repeats", type=int, default=3, help="calls of each, after one (%(default)s)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    costs = {OURS: ours(load_checkpoint()[0])}
    costs |= {f"mvgamba-published {name}": published(name) for name in PRESETS}
    if args.lgm is not None:
        costs[LGM] = lgm(args.lgm)
    timed = [OURS, *([LGM] if args.lgm else [])] if args.time is None else args.time
    if unknown := set(timed) - set(costs):
        parser.error(f"--time {', '.join(map(repr, sorted(unknown)))}: choose among {', '.join(map(repr, costs))}")
    seconds = {name: processor_seconds(costs[name].call, args.repeats) for name in timed}
    print(f"{processor()}, one thread, torch {torch.__version__}\n")
    print("| network | parameters | GFLOP | s |\n|---|---:|---:|---:|")
    for name, cost in costs.items():
        took = f"{seconds[name]:.2f}" if name in seconds else "-"
        print(f"| {name} | {cost.parameters / 1e6:.1f} M | {cost.flops / 1e9:,.1f} | {took} |")


if __name__ == "__main__":
    main()
