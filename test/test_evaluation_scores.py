"""Scores: right on cases whose answer is known."""

import json
import pickle
import shutil
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
import pytest
import rendered
import torch
import trimesh
from skimage.metrics import structural_similarity

from mvgamba_ros import worker_processes
from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.evaluation import captures
from mvgamba_ros.evaluation.captures import find_captures, mean_scores
from mvgamba_ros.evaluation.novel_view import cut_target, picture_scores, show_mesh
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.metrics.image import lpips, lpips_network, mask_iou, mean_mask_iou, psnr, ssim
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import Camera, Mesh, View

REFUSED = ReconstructionError(ErrorCode.EMPTY_SURFACE, "not reconstructed here")


def sphere_mesh(radius: float = 0.05) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(np.asarray(ball.vertices), ball.faces.astype(np.int32), np.full((len(ball.vertices), 3), 90, np.uint8))


def test_the_iou_of_masks_is_the_share_of_their_union_that_both_hold_and_0_for_empty_ones():
    found, truth, empty = np.zeros((3, 4, 6), bool)
    found[:, :4], truth[:, 2:] = True, True
    assert mask_iou(found, truth) == pytest.approx(1 / 3)
    assert (mask_iou(truth, truth), mask_iou(empty, empty)) == (1.0, 0.0)
    batch = [torch.from_numpy(np.stack(masks)) for masks in ((found, truth, empty), (truth, truth, empty))]
    assert mean_mask_iou(*batch) == pytest.approx((1 / 3 + 1.0 + 0.0) / 3)


def test_psnr_of_a_tenth_off_everywhere_is_20_db():
    black = np.zeros((8, 8, 3), np.float32)
    assert psnr(black + np.float32(0.1), black) == pytest.approx(20.0, abs=1e-3)
    assert psnr(black, black) == 100.0


def test_ssim_is_one_for_the_same_picture_and_falls_with_noise():
    rng = np.random.default_rng(0)
    picture = rng.random((48, 48, 3), np.float32)
    assert ssim(picture, picture) == pytest.approx(1.0)
    noise = rng.normal(size=picture.shape).astype(np.float32)
    assert 1 > ssim((picture + 0.05 * noise).clip(0, 1), picture) > ssim((picture + 0.3 * noise).clip(0, 1), picture)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (40, 23), (200, 350)])
def test_ssim_is_that_of_scikit_image(height: int, width: int):
    """On noise, and on smooth pictures beside white, as objects are."""
    rng = np.random.default_rng(height)
    for sigma in (0.0, 3.0):
        truth = rng.random((height, width, 3), np.float32)
        truth = cv2.GaussianBlur(truth, (0, 0), sigma) if sigma else truth
        found = (truth + 0.05 * rng.standard_normal(truth.shape, np.float32)).clip(0, 1)
        truth[: height // 3] = found[: height // 3] = 1.0
        expected = structural_similarity(
            truth, found, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim(found, truth) == pytest.approx(float(expected), abs=1e-6)


def test_pictures_smaller_than_the_window_have_no_ssim():
    small = np.zeros((10, 30, 3), np.float32)
    with pytest.raises(ValueError, match="at least 11 pixels a side"):
        ssim(small, small)


def test_lpips_is_nothing_for_the_same_picture_and_grows_with_blur(lpips_here):
    picture = np.random.default_rng(0).random((64, 64, 3), np.float32)
    assert lpips(picture, picture) == 0
    assert (
        0
        < lpips(cv2.GaussianBlur(picture, (0, 0), 0.5), picture)
        < lpips(cv2.GaussianBlur(picture, (0, 0), 2), picture)
    )


def test_lpips_that_is_not_here_says_how_to_get_it(no_lpips):
    with pytest.raises(ReconstructionError, match=r"extra `lpips`|lpips\.LPIPS") as error:
        lpips_network()
    assert error.value.code == ErrorCode.BAD_OPTION


def test_points_moved_by_4_mm_are_4_mm_off_and_within_5():
    plane = np.stack([*(g.ravel() for g in np.meshgrid(np.arange(40), np.arange(40))), np.zeros(1600)], 1) * 0.01
    errors = shape_errors(plane + np.array([0, 0, 0.004]), plane)
    assert errors["chamfer_mm"] == pytest.approx(4.0)
    assert (errors["F@3mm"], errors["F@5mm"]) == (0.0, 1.0)


def test_half_a_surface_is_accurate_but_not_complete():
    points = surface_points(sphere_mesh(), 4000)
    errors = shape_errors(points[points[:, 2] > 0], points)
    assert errors["accuracy_mm"] == 0.0
    assert errors["completeness_mm"] > 5
    assert errors["F@3mm"] == pytest.approx(2 / 3, abs=0.03)


def test_surface_points_lie_on_the_surface_and_are_the_same_each_time():
    points = surface_points(sphere_mesh(), 500)
    assert np.abs(np.linalg.norm(points, axis=1) - 0.05).max() < 1e-4
    assert (points == surface_points(sphere_mesh(), 500)).all()


def test_a_mesh_shown_in_its_own_photo_matches_it():
    camera = Camera(np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]]), 320, 240)
    T = look_at(np.array([0.3, 0.1, 0.2]), np.zeros(3))
    caster = Raycaster(sphere_mesh())
    seen = caster.render(camera, T)
    target = cut_target(View(seen.color, camera, T, mask=seen.mask))
    scores = picture_scores(*show_mesh(caster, target), target)
    assert scores["iou"] > 0.97
    assert scores["psnr_db"] > 25
    small = picture_scores(*show_mesh(Raycaster(sphere_mesh(0.04)), target), target)
    assert small["iou"] == pytest.approx(0.64, abs=0.03)


@pytest.mark.parametrize("eye", [[0.3, 0.1, 0.2], [0.06, 0.0, 0.0], [0.01, 0.0, 0.0]])  # far, at the surface, inside
def test_a_picture_cut_from_a_larger_one_is_the_smaller_cameras_picture(eye):
    caster, T = Raycaster(sphere_mesh()), look_at(np.array(eye), np.array([0.0, 0.05, 0.0]))
    large = caster.render(Camera(np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]]), 320, 240), T)
    small = caster.render(Camera(np.array([[300.0, 0, 20], [0, 300, 50], [0, 0, 1]]), 120, 90), T)
    cut = np.s_[70:160, 140:260]
    assert large.mask[cut].any()
    np.testing.assert_allclose(small.depth, large.depth[cut], atol=1e-6)
    assert (small.color == large.color[cut]).all() and (small.mask == large.mask[cut]).all()


def test_means_are_over_the_captures_that_have_the_score():
    assert mean_scores([{"a": 1.0, "b": 4.0}, {"a": 3.0}]) == {"a": 2.0, "b": 4.0}


def test_a_folder_without_left_out_views_is_refused(tmp_path: Path):
    with pytest.raises(ReconstructionError) as error:
        find_captures(tmp_path)
    assert error.value.code == ErrorCode.BAD_CAPTURE


@pytest.mark.slow
def test_eval_scores_the_hull_of_a_capture_as_score_py_does(captures: Path, tmp_path: Path):
    """And one capture that can't be done, having no masks, costs the other nothing but the exit status."""
    for name in ("ketchup", "temple"):
        shutil.copytree(captures / name, tmp_path / "set" / name)
    out = tmp_path / "out"
    assert main(["eval", str(tmp_path / "set"), "-o", str(out), "--masks", "--method", "hull", "--no-depth"]) == 1
    scores = json.loads((out / "scores.json").read_text())
    assert "BAD_MASK" in scores["failed"]["temple 4"]
    assert scores["roi"] == {"ketchup": None, "temple": None} and "roi" not in scores["options"]["prompts"]
    ketchup = scores["captures"]["4"]["ketchup"]
    # the tool's own hull, from the true masks: 1.68 mm, 0.95
    assert ketchup["chamfer_mm"] == pytest.approx(1.68, abs=0.25)
    assert ketchup["F@5mm"] == pytest.approx(0.95, abs=0.03)
    assert ketchup["psnr_db"] > 15
    assert scores["mean"]["4"] == pytest.approx(ketchup)
    assert (out / "ketchup_4.png").stat().st_size > 10_000


def test_eval_writes_the_region_that_each_capture_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Around the scanned truth, 40 % larger; no region is claimed for the others."""
    for name in ("scanned", "plain"):
        folder = tmp_path / "set" / name
        write_capture(folder, rendered.views(4))
        write_capture(folder, rendered.views(2), "transforms_test.json")
    write_mesh(tmp_path / "set" / "scanned" / "truth.ply", sphere_mesh())
    monkeypatch.setattr(captures, "evaluate", lambda case, count: (_ for _ in ()).throw(REFUSED))
    assert main(["eval", str(tmp_path / "set"), "-o", str(tmp_path / "out"), "--method", "hull"]) == 1
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["roi"]["plain"] is None and "roi" not in scores["options"]["prompts"]
    assert scores["roi"]["scanned"]["size_m"] == pytest.approx([0.14] * 3, abs=1e-3)


def test_eval_says_whether_depth_was_used_and_why_lpips_is_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_lpips: None
):
    write_capture(tmp_path / "set", rendered.views(4))
    write_capture(tmp_path / "set", rendered.views(2), "transforms_test.json")
    command = ["eval", str(tmp_path / "set"), "--masks", "--method", "hull", "--hull-resolution", "16", "-o"]
    for flags, said, used in (
        ([], "depth: used of 6 of 6 input views", {"2": 2, "4": 4}),
        (["--no-depth"], "depth: left out", {"2": 0, "4": 0}),
    ):
        assert main([*command, str(tmp_path / "out"), "--counts", "2", "4", *flags]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert said in printed
        (reason,) = [line for line in printed if line.startswith("-  LPIPS: ")]
        assert 'python -c "import lpips' in reason or "extra `lpips`" in reason
        scores = json.loads((tmp_path / "out" / "scores.json").read_text())
        assert {count: rows["set"]["depth_views"] for count, rows in scores["captures"].items()} == used
        assert scores["depth"] is (not flags) and reason == f"-  LPIPS: {scores['not_measured']['lpips']}"


def test_eval_on_several_workers_gives_the_same_scores_in_the_same_order(tmp_path: Path, monkeypatch):
    for name in ("one", "two"):
        write_capture(tmp_path / "set" / name, rendered.views(4))
        write_capture(tmp_path / "set" / name, rendered.views(2), "transforms_test.json")
    command = ["eval", str(tmp_path / "set"), "--masks", "--method", "hull", "--hull-resolution", "16", "-o"]
    assert main([*command, str(tmp_path / "alone")]) == 0

    def last_first(work, jobs, workers, started, prepare, given):
        assert workers == 2
        for index in reversed(range(len(jobs))):
            yield index, pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(jobs[index])))))

    monkeypatch.setattr(worker_processes, "outcomes", last_first)
    assert main([*command, str(tmp_path / "both"), "--workers", "2"]) == 0
    alone, both = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("alone", "both"))
    for scores in (alone, both):
        assert list(scores["captures"]["4"]) == ["one", "two"]
        for row in (*scores["captures"]["4"].values(), *scores["mean"].values()):
            row.pop("seconds")
    assert alone == both and (tmp_path / "both" / "two_4.png").exists()

    def dead(*_):
        yield from ((index, BrokenProcessPool("gone")) for index in range(2))

    monkeypatch.setattr(worker_processes, "outcomes", dead)
    assert main([*command, str(tmp_path / "dead"), "--workers", "2"]) == 1
    assert "its process died" in json.loads((tmp_path / "dead" / "scores.json").read_text())["failed"]["one 4"]


def test_eval_reads_captures_by_the_reader_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_capture(tmp_path / "plain", rendered.views(2))
    write_capture(tmp_path / "plain", rendered.views(2), "transforms_test.json")
    assert main(["eval", str(tmp_path), "-o", str(tmp_path / "out"), "--method", "hull", "--reader", "colmap"]) == 1
    assert "is not a COLMAP workspace" in capsys.readouterr().err
