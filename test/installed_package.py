"""Packages of extensions, installed by pip into a folder, and found by this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mvgamba_ros import registry


def pip_install(source: Path, target: Path) -> None:
    """The package in the folder ``source`` into the folder ``target``, without network and dependencies."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(target), str(source)], check=True)


@contextmanager
def found_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is installed in ``folder`` is installed in this process, too."""
    monkeypatch.syspath_prepend(folder)
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()
