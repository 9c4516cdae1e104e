"""What the command prints: for a person, for a program, for a shell."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rendered

from mvgamba_ros.cli import main
from mvgamba_ros.cli._progress import ProgressLine
from mvgamba_ros.cli._words import GREEN, Words
from mvgamba_ros.io.transforms_json import write_capture

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("capture")
    write_capture(folder, rendered.views(4))
    quick = ["--method", "hull", "--masks", "--hull-resolution", "32", "--texture", "0", "--no-report"]
    return ["reconstruct", str(folder), *quick]


def test_json_is_one_object_with_the_report_and_nothing_else(given, tmp_path, capsys):
    assert main([*given, "-o", str(tmp_path / "out"), "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told.pop("out") == str(tmp_path / "out") and told == report and printed.err == ""


def test_quiet_prints_nothing_but_failures(given, tmp_path, capsys):
    assert main([*given, "-o", str(tmp_path / "out"), "-q"]) == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
    assert main(["reconstruct", str(tmp_path / "none"), "-o", str(tmp_path / "other"), "-q"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_colors_are_for_terminals_alone(monkeypatch, capsys):
    args = argparse.Namespace(quiet=False, json=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Words(args).line("quality", "good", GREEN)
    assert capsys.readouterr().out == "quality  good\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    Words(args).line("quality", "good", GREEN)
    assert capsys.readouterr().out == "\033[32mquality \033[0m good\n"
    monkeypatch.setenv("NO_COLOR", "1")
    Words(args).line("quality", "good", GREEN)
    assert "\033" not in capsys.readouterr().out


def test_a_shell_completes_commands_and_flags(capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as ended:
        main(["--completion", "bash"])
    script = capsys.readouterr().out
    assert ended.value.code == 0 and "--max-faces" in script and "reconstruct" in script
    bash = shutil.which("bash")
    assert bash is not None
    code = script + '\nCOMP_WORDS=(mvgamba recon); COMP_CWORD=1; _shtab_mvgamba; echo "${COMPREPLY[@]}"'
    done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["reconstruct"], done
    assert main(["--completion", "fishy"]) == 1
    assert "fishy" in capsys.readouterr().err


def test_a_bar_makes_room_for_a_line_and_is_for_terminals(monkeypatch, capsys):
    ProgressLine(shown=False)("stage", 0.5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = ProgressLine()
    bar.clear()
    assert capsys.readouterr().err == ""  # nothing to take off
    bar("mug 4", 0.5)
    bar.clear()
    printed = capsys.readouterr().err
    assert "############ " in printed and " 50% mug 4" in printed and printed.endswith("\r\033[K")
