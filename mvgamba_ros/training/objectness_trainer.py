"""Train the silhouettes' network: scenes from `data.surroundings`, windows as the segmenter makes them.

usage: python -m mvgamba_ros.training.objectness_trainer render DATA --count 7000 --seed 1 [--workers 2]
       python -m mvgamba_ros.training.objectness_trainer sheet DATA -o sheet.png
       python -m mvgamba_ros.training.objectness_trainer train DATA -o objectness.safetensors [--start FILE --keep 0.25]

`render` may be stopped and started again; `sheet` draws what it made, silhouettes outlined. `train` holds the first
shard out, and says how well it is found.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import resample
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.segmentation import plane_matching as plane
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.support_plane import support_height
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.synthesis.backgrounds import Rng, render_scene
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.types import U8, Box, Prompts

WINDOW = 160
"""Longer side of the windows before the network's own, as the segmenter's are larger than that."""
LEAST_PIXELS = 60
"""A view that shows less of the object is none; its scene is left out."""
NOTHING = 0.03
"""Share of windows that are one colour instead, without an object: an even picture has no silhouette."""


def example(seed: int, index: int) -> tuple[U8, U8] | None:
    """Four windows of one scene, as the network takes them, and their silhouettes (V, SIDE, SIDE); None where a view
    does not show the object."""
    rng = np.random.default_rng([seed, index, 7])
    views, bounds = render_scene(Procedural(seed, index + 1)[index], rng)
    if min(int(view.mask.sum()) for view in views if view.mask is not None) < LEAST_PIXELS:
        return None
    region, searching = _region(bounds, rng)
    told = Prompts(roi=region)
    try:
        windows = make_windows(views, region, told, WINDOW)
    except ReconstructionError:  # the region reaches behind a camera
        return None
    height = support_height(windows, region, anywhere=searching)[0] if rng.random() < 0.8 else None
    pairs = plane.compare(windows, height, searching) if height is not None else [[] for _ in views]
    x = objectness.inputs(windows, pairs)
    y = np.zeros((len(views), objectness.SIDE, objectness.SIDE), np.uint8)
    for truth, view, window in zip(y, views, windows, strict=True):
        assert view.mask is not None
        small = resample(view.mask.astype(np.float32), view.camera, window.camera)
        h, w = objectness.fitted(window)
        truth[:h, :w] = np.rint(255 * cv2.resize(small, (w, h), interpolation=cv2.INTER_AREA))
    return x, y


def _region(bounds: np.ndarray, rng: Rng) -> tuple[Box, bool]:
    """A region of interest as a person gives it, or the wide one in which an object is searched."""
    size, T = np.ptp(bounds, axis=0), np.eye(4)
    searching = bool(rng.random() < 0.4)
    if searching:
        size = np.full(3, size.max() * rng.uniform(1.5, 4.5))
        T[:3, 3] = bounds.mean(0) + rng.uniform(-0.15, 0.15, 3) * size
    else:
        size = np.maximum(size * rng.uniform(1.05, 2.0), 0.02)
        T[:3, 3] = bounds.mean(0) + rng.uniform(-0.4, 0.4, 3) * (size - np.ptp(bounds, axis=0))
    return Box(T, size), searching


def _shard(job: tuple[Path, int, int, int]) -> int:
    folder, seed, first, last = job
    made = [example(seed, i) for i in range(first, last)]
    kept = [pair for pair in made if pair is not None]
    path = _path(folder, seed, first)
    partial = path.with_name(f".{path.name}")
    side = objectness.SIDE
    x = [np.zeros((0, objectness.CHANNELS, side, side), np.uint8)] + [x for x, _ in kept]
    y = [np.zeros((0, side, side), np.uint8)] + [y for _, y in kept]
    np.savez(partial, x=np.concatenate(x), y=np.concatenate(y))
    partial.rename(path)
    return len(kept)


def _path(folder: Path, seed: int, first: int) -> Path:
    return folder / f"{seed:04d}-{first:07d}.npz"


def render(folder: Path, count: int, seed: int, workers: int, per_shard: int = 100) -> None:
    """Fills ``folder`` with shards: windows x (N, CHANNELS, SIDE, SIDE) and silhouettes y (N, SIDE, SIDE), uint8.
    Shards of another seed may lie beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(folder, seed, k, min(k + per_shard, count)) for k in range(0, count, per_shard)]
    jobs = [job for job in jobs if not _path(folder, seed, job[2]).exists()]
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(_shard, jobs), 1):
            left = (time.monotonic() - start) / done * (len(jobs) - done) / 60
            print(f"{done}/{len(jobs)} shards, {left:.0f} min to go", flush=True)


def _mean_of_last(mean: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    """Of all weights so far at first, later of about the last 200."""
    return mean + (new - mean) / min(int(count) + 1, 200)


def train(
    folder: Path,
    out: Path,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    start: Path | None = None,
    keep: float = 0.0,
) -> float:
    """Trains on all shards but the first, writes the mean of the last weights to ``out``, and answers the mean IoU on
    the first. ``start``: weights to begin with, of which the share ``keep`` is mixed into what is written: what they
    knew of other scenes is not all forgotten (Wortsman et al. 2022).

    Raises BAD_OPTION for a folder of fewer than two shards.
    """
    held, *files = sorted(folder.glob("[0-9]*.npz")) or [folder]
    if not files:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"{folder} holds fewer than two shards: `render` more scenes, one shard is held out"
        )
    x, y = (torch.cat([torch.from_numpy(np.load(f)[name]) for f in files]) for name in "xy")
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = objectness.Objectness() if start is None else objectness.load(start).train()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    average = torch.optim.swa_utils.AveragedModel(network, avg_fn=_mean_of_last)
    print(f"{len(x)} windows, {sum(p.numel() for p in network.parameters()):,} parameters", flush=True)
    began, usual = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        pick = torch.randint(len(x), (batch,), generator=generator)
        pictures, truth = disturbed(x[pick].float(), y[pick].float() / 255, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            odds = network(pictures.contiguous(memory_format=torch.channels_last)).float()
        loss = F.binary_cross_entropy_with_logits(odds, truth, weight=pictures[:, 4] / 255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        usual += (loss.item() - usual) / min(step, 100)
        if step % 100 == 0 or step == steps:
            left = (time.monotonic() - began) / step * (steps - step) / 60
            print(f"step {step}/{steps}  loss {usual:.4f}  ETA {left:.0f} min", flush=True)
        if step % 1000 == 0 or step == steps:
            trained = _mixed(average.module, start, keep)  # type: ignore[arg-type]
            recipe = {"windows": len(x), "steps": step, "batch": batch, "rate": rate, "seed": seed}
            objectness.save(out, trained, {**recipe, "start": None if start is None else start.name, "keep": keep})
            found = held_out(trained, held)
            print(f"held out: mean IoU {found:.4f}", flush=True)
    return found


def _mixed(trained: objectness.Objectness, start: Path | None, keep: float) -> objectness.Objectness:
    """A network whose weights are ``keep`` parts those of ``start``, the rest ``trained``'s."""
    network = objectness.Objectness(trained.widths)
    network.load_state_dict(trained.state_dict())
    if start is not None:
        first = objectness.load(start).state_dict()
        network.load_state_dict({k: keep * first[k] + (1.0 - keep) * v for k, v in network.state_dict().items()})
    return network.eval()


@torch.no_grad()
def held_out(network: objectness.Objectness, shard: Path) -> float:
    """Mean IoU over the windows of a shard, each where the object may be."""
    with np.load(shard) as data:
        x, truth = torch.from_numpy(data["x"]), torch.from_numpy(data["y"]) > 127
    odds = torch.cat([network(part.float()) for part in x.split(32)])
    on = (odds > 0) & (x[:, 3] > 127)
    return float(((on & truth).sum((1, 2)) / (on | truth).sum((1, 2)).clamp(min=1)).mean())


def disturbed(x: Tensor, y: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirrored, brighter or darker, of other hue, noisier; now and then without what the plane says, or of nothing."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng)

    n = len(x)
    flip = draw(n) < 0.5
    inside = x[:, 4] > 0
    # mirrored within the picture, whose right end is where its zeros begin
    width = inside.any(1).sum(1)
    columns = torch.arange(x.shape[-1]).expand(n, -1)
    mirrored = torch.where(columns < width[:, None], width[:, None] - 1 - columns, columns)
    columns = torch.where(flip[:, None], mirrored, columns)
    x = x.gather(3, columns[:, None, None].expand_as(x))
    y = y.gather(2, columns[:, None].expand_as(y))
    rgb = x[:, :3] / 255
    gain = torch.exp(0.25 * (2 * draw(n, 1, 1, 1) - 1) + 0.1 * (2 * draw(n, 3, 1, 1) - 1))
    gamma = torch.exp(0.35 * (2 * draw(n, 1, 1, 1) - 1))
    swap = draw(n, 1, 1, 1) < 0.3
    rgb = torch.where(swap, rgb[:, torch.randperm(3, generator=rng)], rgb)
    grey = draw(n, 1, 1, 1) * (draw(n, 1, 1, 1) < 0.35)
    rgb = rgb + grey * (rgb.mean(1, keepdim=True) - rgb)
    rgb = (rgb.clamp(min=1e-4) ** gamma * gain).clamp(0, 1)
    empty = draw(n, 1, 1, 1) < NOTHING
    rgb = torch.where(empty, rgb[:, :, :1, :1], rgb)
    rgb = rgb + 0.015 * draw(n, 1, 1, 1) * torch.randn(rgb.shape, generator=rng)
    told = x[:, 5:] * (draw(n, 1, 1, 1) > 0.15)
    return torch.cat([255 * rgb * inside[:, None], x[:, 3:5], told], 1), y * ~empty[:, 0]


def sheet(folder: Path, out: Path, scenes: int = 16) -> None:
    """Draws four windows of each of the first scenes, two scenes in a row."""
    shard = np.load(min(folder.glob("[0-9]*.npz")))
    tiles = []
    for x, y in zip(shard["x"][: 4 * scenes], shard["y"][: 4 * scenes], strict=True):
        picture = np.ascontiguousarray(x[2::-1].transpose(1, 2, 0))
        outlines, _ = cv2.findContours((y > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        tiles.append(cv2.drawContours(picture, outlines, -1, (0, 255, 0), 1))
    rows = [np.hstack(tiles[k : k + 8]) for k in range(0, len(tiles) - len(tiles) % 8, 8)]
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("render", "sheet", "train"))
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of shards")
    parser.add_argument("-o", "--out", type=Path, help="file that sheet or train writes")
    parser.add_argument("--count", type=int, default=7000, help="scenes (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("--keep", type=float, default=0.0, help="their share of the weights written (%(default)s)")
    args = parser.parse_args(argv)
    if args.what == "render":
        render(args.data, args.count, args.seed, args.workers)
    elif args.out is None:
        parser.error(f"{args.what} needs -o, the file to write")
    elif args.what == "sheet":
        sheet(args.data, args.out)
    else:
        train(args.data, args.out, args.steps, args.batch, args.rate, args.seed, args.start, args.keep)


if __name__ == "__main__":
    main()
