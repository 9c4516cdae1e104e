"""Measure a method on captures with left-out views and scanned truth, or shapes that `mvgamba generate` made.

CAPTURES is a folder of captures, or one: each holds transforms.json (or transforms_8.json, for more views),
transforms_test.json with views left out, and truth.ply where the object was scanned. The method sees some of the
views; its shape is compared with the truth, its pictures with the left-out views, and both with the visual hull
painted from the same views. OUT gets scores.json and a picture for each capture. Nothing is trained.
With --whole-image, left-out pictures are compared as a whole, as MVGamba's authors do, and its figures stand beside.
With --generated, CAPTURES are folders that `mvgamba generate -o` wrote, and what is measured is how well each shape
fits the words or the picture it was made of.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mvgamba_ros.cli._flags import add_config, add_depth, add_options, add_prompts, add_reader, options_from, positive
from mvgamba_ros.cli._workers import add_workers, anywhere, died, on_workers

if TYPE_CHECKING:
    from mvgamba_ros.cli._eval_job import EvalJob, EvalResult
    from mvgamba_ros.options import Options

EXAMPLES = """examples:
  mvgamba eval captures -o out
      find each object inside a region 40 % larger than it; from 4 views
  mvgamba eval captures -o out --workers 8
      eight captures at once; --cluster tcp://head:8786: on the workers of a Dask cluster, docs/batch.md
  mvgamba eval captures -o out --masks --counts 2 4 8 --no-depth
      silhouettes as given; from 2, 4 and 8 views; by colours alone, also where the captures have depth
  mvgamba eval captures/temple -o out --roi -0.0736 0.0217 -0.0124 0.0289 0.1819 0.0627
      no scanned truth: give the box that holds the object
  mvgamba eval rings -o out --masks --whole-image 512
      the protocol of the paper: whole pictures of 512 pixels, shapes in a unit cube, its figures beside
  mvgamba eval made/* --generated -o out --clip-weights clip
      shapes that `mvgamba generate` made; CLIP's weights: docs/generate.md

Scores: chamfer, accuracy and completeness in mm (30,000 points on each surface), F@5mm as a fraction, psnr_db, ssim
and silhouette iou in a square around the object on white, lpips there where the extra `lpips` and its weights are
installed, seconds from images to mesh and cloud, depth_views: how many views had depth that was used.
"""
CLIP_WEIGHTS = "of CLIP, or owner/name@commit in the Hugging Face cache (default: the commit that is pinned)"
COLUMNS = {
    "F@5mm": "F@5mm",
    "hull F@5mm": "(hull)",
    "chamfer_mm": "chamfer",
    "hull chamfer_mm": "(hull)",
    "psnr_db": "PSNR",
    "hull psnr_db": "(hull)",
    "ssim": "SSIM",
    "hull ssim": "(hull)",
    "lpips": "LPIPS",
    "hull lpips": "(hull)",
    "iou": "IoU",
    "seconds": "s",
}
UNIT_COLUMNS = {"chamfer_unit": "unit CD", "F@0.01": "F@0.01"}
"""Of whole pictures besides."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    parser.add_argument("captures", metavar="CAPTURES", nargs="+", help="folders of captures, or captures")
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="folder for scores.json and the pictures")
    parser.add_argument(
        "--counts", metavar="N", type=positive, nargs="+", default=[4], help="numbers of views to see (4)"
    )
    parser.add_argument(
        "--whole-image",
        metavar="PIXELS",
        type=positive,
        default=0,
        help="compare whole left-out pictures of so many pixels a side, on white (default: squares around the object)",
    )
    add_workers(parser, 1, "captures at once, a process each; their seconds are then of one core's share (%(default)s)")
    add_reader(parser)
    add_depth(parser)
    group = parser.add_argument_group("generated shapes")
    group.add_argument("--generated", action="store_true", help="score folders that `mvgamba generate` wrote")
    group.add_argument("--clip-weights", metavar="FOLDER", default="", help=CLIP_WEIGHTS)
    group.add_argument("--fetch", action="store_true", help="download CLIP's weights where they are missing")
    add_prompts(parser, "default: around the truth")
    add_options(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.process import prepare_process

    prepare_process()
    import json
    import sys

    from mvgamba_ros.cli._eval_generated import eval_generated
    from mvgamba_ros.cli._eval_job import EvalJob
    from mvgamba_ros.cli._progress import ProgressLine
    from mvgamba_ros.evaluation.captures import find_captures, mean_scores
    from mvgamba_ros.evaluation.paper_protocol import beside_the_paper
    from mvgamba_ros.io.atomic_writes import write_file
    from mvgamba_ros.io.results import check_writable
    from mvgamba_ros.options import Options

    options = anywhere(options_from(args, Options))
    _check_flags(args, options)
    truth_roi = options.prompts.roi is None and options.segmenter != "masks"
    out = check_writable(args.out)
    if args.generated:
        return eval_generated(args.captures, out, args.clip_weights, args.device, args.fetch)
    folders = [folder.absolute() for root in args.captures for folder in find_captures(Path(root))]
    how = options, truth_roi, args.reader, args.whole_image, args.counts, out, args.depth
    jobs = [EvalJob(folder, *how) for folder in folders]
    columns = COLUMNS | (UNIT_COLUMNS if args.whole_image else {})
    print(_row("", "views", *columns.values()))
    results: dict[int, EvalResult] = {}
    with closing(ProgressLine(shown=sys.stderr.isatty())) as progress, closing(_evaluated(args, jobs, out)) as made:
        progress(f"0/{len(jobs)}", 0.0)
        for index, result in made:
            results[index] = result
            progress(f"{len(results)}/{len(jobs)} {result.name}", len(results) / len(jobs))
            for count in args.counts:
                known = count in result.scores
                cells = _cells(result.scores[count], columns) if known else [f"  {result.failed[count]}"]
                print(_row(result.name, count, *cells), flush=True)
    in_order = [results[index] for index in sorted(results)]
    scores = {str(c): {one.name: one.scores[c] for one in in_order if c in one.scores} for c in args.counts}
    failed = {f"{one.name} {count}": why for one in in_order for count, why in one.failed.items()}
    regions = {one.name: one.roi for one in in_order}
    means = {count: mean_scores(list(by_name.values())) for count, by_name in scores.items() if by_name}
    for count, mean in means.items():
        print(_row("MEAN", count, *_cells(mean, columns)))
    if means:
        print(_depth(args, scores))
    missing = _missing(scores)
    for name, reason in missing.items():
        print(f"-  {COLUMNS[name]}: {reason}")
    if args.whole_image:
        for count, mean in means.items():
            print(f"\n{beside_the_paper(mean, int(count))}")
    chosen = options.to_dict()
    del chosen["options"]["prompts"]["roi"]  # each capture may have its own
    report = {
        "counts": args.counts,
        "whole_image": args.whole_image,
        "depth": args.depth,
        **chosen,
        "roi": regions,
        "captures": scores,
        "failed": failed,
        "mean": means,
        "not_measured": missing,
    }
    write_file(out / "scores.json", (json.dumps(report, indent=1) + "\n").encode())
    print(f"wrote {out / 'scores.json'} and {sum(len(v) for v in scores.values())} pictures")
    return 1 if failed else 0


def _evaluated(
    args: argparse.Namespace, jobs: Sequence[EvalJob], out: Path
) -> Generator[tuple[int, EvalResult], None, None]:
    """The index of every job with its result, as they are done: here, or by the workers that were wanted."""
    from mvgamba_ros.cli._eval_job import EvalResult, run_eval
    from mvgamba_ros.errors import ReconstructionError

    if args.workers == 1 and not args.cluster:
        yield from ((index, run_eval(job)) for index, job in enumerate(jobs))
        return
    with closing(on_workers(run_eval, jobs, args.workers, args.cluster, out.resolve())) as made:
        for index, outcome in made:
            if isinstance(outcome, ReconstructionError):
                raise outcome
            if isinstance(outcome, BaseException):
                outcome = EvalResult(jobs[index].folder.name, None, failed=dict.fromkeys(args.counts, died(outcome)))
            yield index, outcome


def _check_flags(args: argparse.Namespace, options: Options) -> None:
    """Raises BAD_OPTION for flags that would have no effect."""
    from dataclasses import replace

    from mvgamba_ros.errors import ErrorCode, ReconstructionError
    from mvgamba_ros.options import Options

    if args.generated and (
        args.counts != [4] or args.whole_image or not args.depth or replace(options, device="auto") != Options()
    ):
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            "--generated scores shapes as they are: beside it only -o, --clip-weights, --fetch and --device have an "
            "effect, leave the others out",
        )
    if not args.generated and (args.clip_weights or args.fetch):
        raise ReconstructionError(ErrorCode.BAD_OPTION, "--clip-weights and --fetch need --generated")


def _depth(args: argparse.Namespace, scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Of how many views depth was used, of all that were seen in all captures."""
    seen = sum(int(count) * len(by_name) for count, by_name in scores.items())
    used = sum(int(row["depth_views"]) for by_name in scores.values() for row in by_name.values())
    return f"depth: {f'used of {used} of {seen} input views' if args.depth else 'left out'}"


def _missing(scores: dict[str, dict[str, dict[str, float]]]) -> dict[str, str]:
    """Why some capture that was scored lacks ``lpips``."""
    from mvgamba_ros.errors import ReconstructionError
    from mvgamba_ros.metrics.image import lpips_network

    if all("lpips" in row for by_name in scores.values() for row in by_name.values()):
        return {}
    try:
        lpips_network()
    except ReconstructionError as error:
        return {"lpips": error.message}
    return {"lpips": "its package or its weights are missing where a worker runs"}


def _cells(scores: dict[str, float], columns: dict[str, str]) -> list[str]:
    fine = {**dict.fromkeys(("ssim", "hull ssim", "lpips", "hull lpips"), 3), "chamfer_unit": 4}
    return [f"{scores[name]:.{fine.get(name, 2)}f}" if name in scores else "-" for name in columns]


def _row(name: object, count: object, *cells: str) -> str:
    return f"{name!s:18s}{count!s:>6s}" + "".join(f"{cell:>9s}" for cell in cells)
