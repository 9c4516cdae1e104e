"""The intervals that benchmarks print."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.intervals import bootstrap


def test_intervals_hold_the_mean_and_narrow_with_more_objects() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    few, many = bootstrap(values[:25]), bootstrap(np.append(values, np.nan))
    assert few.low < few.mean < few.high and abs(many.mean - 3) < 0.15
    assert many.high - many.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert few.high - few.low > 2 * (many.high - many.low)


def test_values_of_one_object_do_not_narrow_an_interval_by_their_number() -> None:
    values = np.random.default_rng(0).normal(3, 1, 50)
    once, repeated = bootstrap(values), bootstrap(np.repeat(values, 4), np.repeat(np.arange(50), 4))
    assert (repeated.mean, repeated.low, repeated.high) == pytest.approx((once.mean, once.low, once.high))


def test_an_object_with_more_values_counts_for_more_in_the_mean() -> None:
    assert bootstrap([1.0, 1.0, 1.0, 0.0], ["mug", "mug", "mug", "can"]).mean == 0.75


def test_of_nothing_the_mean_is_nan() -> None:
    assert np.isnan([bootstrap([]).mean, bootstrap([np.nan]).low]).all()
