"""A training run's averaged weights as a checkpoint that can be shipped."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

from mvgamba_ros.model.checkpoint import save_checkpoint
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.training.state import state_of_run
from mvgamba_ros.training.train_config import from_dict


def export(run: Path, out: Path) -> dict[str, Any]:
    """Write ``out`` (safetensors) from the state of the run in ``run``; returns the recipe that went into it.

    The recipe holds the training config, steps and samples, the data folders' manifests, the last held-out metrics, the
    code's commit and the recipe of the weights that the run started from. ``out`` appears whole. Raises BAD_CHECKPOINT
    where the run has no state yet.
    """
    state = state_of_run(run)
    config = from_dict(state["config"])
    network = RayGamba(config.model)
    network.load_state_dict(state["ema"])
    recipe = {
        # the folders' names: where they lay on this machine is nobody's business
        "training": {
            **state["config"],
            "data": [Path(folder).name for folder in config.data],
            "validation": Path(config.validation).name,
            "start": None if config.start is None else Path(config.start).name,
        },
        "started_from": state["started_from"],
        "step": state["step"],
        "samples": state["samples"],
        "data": {Path(folder).name: _manifest(Path(folder)) for folder in (*config.data, config.validation)},
        "metrics": _last_row(run / "validation.csv"),
        "commit": _commit(),
    }
    part = out.with_name(f".{out.name}.part")
    save_checkpoint(part, network, recipe)
    part.replace(out)
    return recipe


def _manifest(folder: Path) -> dict[str, Any]:
    """A data folder's manifest, and how many of its shards there are."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text()) if file.is_file() else {}
    return {**manifest, "shards_present": len(list(folder.glob("shard_*")))}


def _last_row(file: Path) -> dict[str, float]:
    if not file.is_file():
        return {}
    with file.open() as f:
        rows = list(csv.DictReader(f))
    return {key: float(value) for key, value in rows[-1].items()} if rows else {}


def _commit() -> str:
    """The checkout's commit, or "unknown" outside one."""
    here = Path(__file__).parent
    done = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
