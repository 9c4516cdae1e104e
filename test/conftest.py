"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.metrics.image import lpips_network
from mvgamba_ros.process import prepare_process

prepare_process()  # before any test imports torch: nodes, arm and tests share the cores here


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fast tests first, so that most mistakes show within minutes; then slow files, then single slow tests."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("slow") is None:
            return 0
        return 2 if any(mark.name == "slow" for mark in item.own_markers) else 1

    items.sort(key=rank)


@pytest.fixture(autouse=True, scope="module")
def threads_stay() -> Iterator[None]:
    """Fails a module that leaves torch with another number of threads: those after it would be measured with it."""
    import torch  # not before `prepare_process`

    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before, "a test of this module changed torch's threads: use the fixture threads"


@pytest.fixture
def threads() -> Iterator[int]:
    """torch's number of threads, which a test may change and which is put back."""
    import torch

    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How several processes share the tests under ``--dist loadfile``."""
    if config.getoption("dist") != "loadfile":
        return None
    from spread_tests import SpreadTests

    return SpreadTests(config, log)


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of posed captures with scanned truth, for measuring only; skips where it is absent."""
    folder = Path(os.environ.get("MVGAMBA_CAPTURES") or Path(__file__).parents[2] / "shared" / "captures")
    if not folder.is_dir():
        pytest.skip(f"no captures at {folder}; set MVGAMBA_CAPTURES to their folder")
    return folder


@pytest.fixture
def lpips_here() -> None:
    """Skips where LPIPS or its weights are absent, saying which."""
    try:
        lpips_network()
    except ReconstructionError as error:
        pytest.skip(error.message)


@pytest.fixture
def no_lpips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without the weights of LPIPS."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lpips_network.cache_clear()
    yield
    lpips_network.cache_clear()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of three rendered objects."""
    from tiny_training import write_three_objects

    folder = tmp_path_factory.mktemp("data") / "three"
    write_three_objects(folder)
    return folder
