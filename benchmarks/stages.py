"""Where a reconstruction's time goes, and what the parts cost beside each other.

usage: python -m benchmarks.stages CAPTURE [--runs 5] [--roi-scale 1.4] [--profile docs/images/profile.png]

Reconstructs the views of CAPTURE (a folder with transforms.json) with the network and our own segmentation, warm, as
often as --runs says, with and without refinement; runs in the same turns the network's forward pass alone and its own
matrix products alone, in float32 and, where the pipeline uses it on this processor, in bfloat16. Prints a table of
median seconds per stage, the ratios with their bars, and the peak memory; draws the stages into a picture. Seconds
depend on the machine and its load; the ratios much less, since everything was timed in turn.

"Its own matrix products" are the very calls of one forward pass to linear and convolution (recorded, with their
tensors) and nothing else, in torch: those of the small networks along rays as well, which otherwise run in a kernel.
The forward is everything from the crops and the hull's intervals to depths and Gaussians.
CAPTURE's own masks and depth are not used. OMP_NUM_THREADS sets the threads.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.capture_meshes import region
from benchmarks.machine import peak_bytes, processor
from benchmarks.matrix_products import products
from mvgamba_ros.factories import load_method
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.methods import mvgamba
from mvgamba_ros.methods.mvgamba import MVGambaMethod
from mvgamba_ros.model import cascade_head, raygamba
from mvgamba_ros.model.cascade_head import MultiViewFeatures
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import STAGES, reconstruct
from mvgamba_ros.rendering.crops import CropBatch
from mvgamba_ros.types import Prompts, View

Seconds = dict[str, float]

INSIDE = {
    "crops": (mvgamba, "make_crops"),
    "intervals": (mvgamba, "hull_intervals"),
    "forward": (raygamba.RayGamba, "forward"),
    "colour sweep": (raygamba, "plane_sweep_cost_volume"),
    "views prepared": (MultiViewFeatures, "of"),
    "views aggregated": (cascade_head, "aggregate_views"),
    "integrate": (mvgamba, "integrate_depth_maps"),
    "smooth": (mvgamba, "smooth"),
    "silhouettes": (mvgamba, "enforce_silhouettes"),
    "recarve": (mvgamba, "recarve_around"),
    "solid": (mvgamba, "solid"),
    "mesh": (mvgamba, "solid_to_mesh"),
    "refine": (mvgamba, "fit_gaussians"),
}
"""The parts of the pipeline's stage "method", each with the function that does it; those in `IN_FORWARD` are inside
the forward."""
IN_FORWARD = ("colour sweep", "views prepared", "views aggregated")

ROWS = {
    "check": "check and undistort the views",
    "segment": "segment",
    "support": "find the support plane",
    "poses": "check the poses",
    "hull": "carve the hull",
    "crops": "crop the views",
    "intervals": "hull interval of every ray",
    "colour sweep": "colours along every ray",
    "source views": "sample and aggregate source views",
    "layers": "layers of the network",
    "integrate": "integrate the depth maps",
    "smooth": "smooth the field",
    "silhouettes": "enforce the silhouettes",
    "solid": "drop floaters, fill hollows",
    "recarve": "carve again if the hull is too wide",
    "mesh": "field to mesh",
    "paint": "paint the mesh",
    "cloud": "sample the cloud",
    "texture": "bake the texture",
    "box": "oriented box",
    "quality": "check against the views",
    "trust": "expected errors",
    "other": "between these",
    "refine": "refine the Gaussians",
}
NETWORK = ("intervals", "colour sweep", "source views", "layers")
AROUND = ("segment", "support", "hull", "integrate", "smooth", "silhouettes", "solid", "recarve", "mesh", "paint")
"""Segmentation, hull and surface: what the second bar counts."""
COLORS = {**dict.fromkeys(NETWORK, "tab:orange"), **dict.fromkeys(AROUND, "tab:blue"), "refine": "tab:green"}

PASSES = 8
"""Of the network alone in each turn: they are short, so that one interruption must not decide."""
PRODUCTS_BAR, AROUND_BAR, REFINE_BAR = 1.6, 4.0, 4.0


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", metavar="CAPTURE", type=Path)
    parser.add_argument("--views", default="transforms.json", help="views file in CAPTURE (%(default)s)")
    parser.add_argument("--checkpoint", default="", help="weights; by default those of the package")
    parser.add_argument("--runs", type=int, default=5, help="timed turns after one warm-up (%(default)s)")
    parser.add_argument(
        "--roi-scale", type=float, help="tell the region of interest: bounds of CAPTURE/truth.ply times this"
    )
    parser.add_argument("--profile", type=Path, default=Path("docs/images/profile.png"), help="picture (%(default)s)")
    args = parser.parse_args(argv)

    views = [replace(view, mask=None, depth=None) for view in read_capture(args.capture, args.views)]
    prompts = Prompts(roi=region(args.capture, args.roi_scale))
    options = Options(method="mvgamba", checkpoint=args.checkpoint, prompts=prompts, refine=False, device="cpu")
    method = load_method(options)
    assert isinstance(method, MVGambaMethod)

    networks = {"float32": load_checkpoint(Path(args.checkpoint) if args.checkpoint else SHIPPED)[0]}
    if method.half:
        networks["bfloat16"] = method.network
    stages, alone, peaks = measure(views, options, networks, args.runs)
    size = f"{views[0].camera.width}x{views[0].camera.height}"
    setting = (
        f"{args.capture.name}, {len(views)} views of {size}; {processor()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}; medians of {args.runs} warm runs; load {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores"
    )
    print("\n".join([setting, "", *table(stages), "", *verdicts(stages, alone), "", *peaks]), flush=True)
    draw(stages, setting, args.profile)
    print(f"\n{args.profile}: the stages as bars")


def measure(
    views: Sequence[View], options: Options, networks: Mapping[str, raygamba.RayGamba], runs: int
) -> tuple[Seconds, Seconds, list[str]]:
    """Median seconds of every row of `ROWS`; of each network (by the precision it runs in) and its products alone; and
    lines on peak memory.

    All are run in turn, after one turn that warms up.
    """
    stages, crops = run_pipeline(views, options)
    peaks = [f"peak memory {peak_bytes() / 1e9:.2f} GB without refinement"]
    run_pipeline(views, replace(options, refine=True))
    peaks.append(f"peak memory {peak_bytes() / 1e9:.2f} GB with refinement")  # before anything is recorded
    with torch.no_grad():
        rays = hull_intervals(crops, next(iter(networks.values())).config)
        calls: dict[str, tuple[str, Callable[[], object]]] = {}
        for precision, network in networks.items():
            with in_precision(precision):
                only_products = products(network, crops, rays)
            calls[f"{precision} forward"] = precision, partial(network, crops, rays)
            calls[f"{precision} with intervals"] = precision, partial(network, crops)
            calls[f"{precision} products"] = precision, only_products
        turns: dict[str, list[float]] = defaultdict(list)
        alone: dict[str, list[float]] = defaultdict(list)
        for turn in range(runs + 1):
            with torch.enable_grad():
                stages, _ = run_pipeline(views, options)
                refined, _ = run_pipeline(views, replace(options, refine=True))
            passes = []
            for name, (precision, call) in PASSES * list(calls.items()):
                with in_precision(precision):
                    passes.append((name, seconds(call)))
            if turn:
                for name, value in {**stages, "refine": refined["refine"]}.items():
                    turns[name].append(value)
                for name, value in passes:
                    alone[name].append(value)
    return {k: median(turns[k]) for k in ROWS}, {k: median(v) for k, v in alone.items()}, peaks


def in_precision(name: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16")


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def run_pipeline(views: Sequence[View], options: Options) -> tuple[Seconds, CropBatch]:
    """Seconds of one reconstruction by the rows of `ROWS`, and the crops that the network saw."""
    spent: Seconds = dict.fromkeys(INSIDE, 0.0)
    seen: list[CropBatch] = []

    def keep(_: str, result: object) -> None:
        if isinstance(result, CropBatch):
            seen.append(result)

    began = time.perf_counter()
    with timed(spent, keep):
        stage_seconds = reconstruct(views, options).seconds
    whole = time.perf_counter() - began
    rows = {
        **{name: stage_seconds[name] for name in STAGES if name not in ("method", "surface", "undistort")},
        **{name: value for name, value in spent.items() if name in ROWS},
        "source views": spent["views prepared"] + spent["views aggregated"],
        "check": stage_seconds["check"] + stage_seconds["undistort"],
        "paint": stage_seconds["surface"],
        "layers": spent["forward"] - sum(spent[name] for name in IN_FORWARD),
    }
    rows["other"] = whole - sum(rows.values())
    return rows, seen[0]


@contextmanager
def timed(spent: Seconds, keep: Callable[[str, object], object]) -> Iterator[None]:
    """Within this context the functions of `INSIDE` add their seconds to ``spent`` and hand ``keep`` their name and
    result."""

    def watch(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            result = function(*args, **kwargs)
            spent[name] += time.perf_counter() - began
            keep(name, result)
            return result

        return watched

    with ExitStack() as stack:
        for name, (owner, attribute) in INSIDE.items():
            stack.enter_context(patch.object(owner, attribute, watch(name, getattr(owner, attribute))))
        yield


def table(stages: Seconds) -> list[str]:
    without = sum(value for name, value in stages.items() if name != "refine")
    lines = ["| stage | seconds | share |", "|---|---:|---:|"]
    for name, label in ROWS.items():
        share = "" if name == "refine" else f"{stages[name] / without:.0%}"
        lines.append(f"| {label} | {stages[name]:.3f} | {share} |")
    lines.append(f"| **images to mesh and cloud** | **{without:.3f}** | |")
    return lines


def verdicts(stages: Seconds, alone: Seconds) -> list[str]:
    """The ratios with their bars."""
    around = sum(stages[name] for name in AROUND)
    rest = sum(value for name, value in stages.items() if name != "refine")
    rows = []
    for precision in dict.fromkeys(name.split()[0] for name in alone):
        forward, whole, products = (alone[f"{precision} {part}"] for part in ("forward", "with intervals", "products"))
        rows += [
            (f"the network's forward over its matrix products, {precision}", forward, products, PRODUCTS_BAR),
            ("  and with the hull intervals too", whole, products, PRODUCTS_BAR),
            ("  segmentation, hull and surface over that", around, whole, AROUND_BAR),
        ]
    rows.append(("refinement over all the rest", stages["refine"], rest, REFINE_BAR))
    lines = ["| ratio | ms | to ms | ratio | at most | |", "|---|---:|---:|---:|---:|---|"]
    for label, value, yardstick, bar in rows:
        kept = "kept" if value <= bar * yardstick else "missed"
        cells = f"{1e3 * value:.1f} | {1e3 * yardstick:.1f} | {value / yardstick:.2f} | {bar:.1f} | {kept}"
        lines.append(f"| {label} | {cells} |")
    return lines


def draw(stages: Seconds, setting: str, path: Path) -> None:
    """Horizontal bars, first stage on top: the network orange, segmentation, hull and surface blue."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    names = list(ROWS)
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    bars = axes.barh(
        [ROWS[name] for name in names],
        [stages[name] for name in names],
        color=[COLORS.get(name, "tab:gray") for name in names],
    )
    axes.bar_label(bars, labels=[f"{stages[name]:.3f}" for name in names], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("seconds")
    axes.spines[["top", "right"]].set_visible(False)
    groups = {
        "segmentation, hull, surface": "tab:blue",
        "network": "tab:orange",
        "the rest": "tab:gray",
        "refinement": "tab:green",
    }
    axes.legend(handles=[Patch(color=color, label=label) for label, color in groups.items()], loc="best", fontsize=8)
    axes.set_title(setting.replace("; medians", ";\nmedians"), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
