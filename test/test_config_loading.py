# mypy: no-check-untyped-defs
"""Settings come from defaults, a YAML file and changes; what does not fit is named with its key and what would fit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path

import pytest

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.bounds import bounded, check_bounds
from mvgamba_ros.config.loading import load_config
from mvgamba_ros.config.printing import field_docstrings, settings_to_yaml
from mvgamba_ros.errors import ErrorCode, ReconstructionError


@dataclass(frozen=True)
class Fit:
    rate: float = 0.5
    steps: int = bounded(3, 1, 100)
    weight: float = bounded(1.0, 0.0, 10.0)
    levels: tuple[int, ...] = (1, 2)
    span: tuple[float, float] = (0.5, 1.0)
    offset: float = 0.0


@dataclass(frozen=True)
class Stage:
    data: str
    fit: Fit = field(default_factory=Fit)


@dataclass(frozen=True)
class Run:
    name: str
    fit: Fit = field(default_factory=Fit)
    second: Fit | None = None
    start: str | None = None
    only: list[str] = field(default_factory=list)
    counts: dict[int, float] = field(default_factory=lambda: {1: 0.5, 2: 0.5})
    spans: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    stages: tuple[Stage, ...] = ()
    fast: bool = False


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


def test_a_number_whose_default_is_not_positive_may_have_any_sign():
    assert load_config(Fit, None, ["offset=-0.5"]).offset == -0.5
    assert load_config(Fit, None, ["offset=0.5"]).offset == 0.5


def test_without_file_and_changes_the_defaults_hold():
    assert load_config(Fit) == Fit()
    assert load_config(ReconstructionConfig) == ReconstructionConfig()


def test_a_file_changes_what_it_names_and_a_change_wins_over_it(file):
    path = file("name: a\nstart: x.pt\nfit: {steps: 5, levels: [4, 5, 6]}\nsecond: {rate: 2}\nonly: [head]\n")
    loaded = load_config(Run, path, ["fit.steps=7", "fit.rate=4e-4", "start=null", "fast=true"])
    fit = Fit(rate=4e-4, steps=7, levels=(4, 5, 6))
    assert loaded == Run("a", fit=fit, second=Fit(rate=2.0), start=None, only=["head"], fast=True)
    hash(loaded.fit)  # tuples stay tuples, so that a section can key a cache


def test_a_mapping_replaces_the_default_one(file):
    assert load_config(Run, file("name: a\ncounts: {4: 1}\n")).counts == {4: 1.0}
    assert load_config(Run, None, ["name=a", "counts={4: 1, 8: 2}"]).counts == {4: 1.0, 8: 2.0}
    assert load_config(Run, None, ["name=a"]).counts == {1: 0.5, 2: 0.5}


def test_sections_in_a_list_are_built_and_checked_too(file):
    loaded = load_config(Run, file("name: a\nstages: [{data: x}, {data: y, fit: {span: [1, 2]}}]\nspans: [[1, 2]]\n"))
    assert loaded.stages == (Stage("x"), Stage("y", Fit(span=(1.0, 2.0)))) and loaded.spans == ((1.0, 2.0),)
    hash(loaded.stages)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("fit.step=4", ["fit.step", "did you mean fit.steps"]),
        ("steps=4", ["'steps'", "did you mean fit.steps, second.steps"]),
        ("fit.zebra=4", ["fit.zebra", "fit.rate, fit.steps"]),
        ("fitt.steps=4", ["'fitt'", "did you mean fit"]),
        ("fit.steps=3.5", ["fit.steps 3.5", "a whole number"]),
        ("fit.steps=true", ["fit.steps True", "a whole number"]),
        ("fit.rate=fast", ["fit.rate 'fast'", "a number"]),
        ("fit.rate=.nan", ["fit.rate nan", "a number"]),
        ("fit.rate=null", ["fit.rate None", "a number"]),
        ("fit.rate", ["fit.rate", "KEY=VALUE"]),
        ("fit.rate=[1", ["fit.rate=[1", "not YAML"]),
        ("fit=4", ["fit 4", "a section of rate, steps"]),
        ("fit.span=[1, 2, 3]", ["fit.span", "a list of 2, each a number"]),
        ("fit.levels=[1, x]", ["fit.levels", "a list, each a whole number"]),
        ("counts.4=1.0", ["counts.4", "{key: value}"]),
        ("spans=[[1, 2], [3]]", ["spans[1] [3]", "a list of 2, each a number"]),
        ("stages=[{data: x, fitt: 1}]", ["stages[0].fitt", "data, fit"]),
        ("stages=[{fit: {steps: 2}}]", ["stages[0].data", "missing"]),
        ("stages=[{data: x, fit: {steps: 0}}]", ["stages[0].fit.steps 0", "1 to 100"]),
        ("fast=maybe", ["fast 'maybe'", "true or false"]),
        ("fit.steps=101", ["fit.steps 101", "1 to 100"]),
        ("fit.weight=-1", ["fit.weight -1.0", "0 to 10"]),
        ("fit.rate=-1", ["fit.rate -1.0", "0 or more"]),
        ("fit.rate=.inf", ["fit.rate inf", "0 or more"]),
        ("name=${nowhere}", ["name '${nowhere}'", "write the value itself"]),
        ("name=${oc.env:HOME}", ["name '${oc.env:HOME}'", "not resolved"]),
        ("name=${", ["--set name=${", "not YAML"]),
        ("only=[a, '${fit.rate}']", ["only.1 '${fit.rate}'"]),
        ("fit.rate=???", ["fit.rate '???'", "write the value itself"]),
        ("fit.rate=" + 400 * "9", ["fit.rate", "a number"]),
        ("fit.span=[1, " + 400 * "9" + "]", ["fit.span", "a list of 2, each a number"]),
        ("fit.steps=" + 400 * "9", ["fit.steps", "1 to 100"]),
        ("fit={null: 3}", ["fit={null: 3}"]),
        ("stages={a: 1}", ["stages", "a list"]),
        ("fit=" + 3000 * "[" + 3000 * "]", ["--set fit="]),
        ("name=\udcff", ["--set name=", "not YAML"]),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(change, words):
    with pytest.raises(ReconstructionError) as caught:
        load_config(Run, None, ["name=a", change])
    assert caught.value.code is ErrorCode.BAD_OPTION
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nfit: {steps: x}\n", ["run.yaml", "fit.steps 'x'", "a whole number"]),
        ("name: a\nfi: {steps: 3}\n", ["run.yaml", "'fi'", "did you mean fit"]),
        ("fit: {steps: 3}\n", ["name is not set", "--set"]),
        ("- name\n", ["run.yaml", "list"]),
        ("name: [\n", ["run.yaml", "not YAML"]),
        ("name: a\nname: b\n", ["run.yaml", "name"]),
        ("3\n", ["run.yaml", "a mapping"]),
        ("null: 3\n", ["run.yaml", "NoneType"]),
        ("name: !!set {a}\n", ["run.yaml", "set"]),
        ("name: ${unfinished\n", ["run.yaml", "${unfinished"]),
        ("fit: ${oc.env:HOME}\n", ["run.yaml: fit '${oc.env:HOME}'", "write the value itself"]),
        ("name: " + 3000 * "[" + 3000 * "]", ["run.yaml", "recursion"]),
        ("# a\n" * 300_000, ["run.yaml", "larger than 1000000 bytes"]),
    ],
)
def test_a_wrong_file_is_named_with_key_and_value(file, text, words):
    with pytest.raises(ReconstructionError) as caught:
        load_config(Run, file(text))
    assert caught.value.code is ErrorCode.BAD_OPTION and "\n" not in caught.value.message
    for word in words:
        assert word in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ReconstructionError, match=r"none\.yaml: No such file") as caught:
        load_config(Run, tmp_path / "none.yaml")
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_a_file_that_cannot_be_read_as_text_is_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(ReconstructionError, match=r"latin\.yaml is not text: save it as UTF-8"):
        load_config(Run, tmp_path / "latin.yaml")
    with pytest.raises(ReconstructionError, match=r"~no_such_user/run\.yaml: .*home"):
        load_config(Run, "~no_such_user/run.yaml")
    with pytest.raises(ReconstructionError, match="larger than"):
        load_config(Run, "/dev/zero")


def test_an_empty_file_changes_nothing(file):
    assert load_config(Fit, file("# nothing\n")) == Fit()


def test_the_parser_is_loaded_when_it_is_used():
    code = "import sys, mvgamba_ros.config.loading\nassert 'omegaconf' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@dataclass(frozen=True)
class Printed:
    """How it is printed."""

    name: str = "a: b"
    """What it is called, in a text that is so long that it does not fit into one line of the comments that are printed
    above the values."""
    span: tuple[float, float] = (1e-6, 2.0)
    counts: dict[int, float] = field(default_factory=lambda: {1: 0.5})
    start: str | None = None
    fit: Fit = field(default_factory=Fit)


def test_printed_settings_carry_their_texts_and_are_read_back_the_same(file):
    settings = Printed(span=(3e-7, 0.1), start="null", fit=Fit(rate=4e-4, levels=(7,)))
    text = settings_to_yaml(settings)
    assert "# What it is called, in a text" in text and max(map(len, text.splitlines())) <= 120
    assert load_config(Printed, file(text)) == settings


def numbers(cls: type, prefix: str = "") -> Iterator[str]:
    """The dotted names of all numbers in a tree of settings."""
    for item in fields(cls):
        if is_dataclass(item.default_factory):
            yield from numbers(item.default_factory, f"{prefix}{item.name}.")
        elif isinstance(item.default, (int, float)) and not isinstance(item.default, bool):
            yield prefix + item.name


@pytest.mark.parametrize("name", list(numbers(ReconstructionConfig))[::20])
def test_a_number_takes_no_text_wherever_it_stands(name):
    with pytest.raises(ReconstructionError, match=rf"{re.escape(name)} 'much' .* number"):
        load_config(ReconstructionConfig, None, [f"{name}=much"])


def test_every_setting_is_printed_with_its_text_and_read_back_the_same(file):
    config = ReconstructionConfig()
    assert load_config(ReconstructionConfig, file(settings_to_yaml(config))) == config
    assert not list(without_text(config))


def test_a_range_that_a_settings_text_gives_is_checked():
    found = 0
    for name, item, text in settings_with_text(ReconstructionConfig):
        given = set(re.findall(r"\[(-?\d+), (-?\d+)\]", text))
        if len(given) == 1:
            found += 1
            least, most = map(float, given.pop())
            assert "low" in item.metadata, f"{name}: declare the range with bounded()"
            assert least <= item.metadata["low"] < item.metadata["high"] <= most, name
    assert found > 20


def settings_with_text(cls: type, prefix: str = "") -> Iterator[tuple[str, Field, str]]:
    """Dotted name, field and docstring of all settings in a tree."""
    texts = field_docstrings(cls)
    for item in fields(cls):
        if is_dataclass(item.default_factory):
            yield from settings_with_text(item.default_factory, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item, texts.get(item.name, "")


def test_a_share_above_one_is_refused_also_in_a_pair():
    with pytest.raises(ReconstructionError, match=r"quality\.min_silhouette_iou 1\.5 must be a number, 0 to 1"):
        load_config(ReconstructionConfig, None, ["quality.min_silhouette_iou=1.5"])
    with pytest.raises(
        ReconstructionError,
        match=r"segmentation\.plane\.match_rate \(0\.5, 2\.0\) must be 2 numbers, each 0\.001 to 0\.999",
    ):
        load_config(ReconstructionConfig, None, ["segmentation.plane.match_rate=[0.5, 2]"])


def without_text(settings, prefix: str = "") -> Iterator[str]:
    """The dotted names of the settings without a docstring under them, and of sections whose class has none."""
    texts = field_docstrings(type(settings))
    for item in fields(settings):
        value, name = getattr(settings, item.name), f"{prefix}{item.name}"
        if is_dataclass(value):
            yield from () if type(value).__doc__ else (name,)
            yield from without_text(value, f"{name}.")
        elif not texts.get(item.name, "").strip():
            yield name


def test_every_number_of_a_reconstruction_declares_its_range_and_has_its_default_in_it():
    for name, item, _ in settings_with_text(ReconstructionConfig):
        assert {"low", "high"} <= set(item.metadata), f"{name}: declare the range with bounded()"
        assert item.metadata["low"] < item.metadata["high"] < float("inf"), name
    check_bounds(ReconstructionConfig())
