"""What no view saw is made up by a generator, and what was seen wins: with an oracle in the generator's place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from generated_objects import PLACE, bottle, bracket, photograph
from oracle import Oracle, canonical, true_similarity
from scipy.spatial.transform import Rotation

from mvgamba_ros import registry
from mvgamba_ros.completion import around
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.alignment import align
from mvgamba_ros.generate.canonical_cameras import orbit_pose
from mvgamba_ros.generate.flat_ends import flat_ends
from mvgamba_ros.generate.generator import GeneratedViews, Subject
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.imagined import imagine
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.tsdf import Guess, integrate_depth_maps
from mvgamba_ros.types import F64, Box, Mesh, Prompts, View

TABLE = Prompts(support_height=0.0)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN["generators"], "oracle", "oracle:from_options")


def completed(mesh: Mesh, view: View, weights: str, made: Oracle, **options: object) -> Reconstruction:
    oracle.KNOWN[weights] = made
    chosen = Options(segmenter="masks", refine=False, generator="oracle", generator_weights=weights, prompts=TABLE)
    return reconstruct([view], replace(chosen, **options))  # type: ignore[arg-type]


def f_score(found: Reconstruction, truth: Mesh) -> float:
    """F@5mm."""
    return shape_errors(surface_points(found.mesh), surface_points(truth))["F@5mm"]


def test_a_true_generator_completes_one_depth_picture() -> None:
    mesh, view = bottle(), photograph(bottle())
    found = completed(mesh, view, "true", Oracle(canonical(mesh, view.T_world_camera)))
    alone = reconstruct([view], Options(segmenter="masks", refine=False, prompts=TABLE))
    assert f_score(found, mesh) >= 0.95 > f_score(alone, mesh) + 0.1
    about = found.settings["completion"]
    assert about["generator"] == "oracle" and about["provenance"] == {"weights": "the truth"}
    assert about["T_world_canonical"]["scale"] == pytest.approx(
        true_similarity(mesh, view.T_world_camera).scale, rel=0.02
    )
    assert about["guessed_share"] == pytest.approx(1.0 - found.quality.coverage, abs=1e-6) and found.quality.low
    assert any("made up by the generator oracle" in reason for reason in found.quality.reasons)
    assert found.mesh.seen is not None and (found.mesh.seen == 0).any() and (found.mesh.seen == 1).any()
    assert len(found.generated) == 4 and "completion" not in alone.settings and alone.generated == ()


def test_a_bent_generator_with_one_view_of_something_else_still_helps() -> None:
    mesh, view = bottle(), photograph(bottle())
    made = Oracle(canonical(mesh, view.T_world_camera), distortion=5.0, wrong=2)
    found = completed(mesh, view, "bent", made)
    alone = reconstruct([view], Options(segmenter="masks", refine=False, prompts=TABLE))
    assert f_score(found, mesh) > f_score(alone, mesh) + 0.05


def test_what_depth_shows_outweighs_a_generator_that_is_wrong_there() -> None:
    mesh, view = bracket(), photograph(bracket())
    made = canonical(mesh, view.T_world_camera)
    swollen = replace(made, vertices=made.vertices + 0.04 * np.sign(made.vertices) * [1, 0, 0])
    found = completed(mesh, view, "swollen", Oracle(swollen, as_mesh=True))
    guess = align(swollen, [view], 0.0, photo_azimuth=0.0).similarity.mesh(swollen)
    assert view.depth is not None
    rendered = Raycaster(guess).render(view.camera, view.T_world_camera)
    both = rendered.mask & (view.depth > 0.0)
    off = 1e3 * float(np.median(np.abs(rendered.depth - view.depth)[both]))
    assert off > 1.5 and found.quality.depth_residual_mm < 0.3 * off


def test_level_views_of_a_true_generator_complete_a_colour_picture_on_a_known_table() -> None:
    mesh, view = bottle(), photograph(bottle(), with_depth=False)
    found = completed(mesh, view, "level", Oracle(canonical(mesh, view.T_world_camera)))
    assert f_score(found, mesh) >= 0.93
    scale = true_similarity(mesh, view.T_world_camera).scale
    assert found.settings["completion"]["T_world_canonical"]["scale"] == pytest.approx(scale, rel=0.02)


def test_level_views_bound_an_object_below_and_above_and_one_wrong_view_is_outvoted() -> None:
    mesh = bottle()
    truth = canonical(mesh, photograph(mesh).T_world_camera)
    made = Oracle(truth)(Subject(prompt="a bottle"), 0, lambda stage, done: None, lambda: False)
    assert isinstance(made, GeneratedViews)
    hull = carve(made.views, None, 64)
    true = truth.vertices[:, 2].min(), truth.vertices[:, 2].max()
    assert hull.bounds()[0, 2] < true[0] - 0.03  # the silhouettes alone leave the bottom open
    assert flat_ends(made.views, hull) == pytest.approx(true, abs=0.008)
    shorter = replace(made.views[1], mask=np.roll(made.views[1].mask, -20, axis=0))  # type: ignore[arg-type]
    assert flat_ends([shorter, *made.views], hull) == pytest.approx(true, abs=0.008)
    assert flat_ends(made.views[:1], hull) is None


def test_what_a_generator_makes_up_stays_inside_the_region_of_interest() -> None:
    mesh, view = bottle(), photograph(bottle())
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    lower = axis_parallel_box(low - 0.02, np.array([*high[:2] + 0.02, 0.1]))
    turned = Box(lower.T_world_box @ rigid(Rotation.from_euler("z", 0.3).as_matrix(), np.zeros(3)), lower.size)
    hull = around(mesh, [view], Options(prompts=Prompts(roi=turned, support_height=0.0)))
    assert hull.bounds()[1, 2] < 0.1 + hull.voxel < around(mesh, [view], Options(prompts=TABLE)).bounds()[1, 2]
    away = axis_parallel_box(low + 1.0, high + 1.0)
    with pytest.raises(ReconstructionError, match="lies outside the region") as refused:
        around(mesh, [view], Options(prompts=Prompts(roi=away)))
    assert refused.value.code is ErrorCode.BAD_ROI


def test_what_is_wrong_with_a_generators_pictures_is_told_of_them_and_not_of_the_users_views() -> None:
    mesh, view = bracket(), photograph(bracket())
    truth = canonical(mesh, view.T_world_camera)

    class FromOneSide(Oracle):
        """Its cameras stand in one place."""

        def _view(self, index: int, T: F64, rng: np.random.Generator) -> View:
            return replace(super()._view(index, T, rng), T_world_camera=np.array(orbit_pose(0.0)))

    oracle.KNOWN["beside"] = FromOneSide(truth, size=64)
    oracle.KNOWN["speck"] = Oracle(replace(truth, vertices=1e-6 * truth.vertices), as_mesh=True)
    for weights in ("beside", "speck"):
        options = Options(method="hull", generator="oracle", generator_weights=weights)
        with pytest.raises(ReconstructionError, match=r"the generator oracle made.*try another seed") as refused:
            imagine(options, Subject(prompt="a bracket"), None, lambda stage, done: None, lambda: False)
        assert refused.value.code is ErrorCode.EMPTY_SURFACE


def test_a_mesh_of_a_generator_completes_a_colour_picture_on_a_known_table() -> None:
    mesh, view = bracket(), photograph(bracket(), with_depth=False)
    found = completed(mesh, view, "mesh", Oracle(canonical(mesh, view.T_world_camera), as_mesh=True))
    assert f_score(found, mesh) > 0.95
    assert found.mesh.vertices[:, 2].min() == pytest.approx(0.0, abs=2e-3)
    assert found.box.T_world_box[:2, 3] == pytest.approx(PLACE[:2], abs=0.005)


@pytest.mark.parametrize("when, calls", [("off", 0), ("few", 0), ("always", 1)])
def test_a_generator_is_called_of_few_views_only_unless_told_otherwise(when: str, calls: int) -> None:
    mesh = bracket()
    views = [photograph(mesh, azimuth) for azimuth in (30.0, 150.0, 270.0)]
    made = oracle.KNOWN["counted"] = Oracle(canonical(mesh, views[0].T_world_camera), as_mesh=True)
    options = Options(
        method="hull", segmenter="masks", generator="oracle", generator_weights="counted", complete=when, prompts=TABLE
    )
    found = reconstruct(views, options)
    assert len(made.calls) == calls and bool(found.generated) == bool(calls)


def test_a_generator_without_weights_is_refused_before_any_work() -> None:
    stages: set[str] = set()
    options = Options(segmenter="masks", generator="triposr", prompts=TABLE)
    with pytest.raises(ReconstructionError, match=r"triposr: it needs weights.* set generator_weights") as refused:
        reconstruct([photograph(bracket())], options, lambda stage, fraction: stages.add(stage))
    assert refused.value.code is ErrorCode.BAD_CHECKPOINT and stages == {"check"}


def test_a_shape_of_words_has_the_longest_side_that_was_told_and_is_low() -> None:
    mesh, view = bracket(), photograph(bracket())
    oracle.KNOWN["words"] = Oracle(canonical(mesh, view.T_world_camera), as_mesh=True)
    options = Options(method="hull", generator="oracle", generator_weights="words")
    found = imagine(options, Subject(prompt="a bracket"), 0.12, lambda stage, done: None, lambda: False)
    assert found.box.size.max() == pytest.approx(0.12) and found.quality.low
    assert np.ptp(found.mesh.vertices, axis=0).max() < 0.125 and len(found.masks) == len(found.generated)
    with pytest.raises(ReconstructionError, match="longest side -1") as refused:
        imagine(options, Subject(prompt="a bracket"), -1.0, lambda stage, done: None, lambda: False)
    assert refused.value.code is ErrorCode.BAD_OPTION


def test_a_guess_stands_where_no_map_observes() -> None:
    grid = np.full((9, 9, 9), 0.05, np.float32)
    ball = 0.03 - np.linalg.norm(0.01 * (np.indices((9, 9, 9)) - 4), axis=0).astype(np.float32)
    hull = DistanceField(grid, np.zeros(3), 0.01)
    found = integrate_depth_maps([], hull, 0.05, guess=Guess(ball, 0.1))
    assert np.abs(found.values - ball)[np.abs(ball) < 0.02].max() < 1e-6
