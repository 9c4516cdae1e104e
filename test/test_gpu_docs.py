"""docs/gpu.md names no figure that was not measured, and what it says of the code is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mvgamba_ros.kernels import rasterize_tiled, scan_chunked
from tools import gpu_check, gpu_parts

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
SPEED = re.compile(
    r"(?<![\w.])\d[\d.,]*\s?(?:ms|s|min|fps|Hz|x|times|samples/s|samples a second|TFLOP|GB/s|%)(?![\w/])"
)
PAPERS = "0.03 s"
"""The paper's own, quoted."""


def speeds(text: str) -> list[str]:
    return [found for found in SPEED.findall(text) if found != PAPERS]


def test_no_speed_stands_outside_a_table_that_a_named_card_was_measured_with() -> None:
    before, heading, table = PAGE.partition("\n## Measured")
    assert speeds(before) == []
    if heading:
        assert re.search(r"NVIDIA|Jetson", table), "a table of figures names the card"
    else:
        assert "No line of this has run on a GPU" in PAGE


@pytest.mark.parametrize("text", ["takes 12 ms", "3.5x as fast", "40 samples/s", "about 1,200 fps", "half: 50 %"])
def test_a_speed_is_known_for_one(text: str) -> None:
    assert speeds(text)
    assert not speeds(
        f"{PAPERS} on an A800, JetPack 6.2, 16,384 tokens, compute capability 8.0, torch 2.8, eight minutes"
    )


def test_bounds_of_memory_and_time_are_the_codes() -> None:
    assert gpu_parts.PAPER_MS == 30.0 and PAPERS in PAGE
    scan = (ROOT / "mvgamba_ros" / "kernels" / "scan_triton.py").read_text()  # not imported: Triton may be missing
    assert "\n_SCRATCH = 1 << 26\n" in scan and 4 << 26 == 256 * 2**20 and "at most 256 MB" in PAGE
    assert scan_chunked._STATES_AT_ONCE == 2**25 and "2^25 states" in PAGE
    assert rasterize_tiled._PAIRS_AT_ONCE == 2**23 and "2^23 pairs" in PAGE
    assert gpu_check.SECONDS < 480 and "less than eight minutes" in PAGE


def test_every_part_of_the_check_has_its_row() -> None:
    assert all(f"| {part} |" in PAGE for part in gpu_check.PARTS)
