"""What `import mvgamba_ros` gives: the public names, lazily, each with a reference page that runs."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import rendered
from patience import run_python

import mvgamba_ros
from mvgamba_ros.io.transforms_json import write_capture

SOURCE = Path(mvgamba_ros.__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a ``capture`` in it, as the examples have it."""
    path = tmp_path_factory.mktemp("examples")
    write_capture(path / "capture", rendered.views(4))
    return path


@pytest.mark.parametrize("name", mvgamba_ros.__all__)
def test_a_public_name_has_a_reference_with_an_example_that_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    value = getattr(mvgamba_ros, name)
    text = inspect.getdoc(value) or ""
    assert "Example:" in text
    if inspect.isfunction(value):
        assert all(section in text for section in ("Args:", "Returns:", "Raises:"))
        assert all(f"{argument}:" in text for argument in inspect.signature(value).parameters)
    run_examples(name, text)


def test_the_packages_own_example_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    run_examples("mvgamba_ros", mvgamba_ros.__doc__ or "")


def run_examples(name: str, text: str) -> None:
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    results = doctest.DocTestRunner().run(test, out=said.append)
    assert results.failed == 0, "".join(said)


def test_type_checkers_see_the_names_that_are_loaded_lazily():
    seen: set[str] = set()
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mvgamba_ros."):
            for alias in node.names:
                home = f"mvgamba_ros.{mvgamba_ros._HOMES.get(alias.name, 'types')}"
                assert node.module == home, f"{alias.name} is of {home}"
                seen.add(alias.name)
    assert seen == set(mvgamba_ros.__all__)


def test_importing_the_package_and_asking_it_for_names_loads_nothing():
    code = (
        "import sys, mvgamba_ros\n"
        "assert {'reconstruct', 'Options', '__version__'} <= set(dir(mvgamba_ros))\n"
        "loaded = [m for m in sys.modules if m.startswith('mvgamba_ros.') or m in ('numpy', 'torch')]\n"
        "assert not loaded, loaded\n"
        "from mvgamba_ros import Camera, ErrorCode, Options, Prompts, View\n"
        "assert 'torch' not in sys.modules\n"
        "assert mvgamba_ros.Options is sys.modules['mvgamba_ros.options'].Options\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=SOURCE.parents[1])


def test_a_name_that_is_not_public_is_an_attribute_error_as_of_any_module():
    with pytest.raises(AttributeError, match="module 'mvgamba_ros' has no attribute 'reconstrukt'"):
        mvgamba_ros.reconstrukt  # noqa: B018
    with pytest.raises(ImportError):
        from mvgamba_ros import reconstrukt  # noqa: F401


def test_all_public_names_come_with_a_star():
    names: dict[str, object] = {}
    exec("from mvgamba_ros import *", names)
    assert set(mvgamba_ros.__all__) <= set(names)


def test_the_built_messages_still_join_the_package():
    pytest.importorskip("rclpy")
    from mvgamba_ros.msg import ReconstructedObject

    assert ReconstructedObject.__module__.startswith("mvgamba_ros.msg")


def test_it_imports_beside_a_clone_of_the_repository(tmp_path):
    """A clone is a folder of the package's name, with a config/ and a msg/ that hold no modules."""
    for folder in ("config", "msg"):
        (tmp_path / "mvgamba_ros" / folder).mkdir(parents=True)
    code = "import mvgamba_ros; from mvgamba_ros import Options; print(Options().config.quality is not None)"
    done = run_python("-c", code, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.stdout.strip() == "True"


def test_an_error_comes_home_from_another_process():
    error = pickle.loads(pickle.dumps(mvgamba_ros.ReconstructionError(mvgamba_ros.ErrorCode.BUSY, "wait")))
    assert (error.code, error.message) == (mvgamba_ros.ErrorCode.BUSY, "wait")
