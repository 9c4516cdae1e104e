"""Fits `ExpectedChamferConfig` to rows of `benchmarks.trust`, and judges it on objects that it was not fitted to.

usage: python -m benchmarks.trust_fit WORK [WORK ...] [--false-alarms 0.06]

Ridge regression of the logarithm of the chamfer distance. Bad is F@5mm < 0.8, a false alarm an answer of F@5mm >= 0.9
from three views or more whose expectation is above the limit. Prints what a fit to four fifths of the objects does on
the others, and the settings that follow.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.trust import BAD, GOOD, read_rows
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.surface.expected_chamfer import COLUMNS
from mvgamba_ros.types import F64, Bool

FOLDS = 5
PENALTY = 3.0
"""Of the squares of the weights of features scaled to unit variance: as if so few answers spoke against each."""
MIN_VIEWS = 3


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", metavar="WORK", type=Path, nargs="+", help="folders with rows.jsonl")
    parser.add_argument("--false-alarms", type=float, default=0.06, help="share of the good answers (%(default)s)")
    args = parser.parse_args(argv)
    rows = [row for folder in args.work for row in read_rows(folder / "rows.jsonl")]
    rows = [row for row in rows if "refused" not in row]
    f5 = np.array([row["F@5mm"] for row in rows])
    several = np.array([row["views"] >= MIN_VIEWS for row in rows])
    bad, good = f5 < BAD, (f5 >= GOOD) & several
    if min(bad.sum(), good.sum()) < FOLDS:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE, f"{len(rows)} answers, {bad.sum()} bad and {good.sum()} good: too few to fit to"
        )
    x = np.array([[row["features"][name] for name in COLUMNS] for row in rows])
    chamfer = np.array([row["chamfer_mm"] for row in rows])
    fold = np.array([zlib.crc32(row["capture"].encode()) % FOLDS for row in rows])
    expected = np.zeros(len(rows))
    for k in range(FOLDS):
        expected[fold == k] = np.exp(x[fold == k] @ fit(x[fold != k], np.log(chamfer[fold != k])))
    limit = float(np.quantile(expected[good], 1 - args.false_alarms))
    hard = np.array([bool(row["quality"]["low"]) for row in rows])
    print(f"{len(rows)} answers, {bad.sum()} bad, {good.sum()} good; on objects not fitted to:")
    print(f"  bad ones above good ones (area under the curve) {area_under_curve(expected, bad, good):.3f}")
    for name, low in (("by this", expected > limit), ("or low already", (expected > limit) | hard)):
        print(f"  {name}: false confidence {(~low[bad]).mean():.3f} at false alarms {low[good].mean():.3f}")
    print(f"  rank correlation with the chamfer distance {spearmanr(expected, chamfer).statistic:.2f}")
    for row, value in sorted(zip(rows, expected, strict=True), key=lambda pair: pair[1]):
        if (row["F@5mm"] < BAD) == (value <= limit) and not BAD <= row["F@5mm"] < GOOD:
            kind = "missed" if row["F@5mm"] < BAD else "alarm "
            errors = f"F@5mm {row['F@5mm']:.2f} chamfer {row['chamfer_mm']:.1f} expected {value:.1f}"
            print(f"  {kind} {row['condition']:22s} {row['capture']:24s} {errors}")
    weights, usual = fit(x, np.log(chamfer)), np.median(x[good], axis=0)
    print(f"    weights = {rounded(weights)}\n    usual = {rounded(usual)}\n    max_expected_error_mm = {limit:.2f}")


def fit(x: F64, y: F64) -> F64:
    """Weights (F,) of the features x (N, F), the first of which is constant: ridge regression of y (N,)."""
    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    center = x.mean(axis=0)
    scaled = (x - center) / scale
    mean = y.mean()
    slopes = np.linalg.solve(scaled.T @ scaled + PENALTY * np.eye(x.shape[1]), scaled.T @ (y - mean)) / scale
    slopes[0] = mean - slopes[1:] @ center[1:]
    return np.asarray(slopes, np.float64)


def area_under_curve(score: F64, bad: Bool, good: Bool) -> float:
    """How often a bad answer has a higher score than a good one."""
    return float((score[bad][:, None] > score[good][None]).mean())


def rounded(values: F64) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


if __name__ == "__main__":
    main()
