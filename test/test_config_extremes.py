"""Ranges hold for settings made in Python; a setting at an end of its range gives a result or an error of the package's
own, and soon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any

import pytest

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.config.support_plane_config import PlaneMatchingConfig
from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import Prompts
from mvgamba_ros.warm_up import CENTER, RADIUS, ball_views

COSTLY = {"agreement.cells", "plane_height.grid", "splats.count", "splats.steps", "splats.crop_size"}
"""Whose upper end is meant to take minutes."""
OF_DEPTH = {"depth", "surface", "splats", "texture", "expected_error", "photo_consistency"}
"""Sections that act on what the network infers; the others do the same for the hull, in a third of the time."""
DIVISORS = (
    *("color.cell", "color.blur", "agreement.cells", "plane_height.views", "shadow.step", "graph_cut.max_evidence"),
    *("plane.max_exposure_pixels", "shadow.stride", "plane.blur", "agreement.blur", "plane.occlusion_blur"),
    *("border.blur", "graph_cut.smoothness", "hull.coarse_reach", "windows.side", "plane.channel_weights"),
    "plane.chance_offsets",
)
"""For which 0, or nothing, would be no setting."""


def settings(section: Any, prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field


FIELDS = {
    name.removeprefix("segmentation."): (name, field)
    for name, field in settings(ReconstructionConfig())
    if not name.startswith(("segmentation.sam.", "gaussian_meshing."))  # those need weights that do not ship
}
SAMPLE = [("low", name) for name in dict.fromkeys([*DIVISORS, *list(FIELDS)[::8]])]
SAMPLE += [("high", name) for name in list(FIELDS)[1::12] if name not in COSTLY]


def at_end(path: str, field: Field[Any], end: str) -> ReconstructionConfig:
    bound, default = field.metadata[end], field.default
    value = tuple(type(x)(bound) for x in default) if isinstance(default, tuple) else type(default)(bound)
    return changed(ReconstructionConfig(), path, value)


def changed(config: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    return replace(config, **{name: changed(getattr(config, name), rest, value) if rest else value})


def plane(**numbers: Any) -> ReconstructionConfig:
    return ReconstructionConfig(segmentation=SegmentationConfig(plane=PlaneMatchingConfig(**numbers)))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (ReconstructionConfig(hull=HullConfig(block=0)), r"config\.hull\.block 0 must be a whole number, 1 to 8"),
        (ReconstructionConfig(surface=SurfaceConfig(min_cosine=7.0)), r"config\.surface\.min_cosine 7\.0 must be"),
        (plane(chance_offsets=()), r"plane\.chance_offsets \(\) must be 1 to 16 whole numbers, each 1 to 1000"),
        (plane(chance_offsets=(2.5,)), r"plane\.chance_offsets \(2\.5,\) must be 1 to 16 whole numbers"),
        (
            plane(channel_weights=(-1, 1, 1)),
            r"plane\.channel_weights \(-1, 1, 1\) must be 3 numbers, each 0\.01 to 100",
        ),
        (plane(channel_weights=(1.0, 1.0)), r"plane\.channel_weights \(1\.0, 1\.0\) must be 3 numbers"),
        (plane(channel_weights=1.0), r"plane\.channel_weights 1\.0 must be 3 numbers"),
        (ReconstructionConfig(hull=None), r"config\.hull None must be a HullConfig"),
    ],
)
def test_settings_made_in_python_are_held_to_their_ranges(config: ReconstructionConfig, words: str) -> None:
    with pytest.raises(ReconstructionError, match=words) as caught:
        Options(config=config)
    assert caught.value.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize("name", DIVISORS)
def test_zero_is_out_of_range_where_it_means_nothing(name: str) -> None:
    assert FIELDS[name][1].metadata["low"] > 0


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("end", "name"), SAMPLE, ids=[f"{name}-{end}" for end, name in SAMPLE])
def test_a_setting_at_an_end_of_its_range_gives_a_result_or_an_error_of_the_package(end: str, name: str) -> None:
    path, field = FIELDS[name]
    section = path.partition(".")[0]
    options = Options(
        method="mvgamba" if section in OF_DEPTH else "hull",
        use_masks=section != "segmentation",
        prompts=Prompts(roi=axis_parallel_box(CENTER - 1.4 * RADIUS, CENTER + 1.4 * RADIUS)),
        refine=path.startswith("splats."),
        hull_resolution=32,
        cloud_points=1000,
        max_faces=500,
        texture=64 if section == "baking" else 0,
        config=at_end(path, field, end),
    )
    try:
        assert len(reconstruct(ball_views(), options).mesh.faces) > 0
    except ReconstructionError as error:
        assert error.message  # what to change
