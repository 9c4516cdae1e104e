"""Means with intervals by bootstrap, for every benchmark that compares over a sample of objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 2000
"""Resamples of a bootstrap: the ends of an interval then move by about a fiftieth of its length from draw to draw."""


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % percentile interval."""

    mean: float
    low: float
    high: float

    def percent(self, sign: str = "") -> str:
        """As "83 % (70 to 95)"; with ``sign`` "+" all three have one."""
        return f"{100 * self.mean:{sign}.0f} % ({100 * self.low:{sign}.0f} to {100 * self.high:{sign}.0f})"


def bootstrap(values: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Of the mean of ``values`` (N,) over draws of them with replacement; those that are NaN are left out.

    With ``clusters`` (N,), e.g. the object that each value is of, whole clusters are drawn: values of one object are no
    independent ones (cluster bootstrap; Davison and Hinkley, Bootstrap Methods, 1997, section 3.8). Without any finite
    value all three numbers are NaN.
    """
    given = np.asarray(values, np.float64)
    finite = np.isfinite(given)
    _, of = np.unique(np.arange(len(given)) if clusters is None else np.asarray(clusters), return_inverse=True)
    sums = np.bincount(of[finite], given[finite], minlength=of.max(initial=-1) + 1)
    counts = np.bincount(of[finite], minlength=len(sums))
    sums, counts = sums[counts > 0], counts[counts > 0]
    if not len(sums):
        return Interval(np.nan, np.nan, np.nan)
    picks = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
    low, high = np.percentile(sums[picks].sum(1) / counts[picks].sum(1), [2.5, 97.5])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))
