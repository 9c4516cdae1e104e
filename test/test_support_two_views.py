"""The support plane of two views around a known object, searched by rules of its own, and of several."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros import observation
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.config.support_plane_config import PlaneHeightConfig
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.observation import Observation, find_support
from mvgamba_ros.segmentation.support_plane import estimate_support_height
from mvgamba_ros.types import Prompts, View


def on_planks(azimuth: float, elevation: float, period: float) -> View:
    """The ellipsoid, on planks along the x axis, ``period`` metres wide, with grain; without depth."""
    a, e = np.radians([azimuth, elevation])
    away = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    view = rendered.render(look_at(rendered.CENTER + 0.45 * away, rendered.CENTER))
    origin, directions = rays(view.camera, view.T_world_camera)
    x, y = np.moveaxis((origin + directions * (-origin[2] / directions[..., 2])[..., None])[..., :2], -1, 0)
    grain = np.random.default_rng(1).normal(0.0, 14.0, (256, 256))
    shade = 130.0 + 45.0 * np.sin(2 * np.pi * y / period)
    shade += grain[np.floor(x / 0.01).astype(int) % 256, np.floor(y / 0.01).astype(int) % 256]
    table = np.repeat(shade[..., None], 3, axis=-1).clip(0, 255).astype(np.uint8)
    assert view.mask is not None
    return replace(view, image=np.where(view.mask[..., None], view.image, table), depth=None)


@pytest.mark.parametrize("period", [0.035, 0.05])
def test_two_opposite_views_find_the_planks_under_the_object(period: float) -> None:
    views = [on_planks(azimuth, 32.0, period) for azimuth in (90.0, 270.0)]
    observed = Observation(views, [0, 1], Prompts(), masks=[view.mask for view in views if view.mask is not None])
    found = find_support(observed, ReconstructionConfig()).prompts.support_height
    assert found is not None and abs(found) < 0.002


def test_two_views_must_agree_more_clearly_than_several_yet_not_at_one_height_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[PlaneHeightConfig] = []

    def estimate(views: list[View], prompts: Prompts, config: SegmentationConfig) -> tuple[float | None, float]:
        searched.append(config.plane_height)
        return None, 0.0

    monkeypatch.setattr(observation, "estimate_support_height", estimate)
    for count in (2, 3):
        views = [replace(view, depth=None) for view in rendered.views(count)]
        masks = [view.mask for view in views if view.mask is not None]
        find_support(Observation(views, list(range(count)), Prompts(), masks=masks), ReconstructionConfig())
    of_two, of_several = searched
    assert of_two.min_clarity >= 0.5 and of_several.min_clarity < 0.2
    assert of_two.max_rival > of_several.max_rival


def test_several_views_take_no_plane_through_the_upper_part_of_the_region_for_the_support() -> None:
    seen, half = [replace(view, depth=None) for view in rendered.views(4)], 0.08
    for share, found in ((0.0, True), (0.35, False)):  # of the region's half, the table above its middle
        middle = np.array([*rendered.CENTER[:2], -share * half])
        reach = np.array([0.05, 0.05, half])
        region = axis_parallel_box(middle - reach, middle + reach)
        height, _ = estimate_support_height(seen, Prompts(roi=region))
        assert (height is not None and abs(height) < 0.002) if found else height is None
