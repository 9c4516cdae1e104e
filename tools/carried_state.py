"""The state of a training run in parts small enough to be carried from one machine to another, and whole again.

Weights and their average become float16, as in the checkpoints of the package; optimizers' moments bfloat16, whose
range is theirs: less than half the size. A run that goes on from it differs from one that never stopped by that
rounding. ``python -m tools.carried_state PARTS STATE`` puts together a ``state.pt`` to go on with.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mvgamba_ros.training.state import load_state, save_state

PART_BYTES = 15 << 20
"""Of a part at most."""


def pack(state: Path, folder: Path) -> list[Path]:
    """The state of ``state`` as ``folder``/state.0, state.1, ..."""
    saved = load_state(state)
    for key, dtype in (("network", torch.float16), ("ema", torch.float16), ("optimizers", torch.bfloat16)):
        saved[key] = _converted(saved[key], lambda x, dtype=dtype: x.to(dtype) if x.numel() > 1 else x)
    whole = io.BytesIO()
    torch.save(saved, whole)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("state.*"):
        old.unlink()
    data, parts = whole.getbuffer(), []
    for begin in range(0, len(data), PART_BYTES):
        parts.append(folder / f"state.{len(parts)}")
        parts[-1].write_bytes(data[begin : begin + PART_BYTES])
    return parts


def unpack(folder: Path, state: Path) -> None:
    """The inverse of `pack`, in float32. Raises FileNotFoundError where there are no parts."""
    parts = sorted(folder.glob("state.*"), key=lambda path: int(path.suffix[1:]))
    if not parts:
        raise FileNotFoundError(f"{folder} holds no state.0, state.1, ...")
    saved = torch.load(io.BytesIO(b"".join(part.read_bytes() for part in parts)), weights_only=True)
    for key in ("network", "ema", "optimizers"):
        saved[key] = _converted(saved[key], lambda x: x.float() if x.is_floating_point() else x)
    state.parent.mkdir(parents=True, exist_ok=True)
    save_state(state, saved)


def _converted(value: Any, convert: Callable[[Tensor], Tensor]) -> Any:
    """``value`` with each of its floating-point tensors converted."""
    if isinstance(value, Tensor):
        return convert(value) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _converted(x, convert) for key, x in value.items()}
    return [_converted(x, convert) for x in value] if isinstance(value, list) else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", metavar="PARTS", type=Path, help="folder of state.0, state.1, ...")
    parser.add_argument("state", metavar="STATE", type=Path, help="file to write: RUN/1-rings/state.pt")
    args = parser.parse_args()
    unpack(args.parts, args.state)
    return 0


if __name__ == "__main__":
    sys.exit(main())
