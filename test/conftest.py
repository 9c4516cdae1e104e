"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mvgamba_ros.process import prepare_process

prepare_process()  # before any test imports torch: nodes, arm and tests share the cores here


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of posed captures with scanned truth, for measuring only; skips where it is absent."""
    folder = Path(os.environ.get("MVGAMBA_CAPTURES") or Path(__file__).parents[2] / "shared" / "captures")
    if not folder.is_dir():
        pytest.skip(f"no captures at {folder}; set MVGAMBA_CAPTURES to their folder")
    return folder
