"""The parts of a check of the GPU that take the package's own dependencies: tests, reconstruction, training."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from tools.gpu_rows import DEVICE, milliseconds, needs_gpu, peak_memory, report, skip

CHAMFER_MM = 0.3
"""Mean distance between the CPU's mesh and the GPU's of an object 90 mm high, set by hand: half precision rounds
otherwise on each, and a mesh's triangles are chosen anew."""
SURFACE_POINTS = 400_000
"""Sampled of each mesh: of one surface of 150 cm^2 two samples are 0.1 mm apart, half the root of area per point."""
DEPTH_MM = 0.2
"""Median difference of the depths behind them, set by hand."""
TRAINING_STEPS = 12


def tests() -> None:
    """The tests that are marked cuda, of the files that have any."""
    if find_spec("pytest") is None:
        return skip("tests", "tests marked cuda", "no pytest")
    if needs_gpu("tests", "tests marked cuda"):
        return
    files = [str(path) for path in sorted(Path("test").glob("test_*.py")) if "@pytest.mark.cuda" in path.read_text()]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "cuda",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
    ]
    command += files
    ran = subprocess.run(command, capture_output=True, text=True)
    print(ran.stdout + ran.stderr)
    last = next((line for line in reversed(ran.stdout.splitlines()) if re.search(r"passed|failed|error", line)), "")
    report("tests", "tests marked cuda", last or ran.stderr[-150:], "all pass", ran.returncode == 0)


def captures() -> None:
    """Two captures rendered here, by the CPU and by the GPU: how far apart their meshes and depths are."""
    from rendered import views

    from mvgamba_ros.geometry.unit_cube import fit
    from mvgamba_ros.geometry.visual_hull import carve
    from mvgamba_ros.methods.mvgamba import MVGambaMethod
    from mvgamba_ros.metrics.shape import shape_errors, surface_points
    from mvgamba_ros.options import Options
    from mvgamba_ros.pipeline import reconstruct
    from mvgamba_ros.types import Prompts

    options = Options(prompts=Prompts(support_height=0.0), refine=False)
    methods = {kind: MVGambaMethod(device=kind) for kind in dict.fromkeys(("cpu", DEVICE.type))}
    report("captures", "provenance", str(methods[DEVICE.type].provenance))
    for count in (4, 8):
        seen = views(count)
        hull = carve(seen, None, options.hull_resolution, 0.0)
        shapes: dict[str, Any] = {}
        for kind, method in methods.items():
            for turn in ("first", "second"):
                began = time.perf_counter()
                shapes[kind] = method(seen, hull, options, lambda stage, share: None, lambda: False)
                spent = time.perf_counter() - began
                report(
                    "captures", f"{count} views, {kind}: {turn} reconstruction, crops to mesh", f"{1e3 * spent:.0f} ms"
                )
        for _ in range(2):
            spent_by_stage = reconstruct(seen, replace(options, device=DEVICE.type, use_masks=True)).seconds
        ms = {stage: 1e3 * seconds for stage, seconds in spent_by_stage.items()}
        said = ", ".join(f"{stage} {value:.0f}" for stage, value in ms.items() if value >= 0.5)
        report("captures", f"{count} views, images to mesh, {DEVICE.type}", f"{sum(ms.values()):.0f} ms: {said}")
        if needs_gpu("captures", f"{count} views: the CPU's mesh against the GPU's"):
            continue
        points = [surface_points(shapes[kind].mesh, SURFACE_POINTS) for kind in ("cuda", "cpu")]
        apart = shape_errors(*points)["chamfer_mm"]
        report("captures", f"{count} views: meshes apart", f"{apart:.3f} mm", f"{CHAMFER_MM} mm", apart < CHAMFER_MM)
        cube = fit(*hull.bounds())
        right = MVGambaMethod(device="cpu", precision="float32")._forward_pass(seen, cube, options).depth
        for precision in ("float32", "bfloat16", "float16"):
            got = MVGambaMethod(device="cuda", precision=precision)._forward_pass(seen, cube, options)
            depth = 1e3 * cube.half * float((got.depth - right).abs()[got.rays.valid].median())
            what = f"{count} views: depths of {precision} from the CPU's float32, median"
            report("captures", what, f"{depth:.3f} mm", f"{DEPTH_MM} mm", depth < DEPTH_MM)


def stages() -> None:
    """Between upload and download, of eight views, medians; and the whole."""
    from rendered import views

    from mvgamba_ros.geometry.torch_rays import to_device
    from mvgamba_ros.geometry.unit_cube import fit
    from mvgamba_ros.geometry.visual_hull import carve
    from mvgamba_ros.methods.mvgamba import MVGambaMethod
    from mvgamba_ros.model.cost_volume import hull_intervals, plane_sweep_cost_volume
    from mvgamba_ros.options import Options
    from mvgamba_ros.rendering.crops import make_crops

    method, seen = MVGambaMethod(device=DEVICE.type), views(8)
    config = method.network.config
    cube = fit(*carve(seen, None, 128, 0.0).bounds())
    crops = make_crops(seen, cube, config.size, config.crop_margin, 0.0)
    with torch.no_grad():
        batch = to_device(crops, DEVICE)
        rays = hull_intervals(batch, config)
        sweep = plane_sweep_cost_volume(batch, rays, config.bins)

        def network() -> Any:
            with torch.autocast(DEVICE.type, method.precision if method.half else torch.bfloat16, enabled=method.half):
                return method.network(batch, rays, sweep)

        output = network()
        calls = {
            "crops, on the CPU": lambda: make_crops(seen, cube, config.size, config.crop_margin, 0.0),
            "upload": lambda: to_device(crops, DEVICE),
            "hull intervals": lambda: hull_intervals(batch, config),
            "plane sweep": lambda: plane_sweep_cost_volume(batch, rays, config.bins),
            "network": network,
            "download": lambda: to_device(output, torch.device("cpu")),
            "crops to depths": lambda: method._forward_pass(seen, cube, Options()),
        }
        for name, call in calls.items():
            report("stages", name, f"{milliseconds(call):.2f} ms")
    peak_memory("stages", "8 views")


def training() -> None:
    """The training loop of the shipped network, on a CPU of a tiny one, on three objects rendered here: samples a
    second, once it runs."""
    from tiny_training import TINY, config, write_three_objects

    from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
    from mvgamba_ros.training.loop import Trainer

    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        write_three_objects(data)
        shipped = DEVICE.type == "cuda"
        model = load_checkpoint(SHIPPED)[0].config if shipped else TINY
        for precision in ("fp32", "bf16") if DEVICE.type == "cuda" else ("fp32",):
            steps = TRAINING_STEPS if DEVICE.type == "cuda" else 2
            settings = replace(
                config(data),
                model=model,
                views_per_step=8,
                view_counts={4: 1.0},
                precision=precision,
                samples=10**6,
            )
            trainer = Trainer(settings, Path(scratch) / precision, log=lambda line: None)
            batches = trainer._batches()
            on_device = [to_there(next(batches), trainer) for _ in range(2)]
            spent = milliseconds(lambda t=trainer, b=on_device: t._update(b[0]), steps)  # type: ignore[misc]
            rate = 1e3 * trainer.objects(on_device[0]) / spent
            report(
                "training",
                f"{'shipped' if shipped else 'tiny'} network, {precision}, 2 objects of 4 views a step",
                f"{rate:.1f} samples/s",
            )
            peak_memory("training", precision)


def to_there(batch: Any, trainer: Any) -> Any:
    from mvgamba_ros.geometry.torch_rays import to_device

    return to_device(batch, trainer.accelerator.device)
