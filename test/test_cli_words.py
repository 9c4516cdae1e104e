"""What the command prints: for a person, for a program, for a shell."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import rendered

from mvgamba_ros.cli import main
from mvgamba_ros.cli._progress import ProgressLine
from mvgamba_ros.cli._words import GREEN, RED, Words
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.types import Counted

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
    for words, completed in (("recon", "reconstruct"), ("ba", "batch"), ("batch --clu", "--cluster")):
        at = len(words.split())
        code = f'{script}\nCOMP_WORDS=(mvgamba {words}); COMP_CWORD={at}; _shtab_mvgamba; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.split() == [completed], done
    assert main(["--completion", "fishy"]) == 1
    assert "fishy" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def on_a_terminal(**environment: str) -> Iterator[Terminal]:
    """What a person sees of stdout and stderr, 100 columns wide."""
    seen = Terminal()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(seen), redirect_stderr(seen):
        patch.delenv("NO_COLOR", raising=False)
        for name, value in {"TERM": "xterm", "COLUMNS": "100", **environment}.items():
            patch.setenv(name, value)
        yield seen


def test_a_bar_makes_room_for_a_line_on_a_terminal():
    with on_a_terminal() as terminal, closing(ProgressLine()) as bar:
        bar("mug [4]", 0.5)
        print("a line")
    shown = terminal.getvalue()
    assert " 50%" in shown and "mug [4]" in shown and "━" in shown
    assert shown.index("a line") < shown.rindex("mug [4]") and shown.endswith("\033[?25h")  # the cursor is back


def test_a_bar_is_without_colors_where_they_are_not_wanted():
    with on_a_terminal(NO_COLOR="1") as terminal, closing(ProgressLine()) as bar:
        bar("mug", 0.5)
    assert "mug" in terminal.getvalue() and not re.search(r"\033\[[0-9;]*m", terminal.getvalue())


def test_in_a_log_progress_is_a_plain_line_a_stage_and_nothing_where_it_is_not_shown(capsys):
    for shown in (True, False):
        with closing(ProgressLine(shown)) as bar:
            for fraction in (0.0, 0.2, 0.4):
                bar("method", fraction)
            bar("finish", 0.9)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [["0%", "method"], ["90%", "finish"]]


def test_lines_that_count_are_a_bar_on_a_terminal_and_lines_in_a_log(capsys):
    with closing(ProgressLine()) as bar:
        bar.log(Counted("1/2 shards", 0.5))
    printed = capsys.readouterr()
    assert printed.out == "1/2 shards\n" and printed.err == ""
    with on_a_terminal() as terminal, closing(ProgressLine()) as bar:
        for line in ("begun", Counted("1/2 shards", 0.5), Counted("2/2 shards", 1.0), Counted("1/9 other", 1 / 9)):
            bar.log(line)
    shown = terminal.getvalue()
    assert "begun\n" in shown and " 11%" in shown and "1/9 other" in shown and "shards\n" not in shown
    again = pickle.loads(pickle.dumps(Counted("1/2", 0.5)))
    assert again == "1/2" and again.fraction == 0.5


def test_a_table_is_drawn_on_a_terminal_and_plain_elsewhere(capsys):
    with on_a_terminal() as terminal:
        Words(argparse.Namespace(quiet=False, json=False)).table(["capture", "state"], [("mug [x]", "failed")], [RED])
    drawn = terminal.getvalue()
    assert "mug [x]" in drawn and "\033[31mfailed" in drawn
    Words(argparse.Namespace(quiet=False, json=False)).table(["capture", "state"], [("mug [x]", "failed")], [RED])
    assert capsys.readouterr().out == "capture  state\nmug [x]  failed\n"
    Words(argparse.Namespace(quiet=True, json=False)).table(["a"], [("b",)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("columns", [1, 2, 11, 17, 18, 25, 60])
def test_a_terminal_however_narrow_shows_all_of_a_table(columns):
    head, row = (
        ("object", "size, mm", "centre, m", "error, mm", "seen", "quality"),
        ("mug", "9 x 8", "0.1", "2", "9%", "good"),
    )
    with on_a_terminal(COLUMNS=str(columns), NO_COLOR="1") as terminal:
        Words(argparse.Namespace(quiet=False, json=False)).table(head, [row])
    shown = re.sub(r"\033\[[0-9;]*m", "", terminal.getvalue())
    assert sorted("".join(shown.split())) == sorted("".join((*head, *row)).replace(" ", ""))


def test_a_command_that_draws_nothing_does_not_load_what_draws():
    code = (
        "import sys\nfrom mvgamba_ros.cli._progress import ProgressLine\nfrom mvgamba_ros.cli._words import Words\n"
        "import mvgamba_ros.cli.batch\nimport mvgamba_ros.io.results\nProgressLine()('stage', 0.5)\n"
        "assert not {'rich', 'distributed', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
