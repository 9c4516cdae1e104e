"""The table of a batch: a row for each capture, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mvgamba_ros import __version__
from mvgamba_ros.batch.capture_search import SUMMARY, TABLE, Capture
from mvgamba_ros.io.atomic_writes import write_file

DONE, KEPT, FAILED, PENDING = "done", "kept", "failed", "pending"
COLUMNS = {"state": "state", "seconds": "s", "quality": "quality", "error": "error, mm", "seen": "seen", "why": "why"}
"""Of the printed table, beside the name."""


@dataclass(frozen=True)
class Row:
    """One capture.

    Attributes:
        name: Of its result.
        capture: Its path.
        state: `DONE` in this call; `KEPT`: was there, of the same inputs and options; `FAILED`; `PENDING`: not come to.
        seconds: From its files to the result, by the wall; of a kept result, what its report says of the work alone.
        quality: "good" or "low"; of several objects, the lowest; empty where there is no result.
        expected_error_mm: Of several objects the largest.
        seen: Part of the surface that some view saw, [0, 1]; of several objects the smallest.
        objects: Reconstructed, of several.
        reasons: Why the quality is low.
        notes: What else was noted.
        error_code: Name of an `ErrorCode`; empty where nothing failed.
        error: What failed.
        folder: Of the result, in the batch's; empty where there is none of these inputs and options.
    """

    name: str
    capture: str
    state: str = PENDING
    seconds: float | None = None
    quality: str = ""
    expected_error_mm: float | None = None
    seen: float | None = None
    objects: int = 0
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error_code: str = ""
    error: str = ""
    folder: str = ""

    def cells(self) -> tuple[str, ...]:
        """The text of each of `COLUMNS`."""
        why = f"{self.error_code}: {self.error}" if self.error_code else "; ".join(self.reasons)
        seconds = "" if self.seconds is None or self.state == KEPT else f"{self.seconds:.1f}"
        error = "" if self.expected_error_mm is None else f"{self.expected_error_mm:.1f}"
        seen = "" if self.seen is None else f"{self.seen:.0%}"
        return self.state, seconds, self.quality.upper() if self.quality == "low" else self.quality, error, seen, why


def row_of(capture: Capture, report: Mapping[str, Any], state: str, seconds: float | None = None) -> Row:
    """The row of a result by its report, or that of a scene; failed where one of several objects did."""
    row = Row(capture.name, str(capture.path), state, seconds, folder=capture.name)
    several = "objects" in report
    objects = [item for item in report["objects"] if item["error"] is None] if several else [report]
    if objects:
        qualities = [item["quality"] for item in objects]
        names = [f"{item['id']}: " if several else "" for item in objects]
        row = replace(
            row,
            seconds=sum(item["seconds"]["total"] for item in objects) if seconds is None else seconds,
            quality="low" if any(quality["low"] for quality in qualities) else "good",
            expected_error_mm=_worst(max, [quality["expected_error_mm"] for quality in qualities]),
            seen=_worst(min, [quality["coverage"] for quality in qualities]),
            objects=len(objects),
            reasons=tuple(n + text for n, quality in zip(names, qualities, strict=True) for text in quality["reasons"]),
            notes=tuple(n + text for n, item in zip(names, objects, strict=True) for text in item["notes"]),
        )
    failed = [item for item in report["objects"] if item["error"] is not None] if several else []
    if failed:
        code = failed[0]["error"]["code"]
        text = "; ".join(f"{item['id']}: {item['error']['code']}: {item['error']['message']}" for item in failed)
        row = replace(row, state=FAILED, error_code=code, error=text)
    return row


def _worst(of: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    """None where one is not known."""
    known = [value for value in values if value is not None]
    return of(known) if len(known) == len(values) else None


def failed_row(capture: Capture, code: str, message: str, seconds: float | None = None) -> Row:
    """The row of a capture of which nothing was made."""
    return Row(capture.name, str(capture.path), FAILED, seconds, error_code=code, error=message)


def summary(rows: Sequence[Row], seconds: float, workers: int) -> dict[str, Any]:
    """What summary.json holds: versions, counts, and all rows."""
    states = {state: sum(row.state == state for row in rows) for state in (DONE, KEPT, FAILED, PENDING)}
    return {
        "version": __version__,
        "seconds": seconds,
        "workers": workers,
        **states,
        "low": sum(row.quality == "low" for row in rows),
        "captures": [asdict(row) for row in rows],
    }


def write_summary(folder: Path, content: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Writes summary.json and summary.csv into ``folder``. Raises CANNOT_WRITE."""
    write_file(folder / SUMMARY, (json.dumps(content, indent=1) + "\n").encode())
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Row.__dataclass_fields__)
    for row in rows:
        values = asdict(row).values()
        table.writerow("; ".join(value) if isinstance(value, tuple) else value for value in values)
    write_file(folder / TABLE, text.getvalue().encode(errors="backslashreplace"))
