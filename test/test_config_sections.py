"""Settings are explained, read, and reach the result."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rendered
from settings_read import Reader

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.config.printing import field_docstrings
from mvgamba_ros.config.quality_config import QualityConfig
from mvgamba_ros.config.splats_config import SplatConfig
from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.config.wholeness_config import WholenessConfig
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction

ROOT = Path(__file__).parents[1] / "mvgamba_ros"
MODULES = [importlib.import_module(f"mvgamba_ros.config.{path.stem}") for path in ROOT.glob("config/*_config.py")]
SECTIONS: dict[str, type] = {
    name: kind
    for module in MODULES
    for name, kind in vars(module).items()
    if is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.__name__
}
"""Every class of settings, by its name."""
SMALL = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=4000, max_faces=2000)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*_config.py")), ids=lambda p: p.stem)
def test_every_field_has_a_docstring(path: Path) -> None:
    for section in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(section, ast.ClassDef) or section.name == "ReconstructionConfig":
            continue
        for field, after in zip(section.body, [*section.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert explained, f"{section.name}.{ast.unparse(field.target)} has no docstring"


def test_every_class_of_settings_is_part_of_a_reconstructions_or_of_grasps() -> None:
    roots = (ReconstructionConfig, GraspConfig, Gripper)
    assert set(SECTIONS) == {kind.__name__ for root in roots for kind in reachable(root)}


def reachable(section: Any) -> Iterator[type]:
    """A class of settings, and those below it."""
    yield section
    for field in fields(section):
        if is_dataclass(field.default_factory):
            yield from reachable(field.default_factory)


def test_every_field_is_read() -> None:
    sources = [path for path in ROOT.rglob("*.py") if path.parent.name != "config"]
    read = Reader(SECTIONS).read(ast.parse(path.read_text(encoding="utf-8")) for path in sources)
    declared = {(name, field.name) for name, section in SECTIONS.items() for field in fields(section)}
    assert not declared - read, "nothing reads these"


def test_a_field_of_the_same_name_in_another_section_does_not_count_as_read() -> None:
    source = """
class Grid:
    def __init__(self, config: AgreementConfig): self.config = config
def blurred(options: Options, config: SegmentationConfig | None = None):
    border, other = config.border, 3
    return border.blur, Grid(config.agreement)
def cells(grid: Grid): return grid.config.cells
"""
    read = Reader(SECTIONS).read([ast.parse(source)])
    assert {("BorderConfig", "blur"), ("AgreementConfig", "cells")} <= read
    assert not {("AgreementConfig", "blur"), ("ColorConfig", "blur"), ("BorderConfig", "side")} & read


@pytest.mark.parametrize("name", SECTIONS)
def test_the_text_of_a_field_can_be_read_alone(name: str) -> None:
    for field, text in field_docstrings(SECTIONS[name]).items():
        assert text[0].isupper(), f"{name}.{field}: {text}"
        assert text.split()[0] not in {"And", "But", "It", "Its", "Nor", "Of", "Or", "That", "These", "They", "This"}, (
            field
        )


def test_a_configuration_is_a_hashable_value() -> None:
    config = ReconstructionConfig()
    assert hash(config) == hash(ReconstructionConfig()) and config == ReconstructionConfig()
    assert all(is_dataclass(getattr(config, field.name)) for field in fields(config))


@pytest.fixture(scope="module")
def plain() -> Reconstruction:
    return reconstruct(rendered.views(4), SMALL)


def with_section(**section: object) -> Reconstruction:
    return reconstruct(rendered.views(4), replace(SMALL, config=replace(ReconstructionConfig(), **section)))


def test_the_hulls_settings_reach_the_mesh(plain: Reconstruction) -> None:
    finer = with_section(hull=HullConfig(flat_share=1.0))
    assert not np.array_equal(finer.mesh.vertices, plain.mesh.vertices)


def test_the_surfaces_settings_reach_the_mesh(plain: Reconstruction) -> None:
    assert len(with_section(surface=SurfaceConfig(negligible=2.0)).mesh.faces) < 0.7 * len(plain.mesh.faces)


def test_the_textures_settings_reach_the_colours(plain: Reconstruction) -> None:
    frontal = with_section(texture=TextureConfig(min_cosine=0.9))
    np.testing.assert_array_equal(frontal.mesh.vertices, plain.mesh.vertices)
    assert not np.array_equal(frontal.mesh.colors, plain.mesh.colors)
    assert frontal.quality.coverage < plain.quality.coverage


def test_the_qualitys_settings_reach_its_reasons(plain: Reconstruction) -> None:
    strict = with_section(quality=QualityConfig(min_silhouette_iou=1.0))
    assert not any("IoU" in reason for reason in plain.quality.reasons)
    assert any("at least 1.0 expected" in reason for reason in strict.quality.reasons)


def test_the_settings_of_wholeness_reach_the_reasons(plain: Reconstruction) -> None:
    strict = with_section(wholeness=WholenessConfig(min_seen=1.0))
    assert any("at least 100% expected" in reason for reason in strict.quality.reasons)


def test_the_splats_settings_reach_the_gaussians() -> None:
    config = replace(ReconstructionConfig(), splats=SplatConfig(count=1500, steps=2))
    result = reconstruct(rendered.views(4), replace(SMALL, method="mvgamba", config=config))
    assert result.gaussians is not None and len(result.gaussians.means) == 1500
