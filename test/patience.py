"""Other processes, and how long a test waits for one: only what hangs takes so long, however busy the machine is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

PATIENCE = 240.0
"""Seconds. Below the time limit of a test, so that the process is named; far above what any of them needs."""
REPOSITORY = Path(__file__).parents[1]


def run_python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this interpreter from the repository's root, its output captured; fails the test with it where it fails."""
    options = {"cwd": REPOSITORY} | options
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=PATIENCE, **options)
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done
