"""The table of `benchmarks.sensitivity`: what varied settings change, against the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Number = int | float
Value = Number | tuple[Number, ...]
Scores = dict[str, float]


@dataclass(frozen=True)
class Variation:
    """One setting of one field; ``field`` is its path in the section, empty for the defaults."""

    section: str
    field: str = ""
    factor: float = 1.0
    value: Value = 0


def report(
    results: Sequence[tuple[Variation, dict[str, Any]]], sets: Sequence[str], least: float, most_rows: int | None
) -> str:
    """The Markdown table of changes against the defaults, which come first in ``results``; its first ``most_rows``."""
    (_, defaults), *varied = results
    if "error" in defaults:
        raise SystemExit(f"the defaults raise {defaults['error']}")
    means = {name: _means(defaults["scores"][name]) for name in sets}
    columns = [(name, score) for name in sets for score in means[name]]
    rows: list[tuple[float, str, str]] = []
    for variation, record in varied:
        cells, most = [], 0.0
        if "error" in record:
            cells, most = [f"raises {record['error']}", *(len(columns) - 1) * [""]], float("inf")
        else:
            for name, score in columns:
                change = _means(record["scores"][name])[score] - means[name][score]
                cells.append(f"{change:+.4f}")
                most = max(most, abs(change) if np.isfinite(change) else float("inf"))
        rows.append((most, variation.field, f"| {value_text(variation, ' | ')} | {' | '.join(cells)} |"))
    rows.sort(key=lambda row: -row[0])
    most_of: dict[str, float] = {}
    for most, field, _ in rows:
        most_of[field] = max(most, most_of.get(field, 0.0))
    still = [f"`{field}`" for field, most in most_of.items() if most < least]
    header = ["field", "value", *(f"{name}: {score}" for name, score in columns)]
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + len(columns) * "---:|"]
    lines.append("| defaults | | " + " | ".join(f"{means[name][score]:.4f}" for name, score in columns) + " |")
    lines += [line for _, _, line in rows[:most_rows]]
    count = ", ".join(f"{len(defaults['scores'][name])} {name}" for name in sets)
    lines += ["", f"{count}. {len(still)} of {len(most_of)} fields move nothing by {least:g} or more:"]
    lines.append(", ".join(sorted(still)) or "none")
    return "\n".join(lines)


def _means(scores: Mapping[str, Scores]) -> Scores:
    """Over the cases; those that were refused have no chamfer distance and are left out of its mean."""
    columns: dict[str, list[float]] = {}
    for of in scores.values():
        for name, score in of.items():
            columns.setdefault(name, []).extend([] if np.isnan(score) else [score])
    return {name: float(np.mean(column)) if column else float("nan") for name, column in columns.items()}


def value_text(variation: Variation, between: str = " = ") -> str:
    return f"`{variation.field}`{between}{_text(variation.value)} (x{variation.factor:g})"


def _text(value: Value) -> str:
    return ", ".join(f"{x:g}" for x in value) if isinstance(value, tuple) else f"{value:g}"
