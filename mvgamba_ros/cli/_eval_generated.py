"""`mvgamba eval --generated`: the scores of made-up shapes, as a table and as scores.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from mvgamba_ros.errors import ReconstructionError

COLUMNS = {
    "clip": "CLIP",
    "r_precision": "R-prec",
    "psnr_db": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "iou": "IoU",
}
OF_CLIP, OF_PHOTO = ("clip", "r_precision"), ("psnr_db", "ssim", "lpips", "iou")


def eval_generated(roots: Sequence[str], out: Path, weights: str, device: str, fetch: bool) -> int:
    """Scores every folder of ``roots`` that `mvgamba generate` wrote, and writes ``out``/scores.json.

    One that cannot be scored does not cost the others theirs. What cannot be measured at all is shown as "-", and why
    stands below the table. Returns the exit status: 1 where a folder failed.
    """
    from mvgamba_ros.cli._progress import ProgressLine
    from mvgamba_ros.evaluation import evaluation_protocol as protocol
    from mvgamba_ros.evaluation.captures import mean_scores
    from mvgamba_ros.evaluation.generated_shapes import (
        clip_scores,
        find_generated,
        orbit_pictures,
        photo_scores,
        read_generated,
    )
    from mvgamba_ros.generate.clip import load_clip
    from mvgamba_ros.io.atomic_writes import write_file
    from mvgamba_ros.metrics.image import lpips_network

    folders = find_generated([Path(root) for root in roots])
    clip, missing = None, dict[str, str]()
    try:
        clip = load_clip(weights, device, fetch)
    except ReconstructionError as error:
        missing |= dict.fromkeys(OF_CLIP, error.message)
    try:
        lpips_network()
    except ReconstructionError as error:
        missing["lpips"] = error.message
    shapes, scores, seen, failed = [], [], [], dict[str, str]()
    with closing(ProgressLine()) as progress:
        for index, folder in enumerate(folders):
            progress(folder.name, index / len(folders))
            try:
                shape = read_generated(folder)
                of_photo = photo_scores(shape)
                vectors = None if clip is None else clip.pictures(orbit_pictures(shape))
            except ReconstructionError as error:
                failed[str(folder)] = f"{error.code.name}: {error.message}"
                continue
            shapes.append((folder, shape))
            scores.append(of_photo)
            seen.append(vectors)
    if clip is not None:
        of_clip = clip_scores([shape for _, shape in shapes], [found for found in seen if found is not None], clip)
        scores = [rows | more for rows, more in zip(of_clip, scores, strict=True)]
    kinds = [shape.made_of for _, shape in shapes]
    missing |= _not_measured(scores, kinds, missing)
    means = {
        kind: mean_scores([row for row, of in zip(scores, kinds, strict=True) if of == kind])
        for kind in sorted(set(kinds))
    }
    names = [folder.name for folder, _ in shapes]
    if len(set(names)) < len(names):
        names = [str(folder) for folder, _ in shapes]
    print(_row("", "of", COLUMNS.values()))
    for name, kind, row in zip(names, kinds, scores, strict=True):
        print(_row(name, kind, _cells(row)))
    for folder_name, reason in failed.items():
        print(f"{folder_name:18s}  {reason}")
    for kind, mean in means.items():
        if mean:
            print(_row("MEAN", kind, _cells(mean)))
    for reason in dict.fromkeys(missing.values()):
        print(f"-  {', '.join(COLUMNS[name] for name, why in missing.items() if why == reason)}: {reason}")
    report = {
        "protocol": {
            name.lower(): value for name, value in vars(protocol).items() if name.startswith(("ORBIT", "PICT"))
        },
        "clip": None if clip is None else clip.provenance,
        "shapes": {name: {"of": of, **row} for name, of, row in zip(names, kinds, scores, strict=True)},
        "mean": means,
        "not_measured": missing,
        "failed": failed,
    }
    write_file(out / "scores.json", (json.dumps(report, indent=1) + "\n").encode())
    print(f"wrote {out / 'scores.json'}")
    return 1 if failed else 0


def _not_measured(scores: Sequence[dict[str, float]], kinds: Sequence[str], known: dict[str, str]) -> dict[str, str]:
    """Why some shape lacks a score, beside what is ``known``."""
    found = {}
    if "clip" not in known and any("r_precision" not in row for row in scores):
        found["r_precision"] = "needs shapes of at least two different subjects, words or pictures"
    if any("psnr_db" not in row for row in scores):
        why = "needs a picture, and the side it was taken from: measured, or fixed by the generator"
        found |= dict.fromkeys(OF_PHOTO, why)
    return {name: reason for name, reason in found.items() if name not in known}


def _cells(scores: dict[str, float]) -> list[str]:
    return [f"{scores[name]:.2f}" if name in scores else "-" for name in COLUMNS]


def _row(name: str, of: str, cells: Iterable[str]) -> str:
    return f"{name:18s}{of:>8s}" + "".join(f"{cell:>9s}" for cell in cells)
