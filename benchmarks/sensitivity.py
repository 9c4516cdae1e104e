"""What each number in the configuration is worth: varied one by one, and what moves is printed.

usage: python -m benchmarks.sensitivity CAPTURES [--scenes SCENES] [--section segmentation] [--only FIELD ...]
       [--factors 0.5 2] [--prompt none] [--sample N] [--out FILE]

Every number in a section of `mvgamba_ros.config.ReconstructionConfig`, alone or in a tuple, is multiplied by each
factor while all others keep their defaults; whole numbers are rounded and change by 1 at least, and a 0 is left out.
A value outside the range that the field declares is not measured, since no user can set it: it is listed at the end.
CAPTURES and SCENES are folders with captures anywhere below them: transforms.json with posed images and true masks,
beside a truth.ply. The segmentation section is measured by the mean IoU of the default segmenter's masks, 0 where it
refuses; any other section by chamfer distance and F@5mm of the mesh reconstructed with the true masks.

Prints a Markdown table of the changes against the defaults, largest first, and the fields whose changes are all smaller
than --least. Finished variations are kept in --out, one JSON object a line: stop and start this as you like.

examples:
  python -m benchmarks.sensitivity captures --scenes scenes --sample 8
      the segmenter's settings, on eight captures and eight scenes
  python -m benchmarks.sensitivity captures --section surface --only band voxel
      two settings of the surface (all fields whose path ends so)
  python -m benchmarks.sensitivity captures --prompt none --only search
      the settings under `search`, where no region of interest is given
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from benchmarks.sensitivity_table import Scores, Value, Variation, report, value_text
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.process import prepare_process
from mvgamba_ros.segmentation.classical.classical_segmenter import ClassicalSegmenter
from mvgamba_ros.types import Mesh, Prompts, View

SECTIONS = tuple(section.name for section in fields(ReconstructionConfig))


@dataclass(frozen=True)
class Case:
    """One capture: its name in its folder, views with true masks, and the true shape."""

    name: str
    views: list[View]
    truth: Mesh


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", metavar="CAPTURES", type=Path)
    parser.add_argument("--scenes", type=Path, help="a second folder of captures, with columns of its own")
    parser.add_argument("--section", choices=SECTIONS, default="segmentation", help="(%(default)s)")
    parser.add_argument("--only", nargs="+", metavar="FIELD", help="a field, or a group of them, by its path's parts")
    parser.add_argument("--factors", nargs="+", type=float, default=[0.5, 2.0], metavar="X", help="(0.5 2)")
    parser.add_argument("--prompt", choices=("region", "none"), default="region", help="(%(default)s)")
    parser.add_argument("--depth", action="store_true", help="keep the captures' depth images, where there are any")
    parser.add_argument("--sample", type=int, metavar="N", help="so many captures of each folder, spread evenly (all)")
    parser.add_argument("--least", type=float, default=0.0005, help="changes below it are none (%(default)s)")
    parser.add_argument("--rows", type=int, metavar="N", help="print the N largest changes (all)")
    parser.add_argument("--out", type=Path, default=Path("sensitivity.jsonl"), help="(%(default)s)")
    args = parser.parse_args(argv)

    varied, impossible = variations(args.section, args.factors, args.only)
    if not varied and not impossible:
        parser.error(f"section {args.section} has no numeric field called {' or '.join(args.only or ['anything'])}")
    sets = {"captures": args.captures, **({"scenes": args.scenes} if args.scenes else {})}
    cases = {name: read_cases(folder, args.sample, args.depth) for name, folder in sets.items()}
    for name, folder in sets.items():
        if not cases[name]:
            parser.error(f"no folder below {folder} holds transforms.json, masks and truth.ply")
    prepare_process()
    results = run([Variation(args.section), *varied], cases, args.prompt, args.depth, args.out)
    print(report(results, list(cases), args.least, args.rows))
    if impossible:
        print(f"Out of range, not measured: {', '.join(value_text(variation) for variation in impossible)}")


def numbers(config: Any, prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Path and value of every number, and every tuple of numbers, in nested dataclasses, in their order."""
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from numbers(value, f"{prefix}{field.name}.")
        elif _is_number(value) or (isinstance(value, tuple) and value and all(_is_number(x) for x in value)):
            yield prefix + field.name, value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def scaled(value: Value, factor: float) -> Value:
    """``value`` times ``factor``; whole numbers stay whole and change by 1 at least."""
    if isinstance(value, tuple):
        return tuple(scaled(x, factor) for x in value)  # type: ignore[misc]
    if isinstance(value, float) or value == 0:
        return value * factor
    product = round(value * factor)
    return product if product != value else value + (1 if factor > 1.0 else -1)


def changed(config: Any, path: str, value: Value) -> Any:
    """``config`` with the field at ``path`` set to ``value``."""
    name, _, rest = path.partition(".")
    return replace(config, **{name: changed(getattr(config, name), rest, value) if rest else value})


def variations(
    section: str, factors: Sequence[float], only: Sequence[str] | None
) -> tuple[list[Variation], list[Variation]]:
    """Of every field of the section whose path has a part, or a run of parts, in ``only``; of all where it is None.

    Returns:
        Those within their field's range, and those outside.
    """
    defaults = getattr(ReconstructionConfig(), section)
    possible: list[Variation] = []
    impossible: list[Variation] = []
    for path, value in numbers(defaults):
        if only is not None and not any(f".{name}." in f".{path}." for name in only):
            continue
        for factor in factors:
            new = scaled(value, factor)
            if new == value:
                continue
            try:
                check_bounds(changed(defaults, path, new))
            except ReconstructionError:
                impossible.append(Variation(section, path, factor, new))
            else:
                possible.append(Variation(section, path, factor, new))
    return possible, impossible


def read_cases(folder: Path, sample: int | None, depth: bool) -> list[Case]:
    """The captures below ``folder`` that have true masks and a true shape; ``sample`` of them, spread evenly."""
    found = []
    for path in sorted(folder.rglob("transforms.json")):
        if (path.parent / "truth.ply").is_file():
            views = read_capture(path.parent)
            if all(view.mask is not None for view in views):
                found.append((str(path.parent.relative_to(folder)), views, path.parent / "truth.ply"))
    if sample is not None and sample < len(found):
        found = [found[k] for k in np.linspace(0, len(found) - 1, sample).round().astype(int)]
    cases = []
    for name, views, file in found:
        truth = trimesh.load(file, process=False)
        vertices, faces = np.asarray(truth.vertices, np.float64), np.asarray(truth.faces, np.int32)
        mesh = Mesh(vertices, faces, np.zeros(vertices.shape, np.uint8))
        cases.append(Case(name, [view if depth else replace(view, depth=None) for view in views], mesh))
    return cases


def run(
    varied: Sequence[Variation], cases: Mapping[str, Sequence[Case]], prompt: str, depth: bool, out: Path
) -> list[tuple[Variation, dict[str, Any]]]:
    """Measures what ``out`` does not hold yet and appends it: for each variation its ``scores`` by set and case, or the
    ``error`` that it raised."""
    settings = {"prompt": prompt, "depth": depth, "cases": {name: [c.name for c in of] for name, of in cases.items()}}
    kept = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    finished = {_key(record): record for record in kept if record["settings"] == settings}
    results = []
    began, measured = time.monotonic(), 0
    todo = sum(_key(_record(variation)) not in finished for variation in varied)
    for variation in varied:
        record = _record(variation)
        if _key(record) not in finished:
            record |= {"settings": settings, **measure(variation, cases, prompt)}
            out.parent.mkdir(parents=True, exist_ok=True)
            with out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            finished[_key(record)] = record
            measured += 1
            left = (time.monotonic() - began) / measured * (todo - measured) / 60.0
            what = f"{variation.field} = {variation.value}" if variation.field else "defaults"
            print(f"{measured}/{todo} {what}, {left:.0f} min left", file=sys.stderr, flush=True)
        results.append((variation, finished[_key(record)]))
    return results


def _record(variation: Variation) -> dict[str, Any]:
    value = list(variation.value) if isinstance(variation.value, tuple) else variation.value
    return {"section": variation.section, "field": variation.field, "value": value}


def _key(record: Mapping[str, Any]) -> str:
    return json.dumps([record["section"], record["field"], record["value"]])


def measure(variation: Variation, cases: Mapping[str, Sequence[Case]], prompt: str) -> dict[str, Any]:
    """``scores`` of every case, or the first ``error`` that is none of the package's own refusals."""
    config = ReconstructionConfig()
    if variation.field:
        section = changed(getattr(config, variation.section), variation.field, variation.value)
        config = replace(config, **{variation.section: section})
    score = mask_scores if variation.section == "segmentation" else mesh_scores
    try:
        return {"scores": {name: {case.name: score(case, config, prompt) for case in of} for name, of in cases.items()}}
    except Exception as error:  # a number within its range must lead to none: the table names it
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def prompts_of(case: Case, prompt: str) -> Prompts:
    """A region of interest `ROI_SCALE` times as large as the object, or nothing."""
    if prompt == "none":
        return Prompts()
    return Prompts(roi=scaled_box(case.truth.vertices.min(axis=0), case.truth.vertices.max(axis=0)))


def mask_scores(case: Case, config: ReconstructionConfig, prompt: str) -> Scores:
    """Mean IoU over the views, 0 where the segmenter refuses."""
    segmenter = ClassicalSegmenter(config.segmentation)
    try:
        masks = segmenter([replace(view, mask=None) for view in case.views], prompts_of(case, prompt)).masks
    except ReconstructionError:
        return {"IoU": 0.0}
    ious = [mask_iou(mask, view.mask) for mask, view in zip(masks, case.views, strict=True)]
    return {"IoU": float(np.mean(ious))}


def mesh_scores(case: Case, config: ReconstructionConfig, prompt: str) -> Scores:
    """Chamfer distance in mm and F@5mm; those of no mesh, not a number and 0, where the reconstruction is refused."""
    options = Options(segmenter="masks", prompts=prompts_of(case, prompt), refine=False, config=config)
    try:
        mesh = reconstruct(case.views, options).mesh
    except ReconstructionError:
        return {"chamfer mm": float("nan"), "F@5mm": 0.0}
    errors = shape_errors(surface_points(mesh), surface_points(case.truth))
    return {"chamfer mm": errors["chamfer_mm"], "F@5mm": errors["F@5mm"]}


if __name__ == "__main__":
    main()
