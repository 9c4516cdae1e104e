"""Other projects' kernels are compared with ours, and a clone that is missing is named with the way to get it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import kernels_others
from benchmarks.timing import turns


@pytest.mark.parametrize(("option", "address"), [("--ggml", "ggml-org/ggml"), ("--opensplat", "pierotofy/OpenSplat")])
def test_a_folder_that_is_no_clone_is_an_error_with_the_command_that_gets_it(option, address, tmp_path, capsys):
    with pytest.raises(SystemExit):
        kernels_others.main([option, str(tmp_path)])
    error = capsys.readouterr().err
    assert f"{option} {tmp_path}: no " in error and f"git clone --depth 1 https://github.com/{address}" in error


def test_without_anything_to_compare_with_it_says_what_to_give(monkeypatch, capsys):
    monkeypatch.setattr(kernels_others, "ipex_scan", lambda: (None, "intel_extension_for_pytorch does not import"))
    with pytest.raises(SystemExit):
        kernels_others.main([])
    assert "give --ggml DIR or --opensplat DIR" in capsys.readouterr().err


def test_a_clone_that_does_not_compile_ends_with_the_compilers_words(tmp_path):
    mark, _ = kernels_others.MARKS["ggml"]
    (tmp_path / mark).parent.mkdir()
    (tmp_path / mark).touch()  # a header and no CMakeLists.txt
    with pytest.raises(SystemExit, match=r"CMakeLists\.txt") as error:
        kernels_others.build({"ggml": tmp_path}, tmp_path / "build")
    assert "a clone may be of a version whose functions have changed" in str(error.value)


def test_scans_that_differ_are_not_timed():
    y = torch.linspace(-1, 1, 100)
    assert kernels_others.scan_apart(y, y + 1e-5) == "1e-05"
    with pytest.raises(AssertionError, match=r"the scans differ by 1\.0e-03 of the largest output"):
        kernels_others.scan_apart(y, y + 1e-3)
    with pytest.raises(AssertionError):
        kernels_others.scan_apart(y, y * torch.nan)


def test_the_ratio_is_of_the_calls_of_one_turn_by_the_clock_that_was_given(capsys):
    now = [0.0]

    def takes(*seconds: float):
        left = list(seconds)
        return lambda: now.__setitem__(0, now[0] + left.pop(0))

    # the warm-up, then three turns, the last on a machine that is half as fast
    calls = {"ours": takes(9, 1, 1, 2), "theirs": takes(9, 4, 5, 12)}
    assert turns(calls, 3, lambda: now[0]) == {"ours": [1, 1, 2], "theirs": [4, 5, 12]}
    calls = {"ours": takes(9, 1, 1, 2), "theirs": takes(9, 4, 5, 12)}
    kernels_others.row("a kernel", "8 x 8", calls, 3, "nothing", clock=lambda: now[0])
    assert capsys.readouterr().out == "| a kernel | 8 x 8 | 1000.00 | 5000.0 | 5.0x [4.0, 6.0] | nothing |\n"


@pytest.mark.parametrize("name", list(kernels_others.MARKS))
def test_the_kernels_of_a_clone_give_what_ours_give(name, tmp_path, monkeypatch, capsys):
    clone = os.environ.get(f"{name.upper()}_CLONE")
    if clone is None:
        pytest.skip(f"set {name.upper()}_CLONE to a clone of {kernels_others.MARKS[name][1]}; compiling takes minutes")
    monkeypatch.setattr(kernels_others, "SCANS", [(64, 32)])
    monkeypatch.setattr(kernels_others, "PICTURES", [(1024, 64)])
    threads = torch.get_num_threads()
    try:
        kernels_others.main([f"--{name}", clone, "--build", str(tmp_path), "--repeats", "2"])
    finally:
        torch.set_num_threads(threads)
    assert "x [" in capsys.readouterr().out
