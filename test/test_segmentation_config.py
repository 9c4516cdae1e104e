"""The segmenters' settings: every number is a field, every field is described, and what is set is used."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rendered import CENTER, SIZE, views

from mvgamba_ros.config import ReconstructionConfig, cues_config, segmentation_config, support_plane_config
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.segmentation.classical.classical_segmenter import ClassicalSegmenter
from mvgamba_ros.segmentation.support_plane import estimate_support_height
from mvgamba_ros.types import Box, Prompts

ROOT = Path(segmentation_config.__file__).parents[1] / "segmentation"
SOURCES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))]
FIXED = {
    *("SIDE", "CHANNELS", "KINDS", "UNSEEN", "_MEAN", "_CUT", "MOST_WIDTHS", "WIDEST", "WIDTHS", "MOST_ROUNDS"),
    *("(MEAN, DEVIATION)", "CLASSES", "MIDDLES", "CELLS", "STEPS", "STRIDE", "KNOWN", "(LOWEST, HIGHEST)"),
    *("BINS", "EXTRA", "RATIOS", "_LEAST", "_LOCAL", "_FLOOR", "_CLIP"),
}
"""Not settings: shapes that networks were trained for or may have, a mark, and how `cv2.grabCut` is made to cut."""


def test_settings_are_equal_where_their_numbers_are_and_can_be_keys() -> None:
    other = replace(SegmentationConfig(), graph_cut=replace(SegmentationConfig().graph_cut, rounds=3))
    assert SegmentationConfig() == SegmentationConfig() != other
    assert len({SegmentationConfig(), SegmentationConfig(), other}) == 2


@pytest.mark.parametrize("module", [cues_config, segmentation_config, support_plane_config])
def test_every_field_is_described_below_it(module: Any) -> None:
    for of in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(of, ast.ClassDef):
            for field, below in zip(of.body, [*of.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    described = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                    assert described, f"{of.name}.{ast.unparse(field.target)}"


def test_no_module_of_the_segmenters_holds_a_number_of_its_own() -> None:
    for tree in SOURCES:
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                names = {ast.unparse(target) for target in getattr(node, "targets", [getattr(node, "target", None)])}
                numbers = [
                    x for x in ast.walk(node.value) if isinstance(x, ast.Constant) and type(x.value) in (int, float)
                ]
                assert not numbers or names <= FIXED, f"{names} belongs into the configuration"


def region() -> Prompts:
    T = np.eye(4)
    T[:3, 3] = CENTER
    return Prompts(roi=Box(T, 1.4 * np.asarray(SIZE)))


def with_group(group: str, **numbers: Any) -> SegmentationConfig:
    return replace(SegmentationConfig(), **{group: replace(getattr(SegmentationConfig(), group), **numbers)})


def test_a_segmenter_works_with_the_numbers_it_is_given() -> None:
    bare = [replace(view, mask=None, depth=None) for view in views(2)]
    with pytest.raises(ReconstructionError) as caught:
        ClassicalSegmenter(with_group("agreement", min_pixels=10**6))(bare, region())
    assert caught.value.code is ErrorCode.EMPTY_SILHOUETTE


def test_so_does_a_reconstruction() -> None:
    bare = [replace(view, mask=None, depth=None) for view in views(2)]
    config = ReconstructionConfig(segmentation=with_group("agreement", min_pixels=10**6))
    with pytest.raises(ReconstructionError) as caught:
        reconstruct(bare, Options(method="hull", prompts=region(), config=config))
    assert caught.value.code is ErrorCode.EMPTY_SILHOUETTE


def test_so_does_the_search_for_the_support_plane() -> None:
    seen = [replace(view, mask=None) for view in views(2)]
    assert estimate_support_height(seen, region())[0] == pytest.approx(0.0, abs=0.002)  # from depth
    config = replace(
        with_group("support_depth", min_readings=10**9),
        plane_height=replace(SegmentationConfig().plane_height, min_clarity=2.0),
    )
    assert estimate_support_height(seen, region(), config)[0] is None
