"""Whether answers are right, or say that they are not: damage captures, reconstruct, score, and count.

usage: python -m benchmarks.trust WORK [--objects 24] [--seed 41] [--conditions clean poses_late] [--views 4 4 8] ...
       python -m benchmarks.trust WORK --captures FOLDER
       python -m benchmarks.trust WORK --against refine_poses=off

Renders procedural captures into WORK/captures, or takes the captures in FOLDER: each a folder that `mvgamba
reconstruct` reads, with masks, depth and truth.ply. Every condition of `mvgamba_ros.evaluation.damage` is one
reconstruction of each. WORK/rows.jsonl gets a line for each, with every part of its quality, the reasons, the notes and
the features that its expected error was made from;
what is there is not run again. Printed is a row for each condition, then
  false confidence: of the answers with F@5mm < 0.8, the share that is not low;
  false alarms: of those with F@5mm >= 0.9 from three views or more, the share that is low;
  rank: Spearman's correlation of expected_error_mm and the chamfer distance.
A refusal is neither right nor wrong and is counted beside. --against times the whole job on the clean captures, by
turns with an option set otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.stats import spearmanr

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.evaluation.damage import CONDITIONS, Condition
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh, write_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.surface import expected_chamfer
from mvgamba_ros.synthesis.robot_captures import robot_capture
from mvgamba_ros.types import Mesh, Prompts, View

BAD, GOOD = 0.8, 0.9
"""F@5mm below which an answer should be low, and from which it should not be."""
PROMPTS = ("region", "none", "masks")
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A capture: all its ``views`` in their order around the object, and the ``truth``."""

    name: str
    views: Sequence[View]
    truth: Mesh


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", metavar="WORK", type=Path)
    parser.add_argument("--captures", type=Path, help="a folder of captures with truth.ply (procedural ones)")
    parser.add_argument("--objects", type=int, default=24, help="procedural captures (%(default)s)")
    parser.add_argument("--seed", type=int, default=41, help="of the procedural captures (%(default)s)")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), metavar="NAME")
    parser.add_argument("--views", type=int, nargs="+", default=[4], help="of the captures by turns (%(default)s)")
    parser.add_argument("--prompts", choices=PROMPTS, default="region", help="what is given beside (%(default)s)")
    parser.add_argument("--method", default=Options.method)
    parser.add_argument("--against", metavar="OPTION=VALUE", help="time the whole job also with this option")
    args = parser.parse_args(argv)

    options = Options(method=args.method, refine=False)
    folders = find(args.captures) if args.captures else render(args.work / "captures", args.seed, args.objects)
    if args.against:
        compare_seconds(folders, args.views, options, args.against)
        return
    args.work.mkdir(parents=True, exist_ok=True)
    path = args.work / "rows.jsonl"
    rows = {key(row): row for row in read_rows(path)}
    chosen: list[Row] = []
    with path.open("a", encoding="utf-8") as file:
        for name in args.conditions:
            mine = []
            for index, folder in enumerate(folders):
                wanted: Row = {"condition": name, "capture": folder.name, "prompts": args.prompts}
                wanted["count"] = args.views[index % len(args.views)]
                row = rows.get(key(wanted))
                if row is None:
                    row = wanted | run(read_case(folder), name, wanted["count"], args.prompts, options)[0]
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                mine.append(row)
            chosen += mine
            print(report(name, mine), flush=True)
    print(report("all", chosen))


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells runs apart."""
    return row["condition"], row["capture"], row["prompts"], row["count"]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, none where there is no file."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def find(root: Path) -> list[Path]:
    """``root`` itself or the folders in it that hold a truth.ply. Raises BAD_CAPTURE where there is none."""
    found = [folder for folder in [root, *sorted(root.glob("*/"))] if (folder / "truth.ply").is_file()]
    if not found:
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{root}: no capture with truth.ply here")
    return found


def render(root: Path, seed: int, count: int) -> list[Path]:
    """Folders of the first procedural captures of a seed, rendered where they are not there."""
    folders = []
    for index in range(count):
        prefix = f"{seed:04d}-{index:03d}"
        there = [folder for folder in root.glob(f"{prefix}-*/") if (folder / "truth.ply").is_file()]
        if there:
            folders.append(there[0])
            continue
        capture = robot_capture(seed, index)
        folders.append(root / capture.name)
        write_capture(folders[-1], capture.views)
        write_mesh(folders[-1] / "truth.ply", capture.truth)  # last: it marks a capture that is whole
    return folders


def read_case(folder: Path) -> Case:
    """With every view that it has (transforms_8.json before transforms.json)."""
    many = "transforms_8.json" if (folder / "transforms_8.json").is_file() else "transforms.json"
    return Case(folder.name, read_capture(folder, many), read_mesh(folder / "truth.ply"))


def damaged(case: Case, name: str, count: int) -> list[View]:
    """The views that a condition leaves of ``count`` even ones; the same every time."""
    condition: Condition = CONDITIONS[name]
    views = list(case.views[: condition.neighbours])
    if condition.neighbours is None:
        views = [case.views[i * len(case.views) // count] for i in range(min(count, len(case.views)))]
    if not condition.depth:
        views = [replace(view, depth=None) for view in views]
    return condition.fault(views, np.random.default_rng(zlib.crc32(f"{case.name} {name}".encode())))


def run(
    case: Case, name: str, count: int, prompts: str, options: Options
) -> tuple[Row, Sequence[View], Reconstruction | None]:
    """One reconstruction of a case under a condition: its scores, what went in and, unless refused, the result."""
    views = damaged(case, name, count)
    if prompts == "region" and CONDITIONS[name].region:
        around = scaled_box(case.truth.vertices.min(0), case.truth.vertices.max(0))
        options = replace(options, prompts=Prompts(roi=around, support_height=0.0))
    options = replace(options, use_masks=prompts == "masks")
    began = time.perf_counter()
    row: Row = {"views": len(views)}
    try:
        with patch.object(expected_chamfer, "shape_features", wraps=expected_chamfer.shape_features) as spy:
            result = reconstruct(views, options)
    except ReconstructionError as error:
        return (
            row | {"refused": f"{error.code.name}: {error.message}", "seconds": time.perf_counter() - began},
            views,
            None,
        )
    row["seconds"] = time.perf_counter() - began
    row |= shape_errors(surface_points(result.mesh), surface_points(case.truth))
    row["features"] = dict(expected_chamfer.shape_features(*spy.call_args.args))
    quality = dataclasses.asdict(result.quality)
    row["quality"] = {part: None if value != value else value for part, value in quality.items()}
    return row | {"notes": result.notes, "stages": dict(result.seconds)}, views, result


def report(name: str, rows: Sequence[Row]) -> str:
    """One line of the table."""
    answers = [row for row in rows if "refused" not in row]
    text = f"{name:24s} runs {len(rows):4d} refused {len(rows) - len(answers):3d}"
    if not answers:
        return text
    low = [bool(row["quality"]["low"]) for row in answers]
    f5 = np.array([row["F@5mm"] for row in answers])
    chamfer = np.array([row["chamfer_mm"] for row in answers])
    bad, good = f5 < BAD, (f5 >= GOOD) & (np.array([row["views"] for row in answers]) >= 3)
    text += f" low {sum(low):4d} chamfer {chamfer.mean():6.2f} F@5mm {f5.mean():.3f}"
    text += f" false confidence {share(~np.array(low), bad)} false alarms {share(np.array(low), good)}"
    expected = np.array([row["quality"].get("expected_error_mm") or math.nan for row in answers], np.float64)
    known = np.isfinite(expected)
    if known.sum() > 2:
        text += f" rank {spearmanr(expected[known], chamfer[known]).statistic:.2f}"
    return text


def share(what: np.ndarray, among: np.ndarray) -> str:
    """ "2/40 (5%)": how many ``among`` are ``what``."""
    count, of = int((what & among).sum()), int(among.sum())
    return f"{count}/{of}" + (f" ({count / of:.0%})" if of else "")


def compare_seconds(folders: Sequence[Path], counts: Sequence[int], options: Options, against: str) -> None:
    """Median seconds of the whole job on clean captures without depth, with the options and with one set otherwise,
    by turns so that what else the machine does meets both."""
    name, _, value = against.partition("=")
    known = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    if name not in known or not isinstance(known[name], str | bool):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"{name!r} is no option of words or of true and false")
    changed: Any = value == "true" if isinstance(known[name], bool) else value
    seconds: dict[str, list[float]] = {"as it is": [], against: []}
    for index, folder in enumerate(folders):
        case, count = read_case(folder), counts[index % len(counts)]
        for label, chosen in (("as it is", options), (against, replace(options, **{name: changed}))):
            seconds[label].append(run(case, "clean", count, "region", chosen)[0]["seconds"])
    plain, other = (float(np.median(values)) for values in seconds.values())
    print(f"whole job, median of {len(folders)}: {plain:.2f} s, with {against} {other:.2f} s: {plain / other - 1:+.0%}")


if __name__ == "__main__":
    main()
