"""Thousands of damaged files through every reader: a result, or an error with its code; bounded memory; no crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("MVGAMBA_FUZZ_SECONDS", "3"))
"""`make fuzz-files` gives more."""
SEED = os.environ.get("MVGAMBA_FUZZ_SEED", "0")


@pytest.mark.timeout(600 + 2 * SECONDS)
def test_damaged_files_give_a_result_or_an_error_with_its_code() -> None:
    program = [sys.executable, str(Path(__file__).parent / "fuzz_files.py"), str(SECONDS), SEED]
    done = subprocess.run(program, capture_output=True, text=True, errors="replace")
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert done.returncode == 0, f"status {done.returncode}: {done.stdout[-5000:]}{done.stderr[-1000:]}"
    assert int(last.split()[0]) > 20, last
    print(last)
