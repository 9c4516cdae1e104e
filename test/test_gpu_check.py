"""The check of the GPU: each part on its own, so that one that fails, hangs or lacks a package hides none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tools import gpu_check, gpu_parts, gpu_rows, gpu_ways


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUT", str(tmp_path))
    return tmp_path


def rows(out: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


def interpreter(out: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """What runs a part instead of Python."""
    script = out / "python"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


@pytest.mark.parametrize(
    ("does", "seconds", "state", "value"),
    [
        ("echo no kernel image; exit 3", 20.0, "FAILED", "exit 3: no kernel image"),
        ("sleep 60 & sleep 60", 0.3, "FAILED", "ended after 0 s"),
        ("exit 0", 20.0, "measured", "0"),
        ("exit 0", -1.0, "skipped", "no time is left"),
    ],
)
def test_a_part_ends_in_time_and_a_row_says_how(
    does: str, seconds: float, state: str, value: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "LEAST_SECONDS", 0.0)
    interpreter(out, monkeypatch, does)
    gpu_check.run_apart("kernels", seconds, out)
    (row,) = rows(out)
    assert (row["part"], row["state"], row["value"]) == ("kernels", state, value)


def test_a_part_whose_package_is_missing_is_skipped_by_its_name(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> None:
        raise ModuleNotFoundError("No module named 'open3d'")

    monkeypatch.setattr(gpu_parts, "kernels", lacking)
    assert gpu_check.run_here("kernels") == 0
    assert rows(out)[0]["state"] == "skipped" and "open3d" in rows(out)[0]["value"]


def test_a_kernel_that_is_wrong_or_raises_fails_and_the_next_is_tried(out: Path) -> None:
    right = [torch.ones(3, dtype=torch.float64)]
    gpu_parts.compare("right", lambda: [torch.ones(3)], right)
    gpu_parts.compare("wrong", lambda: [torch.tensor([1.0, 1.0, 1.1])], right)
    gpu_parts.compare("raising", lambda: 1 / 0, right)
    assert [row["state"] for row in rows(out)] == ["ok", "FAILED", "FAILED"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the parts run on it")
def test_without_a_gpu_what_takes_one_is_skipped_by_name_and_the_rest_runs(out: Path) -> None:
    gpu_parts.machine()
    gpu_parts.rasterisers()
    states = {row["what"]: row["state"] for row in rows(out)}
    assert states["card"] == states["rasteriser that runs on the GPU"] == "skipped"
    assert states["rasteriser, tiled: off float64 by"] == "ok"
    table = gpu_check.as_table(rows(out))
    assert table.splitlines()[0] == "| part | what | value | bound | state |" and "0 FAILED" in table


def test_every_part_is_a_function_and_their_whole_time_is_below_eight_minutes() -> None:
    from importlib import import_module

    for name, (module, seconds) in gpu_check.PARTS.items():
        assert callable(getattr(import_module(f"tools.{module}"), name))
        assert seconds <= 120 or name == "recipe", "it alone takes what is left"
    assert gpu_check.SECONDS < 480 and list(gpu_check.PARTS)[-1] == "recipe"


def test_a_part_of_another_name_is_refused_with_the_names_that_there_are(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check", "speed"])
    with pytest.raises(SystemExit):
        gpu_check.main()
    assert "no such part: speed; choose of machine, build, kernels" in capsys.readouterr().err


def test_times_are_medians_of_calls_after_two(out: Path) -> None:
    calls = []
    gpu_rows.milliseconds(lambda: calls.append(0), 3, torch.device("cpu"))
    assert len(calls) == 5


def test_another_way_to_run_a_network_is_timed_and_held_to_the_plain_one(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that is wrong fails, one that cannot compile is skipped with its words."""

    def cannot(call: gpu_ways.Call, given: torch.Tensor) -> gpu_ways.Call:
        raise RuntimeError("Triton is missing")

    made: list[gpu_ways.Way] = [lambda call, given: call, lambda call, given: lambda x: call(x) + 1.0, cannot]
    for make in made:
        gpu_ways.ways("graphs", "blocks", torch.sin, torch.linspace(0, 1, 5), gpu_ways.GRAPH | {"compiled": make})
    found = [row for row in rows(out) if row["what"] == "blocks, compiled"]
    assert [row["state"] for row in found] == ["ok", "FAILED", "skipped"] and "Triton is missing" in found[2]["value"]
    if not torch.cuda.is_available():
        graphs = [row for row in rows(out) if row["what"] == "blocks, as a CUDA graph"]
        assert {row["state"] for row in graphs} == {"skipped"}


def test_what_comes_back_is_few_files(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lent machine sends back no more: the parts' logs are one, and a part is told how long it has."""
    interpreter(out, monkeypatch, "echo $GPU_CHECK_PART_SECONDS; exit 0")
    for part in ("kernels", "paper"):
        gpu_check.run_apart(part, 20.0, out)
    assert (out / gpu_check.LOG).read_text().split() == ["==", "kernels", "20", "==", "paper", "20"]
    assert {path.name for path in out.iterdir()} == {"rows.jsonl", "log.txt", "python"}
