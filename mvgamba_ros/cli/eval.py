"""Measure a method on captures with left-out views and scanned truth.

CAPTURES is a folder of captures, or one: each holds transforms.json (or transforms_8.json, for more views),
transforms_test.json with views left out, and truth.ply where the object was scanned. The method sees some of the
views; its shape is compared with the truth, its pictures with the left-out views, and both with the visual hull
painted from the same views. OUT gets scores.json and a picture for each capture. Nothing is trained.
"""

from __future__ import annotations

import argparse

from mvgamba_ros.options import DEFAULT_METHOD, DEVICES, METHODS, SEGMENTERS

EXAMPLES = """examples:
  mvgamba eval captures -o out
      find each object inside a region 40 % larger than it; from 4 views
  mvgamba eval captures -o out --masks --counts 2 4 8
      silhouettes as given; from 2, 4 and 8 views
  mvgamba eval captures/temple -o out --roi -0.0736 0.0217 -0.0124 0.0289 0.1819 0.0627
      no scanned truth: say where the object is

Scores: chamfer, accuracy and completeness in mm (30,000 points on each surface), F@5mm as a fraction, psnr_db, ssim
and silhouette iou in a square around the object on white, lpips there where the extra `lpips` and its weights are
installed, seconds from images to mesh and cloud.
"""
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("captures", metavar="CAPTURES", help="folder of captures, or one capture")
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="folder for scores.json and the pictures")
    parser.add_argument("--counts", metavar="N", type=int, nargs="+", default=[4], help="numbers of views to see (4)")
    parser.add_argument("--method", choices=METHODS, default=DEFAULT_METHOD, help="reconstructor (%(default)s)")
    parser.add_argument("--checkpoint", metavar="FILE", default="", help="weights for the method (the ones that ship)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where the network runs (%(default)s)")
    parser.add_argument("--segmenter", choices=SEGMENTERS, default="classical", help="finds the object (%(default)s)")
    parser.add_argument("--masks", action="store_true", help="the same as --segmenter masks")
    parser.add_argument(
        "--roi",
        nargs=6,
        type=float,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="box that holds the object, metres; without it, around the truth",
    )
    parser.add_argument("--support-height", type=float, metavar="Z", help="height of the plane it stands on, metres")
    parser.add_argument("--max-faces", type=int, metavar="N", default=5000, help="faces of the mesh (%(default)s)")
    parser.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="lay the Gaussians on the mesh and fit them to the views: sharper, a little slower (done by default)",
    )


def run(args: argparse.Namespace) -> int:
    from mvgamba_ros.process import prepare_process

    prepare_process()
    import json
    from pathlib import Path

    import cv2
    import numpy as np

    from mvgamba_ros.errors import ReconstructionError
    from mvgamba_ros.evaluation.captures import evaluate, find_captures, mean_scores, read_case
    from mvgamba_ros.evaluation.picture import contact_sheet
    from mvgamba_ros.geometry.boxes import axis_parallel_box
    from mvgamba_ros.io.results import check_writable
    from mvgamba_ros.options import Options
    from mvgamba_ros.types import Prompts

    roi = None if args.roi is None else axis_parallel_box(np.array(args.roi[:3]), np.array(args.roi[3:]))
    segmenter = "masks" if args.masks else args.segmenter
    options = Options(
        method=args.method,
        segmenter=segmenter,
        prompts=Prompts(roi=roi, support_height=args.support_height),
        refine=args.refine,
        max_faces=args.max_faces,
        checkpoint=args.checkpoint,
        device=args.device,
    )
    out = check_writable(args.out)
    folders = find_captures(Path(args.captures))
    scores: dict[str, dict[str, dict[str, float]]] = {str(count): {} for count in args.counts}
    print(_row("", "views", *COLUMNS.values()))
    failed: dict[str, str] = {}
    for folder in folders:
        case = read_case(folder, options, roi_from_truth=roi is None and segmenter != "masks")
        for count in args.counts:
            try:
                outcome = evaluate(case, count)
            except ReconstructionError as error:  # one capture that can't be done must not cost the others' figures
                failed[f"{case.name} {count}"] = f"{error.code.name}: {error.message}"
                print(_row(case.name, count, f"  {failed[f'{case.name} {count}']}"), flush=True)
                continue
            scores[str(count)][case.name] = outcome.scores
            print(_row(case.name, count, *_cells(outcome.scores)), flush=True)
            sheet = out / f"{case.name}_{count}.png"
            cv2.imwrite(str(sheet), contact_sheet(case, outcome)[..., ::-1])
    means = {count: mean_scores(list(by_name.values())) for count, by_name in scores.items() if by_name}
    for count, mean in means.items():
        print(_row("MEAN", count, *_cells(mean)))
    settings = {name: value for name, value in vars(args).items() if name not in ("run", "command")}
    report = {"options": settings, "captures": scores, "failed": failed, "mean": means}
    (out / "scores.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {out / 'scores.json'} and {sum(len(v) for v in scores.values())} pictures")
    return 1 if failed else 0


def _cells(scores: dict[str, float]) -> list[str]:
    return [f"{scores[name]:.2f}" if name in scores else "-" for name in COLUMNS]


def _row(name: object, count: object, *cells: str) -> str:
    return f"{name!s:18s}{count!s:>6s}" + "".join(f"{cell:>9s}" for cell in cells)
