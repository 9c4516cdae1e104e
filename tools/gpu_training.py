"""The last part of a check of the GPU: what is left of its time trains. All cores render, then the card learns.

The recipe is config/rings.recipe.yaml. The state comes back in parts under $OUT/state (`tools.carried_state`), and a
folder of such parts, .gpu_state or $GPU_CHECK_STATE, is gone on from: so the minutes of several devices add up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mvgamba_ros.synthesis.shards import ShardRecipe, Shards, write_shards
from mvgamba_ros.synthesis.sources import open_source
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.training.recipe import load_plan
from tools.carried_state import pack, unpack
from tools.gpu_rows import folder, needs_gpu, peak_memory, report, skip

RECIPE = Path("config/rings.recipe.yaml")
SCRATCH = Path("build/gpu_training")
STATE = ".gpu_state"
RENDERS = 0.25
"""Share of the time that renders, at most: objects are drawn from many times, in other views and colours each time."""
RESERVE_S = 25.0
"""Kept for ending the processes, saving and packing the state."""
LEAST_S = 60.0
"""Of rendering and learning: less is not begun."""


@dataclass(frozen=True)
class Learned:
    """What a time of training came to: objects that are rendered, samples and steps of the run in all, and samples
    before it; the seconds that it learned; the parts of its state."""

    objects: int
    samples: int
    steps: int
    samples_before: int
    seconds: float
    parts: list[Path]


def recipe() -> None:
    """Train `RECIPE`'s first stage until this part's time is over."""
    if needs_gpu("recipe", f"training by {RECIPE}"):
        return
    seconds = float(os.environ["GPU_CHECK_PART_SECONDS"]) - RESERVE_S
    if seconds < LEAST_S:
        return skip("recipe", f"training by {RECIPE}", f"{seconds:.0f} s are left")
    given = Path(os.environ.get("GPU_CHECK_STATE", STATE)).resolve()
    made = learn(RECIPE.resolve(), SCRATCH, given, folder() / "state", seconds, os.cpu_count() or 1)
    rate = (made.samples - made.samples_before) / max(made.seconds, 1e-9)
    report("recipe", "objects to learn from", f"{made.objects}")
    report("recipe", "samples", f"{made.samples_before} before, {made.samples} now, in {made.steps} steps")
    report("recipe", "learning", f"{rate:.1f} samples/s over {made.seconds:.0f} s")
    size = sum(part.stat().st_size for part in made.parts) / 2**20
    report("recipe", "state to go on with", f"{len(made.parts)} parts, {size:.0f} MB in {made.parts[0].parent.name}")
    peak_memory("recipe", "learning")


def learn(
    file: Path, scratch: Path, given: Path, out: Path, seconds: float, cores: int, changes: Sequence[str] = ()
) -> Learned:
    """Render and learn the first stage of the recipe ``file`` in ``scratch`` for ``seconds``, going on from the parts
    of a state in ``given`` if there are any; its state goes to ``out`` in parts. ``changes`` as after ``--set``.

    Shards that are there are not rendered again, and those of a stopped rendering that are whole are learned from.
    """
    ends, root = time.monotonic() + seconds, Path.cwd()
    plan = load_plan(file, changes)
    config = plan.configs[0]
    data = next(path for path in plan.render if str(path) == config.data[0])
    where, run = scratch / data, scratch / "run" / f"1-{plan.recipe.stages[0].name}"
    render_until(where, plan.render[data], cores, time.monotonic() + RENDERS * seconds)
    if any(given.glob("state.*")) and not (run / "state.pt").exists():
        unpack(given, run / "state.pt")
    start = None if config.start is None else str(root / config.start)
    settings = replace(
        config,
        data=(str(where),),
        validation=str(where),
        start=start,
        loaders=max(cores - 1, 1),
        save_minutes=1.0,
        validate_minutes=1e6,
    )
    trainer = Trainer(settings, run)
    before, began = trainer.samples, time.monotonic()
    timer = threading.Timer(max(ends - time.monotonic(), 0.0), lambda: setattr(trainer, "stopping", True))
    timer.start()
    try:
        trainer.run()
    finally:
        timer.cancel()
    spent = time.monotonic() - began
    return Learned(len(Shards(where)), trainer.samples, trainer.step, before, spent, pack(run / "state.pt", out))


class _TimeIsOverError(Exception):
    """Of rendering: what is written is enough."""


def render_until(where: Path, recipe: ShardRecipe, cores: int, ends: float) -> None:
    """Fill the data folder until it is full or, one shard being there, until ``ends`` (`time.monotonic`)."""

    def progress(line: str) -> None:
        print(line)
        if time.monotonic() > ends and any(where.glob("shard_*")):
            raise _TimeIsOverError

    with suppress(_TimeIsOverError):
        write_shards(where, open_source(recipe.source, recipe.seed, recipe.count), recipe, cores, progress)
