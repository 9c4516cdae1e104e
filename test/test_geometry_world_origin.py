# mypy: no-check-untyped-defs
"""Far from the world's origin the result is that near it, moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered
import torch
import trimesh

from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.world_origin import far_origin, move_prompts, move_result, move_views, near_origin
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.results import write_results
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.preview import preview
from mvgamba_ros.types import Gaussians, Prompts

VIEWS = rendered.views(4)
TOLD = Prompts(roi=axis_parallel_box(rendered.CENTER - 0.08, rendered.CENTER + 0.08), support_height=0.0)
SMALL = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=2000, max_faces=1000, prompts=TOLD)
UTM = np.array([450_000.0, 4_649_776.0, 350.0])
ECEF = np.array([4_200_000.0, 170_000.0, 4_780_000.0])


@pytest.fixture(scope="module")
def near():
    return reconstruct(VIEWS, SMALL)


def at(by):
    return reconstruct(move_views(VIEWS, by), replace(SMALL, prompts=move_prompts(TOLD, by)))


@pytest.mark.parametrize("by", [UTM, ECEF], ids=["UTM", "ECEF"])
def test_a_result_far_away_is_the_one_near_the_origin(near, by):
    far = at(by)
    np.testing.assert_allclose(far.box.T_world_box[:3, 3] - by, near.box.T_world_box[:3, 3], atol=2e-4)
    np.testing.assert_allclose(far.box.size, near.box.size, atol=4e-4)
    np.testing.assert_allclose(far.mesh.vertices.mean(0) - by, near.mesh.vertices.mean(0), atol=5e-4)
    np.testing.assert_allclose(far.cloud.points.mean(0) - by, near.cloud.points.mean(0), atol=5e-4)
    assert far.support_height == pytest.approx(by[2], abs=1e-9)
    assert far.quality.silhouette_iou == pytest.approx(near.quality.silhouette_iou, abs=2e-3)
    assert far.settings["options"]["prompts"]["support_height_m"] == by[2]
    assert f"{np.linalg.norm(by) / 1e3:.4g} km from the world's origin" in far.notes[-1]


def test_near_the_origin_nothing_is_moved(near):
    assert far_origin(VIEWS) is None and far_origin([]) is None
    assert far_origin(move_views(VIEWS, np.array([99.0, 0.0, 0.0]))) is None
    np.testing.assert_array_equal(far_origin(move_views(VIEWS, np.array([150.0, 0.2, 0.0]))), [150.0, 0.0, 0.0])
    assert far_origin(move_views(VIEWS, UTM), ViewsConfig(max_origin_distance=1e9)) is None
    spoilt = replace(VIEWS[0], T_world_camera=np.full((4, 4), np.nan))
    assert far_origin([spoilt, *VIEWS[1:]]) is None
    assert not any("origin" in note for note in near.notes)


def test_files_keep_what_float32_would_round_away(near, tmp_path):
    far = at(UTM)
    write_results(tmp_path, far, preview(move_views(VIEWS, UTM), far))
    np.testing.assert_array_equal(read_mesh(tmp_path / "mesh.ply").vertices, far.mesh.vertices)
    np.testing.assert_array_equal(read_mesh(tmp_path / "mesh.ply").colors, far.mesh.colors)
    np.testing.assert_array_equal(read_mesh(tmp_path / "mesh.ply").faces, far.mesh.faces)
    np.testing.assert_array_equal(trimesh.load(tmp_path / "cloud.ply").vertices, far.cloud.points)
    write_results(tmp_path, near)
    assert b"property float x\n" in (tmp_path / "mesh.ply").read_bytes()[:400]


def test_gaussians_far_away_keep_their_places():
    one = torch.ones(1)
    ball = Gaussians(
        torch.tensor([[0.001, 0.0, 0.0]]), torch.eye(4)[:1], 0.01 * torch.ones(1, 3), one, one.expand(1, 3)
    )
    result = replace(reconstruct(VIEWS, SMALL), gaussians=ball)
    far = move_result(result, UTM).gaussians
    np.testing.assert_allclose(far.means.numpy() - UTM, ball.means.numpy(), atol=1e-8)
    back = move_result(replace(result, gaussians=far), -UTM).gaussians
    np.testing.assert_allclose(back.means.numpy(), ball.means.numpy(), atol=1e-8)
    assert (ball.means.dtype, far.means.dtype, back.means.dtype) == (torch.float32, torch.float64, torch.float32)


def test_where_a_generated_shape_was_laid_is_told_in_the_frame_of_the_poses(near):
    laid = {"scale": 0.1, "R_wxyz": [1.0, 0.0, 0.0, 0.0], "t_m": [0.5, 0.1, 0.05]}
    completed = replace(near, settings={**near.settings, "completion": {"seed": 1, "T_world_canonical": laid}})
    far = move_result(completed, UTM).settings["completion"]
    np.testing.assert_allclose(far["T_world_canonical"]["t_m"], UTM + laid["t_m"])
    assert far["seed"] == 1 and far["T_world_canonical"]["scale"] == 0.1 and laid["t_m"] == [0.5, 0.1, 0.05]


def test_errors_say_around_which_place_their_coordinates_are():
    def fail(code):
        def work(views, prompts):
            assert np.linalg.norm(views[0].T_world_camera[:3, 3]) < 2.0 and prompts.support_height == 0.0
            raise ReconstructionError(code, "the middle is at (1, 2, 3) m")

        with pytest.raises(ReconstructionError) as caught:
            near_origin(work, move_views(VIEWS, UTM), move_prompts(TOLD, UTM), ViewsConfig())
        assert caught.value.code is code
        return caught.value.message

    assert "relative to (450000, 4649776, 350) m" in fail(ErrorCode.BAD_ROI)
    assert fail(ErrorCode.CANCELLED) == "the middle is at (1, 2, 3) m"
