# mypy: no-check-untyped-defs
"""The whole job on a known object: right shape, right place, honest about quality, cancellable, clear when it fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered
from scipy.spatial import cKDTree
from shapes import FOUR_SIDES, camera, cuboid, see

from mvgamba_ros import __version__, observation
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box, oriented_box
from mvgamba_ros.geometry.se3 import quat_to_matrix
from mvgamba_ros.methods.hull_surface import HullMethod
from mvgamba_ros.pipeline import STAGES, Options, reconstruct
from mvgamba_ros.preview import preview
from mvgamba_ros.reconstruction import Quality
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.splats.from_mesh import gaussians_on_mesh
from mvgamba_ros.surface.sample import sample_cloud
from mvgamba_ros.types import Prompts

SMALL = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=4000, max_faces=2000)


@pytest.fixture(scope="module")
def views():
    return rendered.views(6)


@pytest.fixture(scope="module")
def result(views):
    return reconstruct(views, SMALL)


def truth_cloud(count=6000):
    d = np.random.default_rng(0).normal(size=(count, 3))
    return rendered.CENTER + d / np.linalg.norm(d, axis=1, keepdims=True) * rendered.SIZE / 2


def test_a_rendered_ellipsoid_comes_back_within_three_millimetres(result):
    truth = truth_cloud()
    to_truth = cKDTree(truth).query(result.cloud.points)[0]
    to_result = cKDTree(result.cloud.points).query(truth)[0]
    assert (to_truth.mean() + to_result.mean()) / 2 < 3e-3  # six cones cannot do better, twice this is a fault
    assert to_result.mean() < 2e-3


def test_the_box_is_where_and_as_large_as_the_object(result):
    np.testing.assert_allclose(result.box.T_world_box[:3, 3], rendered.CENTER, atol=5e-3)
    np.testing.assert_allclose(np.sort(result.box.size), np.sort(rendered.SIZE), atol=1e-2)


def test_mesh_and_cloud_are_closed_bounded_and_outward(result):
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.Trimesh(result.mesh.vertices, result.mesh.faces, process=False)
    assert mesh.is_watertight and mesh.volume > 0
    assert len(mesh.faces) <= 2000 and len(result.cloud.points) == 4000
    np.testing.assert_allclose(np.linalg.norm(result.cloud.normals, axis=1), 1.0, atol=1e-6)
    outward = (result.cloud.normals * (result.cloud.points - rendered.CENTER)).sum(axis=1)
    assert (outward > 0).mean() > 0.97


def test_the_support_plane_is_found_and_said(result):
    assert result.support_height == pytest.approx(0.0, abs=2e-3)
    assert any("estimated" in note for note in result.notes)
    given = replace(SMALL, prompts=Prompts(support_height=0.02))
    assert reconstruct(rendered.views(4), given).mesh.vertices[:, 2].min() == pytest.approx(0.02, abs=1e-3)


def test_a_good_result_is_trusted_and_that_of_the_hull_alone_expects_more_error(views, result):
    good = reconstruct(views, replace(SMALL, method="mvgamba", refine=False))
    assert result.quality.expected_error_mm > 1.3 * good.quality.expected_error_mm
    for each in (good, result):
        assert not each.quality.low and each.quality.reasons == ()
        assert each.quality.silhouette_iou > 0.95
        assert each.quality.coverage > 0.7
        assert set(each.seconds) == set(STAGES) and all(s >= 0 for s in each.seconds.values())
    assert result.method == "hull"


def test_the_settings_name_the_version_the_weights_and_whose_masks(views, result, monkeypatch):
    assert result.settings["version"] == __version__
    assert result.settings["masks"] == ["given"] * 6 and result.settings["depth_views"] == 6
    assert result.settings["provenance"] == {"method": {}, "segmenter": {}}

    def segment(views, prompts, progress, cancelled):
        return Silhouettes([view.mask if view.mask is not None else found for view in views])

    segment.provenance = {"device": "cpu"}
    monkeypatch.setattr(observation, "load_segmenter", lambda options: segment)
    monkeypatch.setattr(HullMethod, "provenance", {"checkpoint": "hull.pth"}, raising=False)
    found = views[1].mask
    mixed = [replace(views[0], depth=None), replace(views[1], mask=None), *views[2:]]
    settings = reconstruct(mixed, replace(SMALL, segmenter="classical", use_masks=True)).settings
    assert settings["masks"] == ["given", "found", *["given"] * 4] and settings["depth_views"] == 5
    assert settings["provenance"] == {"method": {"checkpoint": "hull.pth"}, "segmenter": {"device": "cpu"}}
    settings = reconstruct(views, replace(SMALL, segmenter="classical")).settings
    assert settings["masks"] == ["found"] * 6


def test_colours_come_from_the_views_that_see_the_point():
    """A cuboid whose faces differ: each cloud point takes its own face's colour, none bleeds through."""
    mesh = cuboid([-0.05, -0.05, -0.05], [0.05, 0.05, 0.05])
    views = []
    for view, color in zip(
        see(mesh, FOUR_SIDES, [0, 0, 0], camera(focal=400.0)),
        [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)],
        strict=True,
    ):
        views.append(
            replace(view, image=np.where(view.mask[..., None], np.array(color, np.uint8), 255).astype(np.uint8))
        )
    region = axis_parallel_box(np.full(3, -0.06), np.full(3, 0.06))
    cloud = reconstruct(views, replace(SMALL, prompts=Prompts(roi=region, support_height=-0.05))).cloud
    front = (cloud.normals[:, 0] > 0.95) & (np.abs(cloud.points[:, 2]) < 0.03) & (np.abs(cloud.points[:, 1]) < 0.03)
    back = (cloud.normals[:, 0] < -0.95) & (np.abs(cloud.points[:, 2]) < 0.03) & (np.abs(cloud.points[:, 1]) < 0.03)
    assert front.sum() > 20 and back.sum() > 20
    np.testing.assert_allclose(cloud.colors[front].mean(axis=0), [250, 0, 0], atol=4)
    np.testing.assert_allclose(cloud.colors[back].mean(axis=0), [0, 0, 250], atol=4)


def test_progress_never_goes_back_and_names_every_stage(views):
    calls: list[tuple[str, float]] = []
    reconstruct(views, SMALL, progress=lambda stage, fraction: calls.append((stage, fraction)))
    fractions = [fraction for _, fraction in calls]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == pytest.approx(1.0)
    assert list(dict.fromkeys(stage for stage, _ in calls)) == list(STAGES)
    assert sum(STAGES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("stage", STAGES)
def test_a_cancel_in_any_stage_ends_the_work_there(views, stage):
    begun: list[str] = []
    with pytest.raises(ReconstructionError) as error:
        reconstruct(views, SMALL, lambda name, _: begun.append(name), lambda: stage in begun)
    assert error.value.code == ErrorCode.CANCELLED
    assert begun[-1] == stage


def test_one_view_answers_and_says_that_it_is_a_guess(views):
    one = reconstruct(views[:1], replace(SMALL, prompts=Prompts(support_height=0.0)))
    assert one.quality.low and "1 view" in one.quality.reasons[0]
    assert any("as deep as it is wide" in note for note in one.notes)
    assert np.linalg.norm(one.box.T_world_box[:3, 3] - rendered.CENTER) < 0.04


def test_two_views_are_low_quality_with_the_reason(views):
    two = reconstruct(views[:2], SMALL)
    assert two.quality.low and "2 view" in two.quality.reasons[0]


def test_a_wrong_silhouette_is_left_out_by_name_or_shows_in_the_quality(views):
    worse = list(views)
    worse[2] = replace(views[2], mask=np.roll(views[2].mask, 25, axis=1), name="shifted")
    result = reconstruct(worse, SMALL)
    assert result.poses.left_out == (2,) and any("shifted" in note for note in result.notes)
    quality: Quality = reconstruct(worse, replace(SMALL, refine_poses="off")).quality
    assert quality.low and any("IoU" in reason for reason in quality.reasons)


def test_the_convex_hull_is_convex_and_no_smaller(views, result):
    trimesh = pytest.importorskip("trimesh")
    hull = reconstruct(views, replace(SMALL, convex_hull=True)).mesh
    mesh = trimesh.Trimesh(hull.vertices, hull.faces, process=False)
    assert mesh.is_convex and mesh.is_watertight and mesh.volume > 0
    assert mesh.volume >= trimesh.Trimesh(result.mesh.vertices, result.mesh.faces, process=False).volume


def test_seen_only_leaves_out_what_no_view_saw_and_judges_the_whole(views, result):
    trimesh = pytest.importorskip("trimesh")
    part = reconstruct(views, replace(SMALL, seen_only=True))
    mesh = trimesh.Trimesh(part.mesh.vertices, part.mesh.faces, process=False)
    assert trimesh.Trimesh(result.mesh.vertices, result.mesh.faces, process=False).is_watertight
    assert not mesh.is_watertight and 0 < len(mesh.faces) < len(result.mesh.faces)
    assert (part.mesh.seen > 0).all() and (result.mesh.seen == 0).any()
    assert (part.cloud.seen > 0).all() and len(part.cloud.points) == (result.cloud.seen > 0).sum()
    assert not ((mesh.triangles_center[:, 2] < 0.002) & (mesh.face_normals[:, 2] < -0.9)).any()  # the underside
    assert repr(part.quality) == repr(result.quality)  # NaN is not equal to itself


def test_seen_only_and_the_convex_hull_exclude_each_other():
    with pytest.raises(ReconstructionError, match=r"seen_only True .* convex_hull True .* set one of them") as error:
        Options(seen_only=True, convex_hull=True)
    assert error.value.code == ErrorCode.BAD_OPTION


def test_masks_that_views_bring_are_kept_where_asked(views):
    dented = views[0].mask.copy()
    dented[: np.nonzero(dented)[0].min() + 3] = False
    own = [replace(views[0], mask=dented), *views[1:]]
    kept = reconstruct(own, replace(SMALL, segmenter="classical", use_masks=True))
    np.testing.assert_array_equal(kept.masks[0], dented)


def test_the_classical_segmenter_finds_the_object_in_the_pipeline(views):
    blind = [replace(view, mask=None) for view in views[:4]]
    roi = axis_parallel_box(rendered.CENTER - 0.7 * rendered.SIZE, rendered.CENTER + 0.7 * rendered.SIZE)
    found = reconstruct(blind, replace(SMALL, segmenter="classical", prompts=Prompts(roi=roi)))
    for mask, view in zip(found.masks, views, strict=False):
        assert (mask & view.mask).sum() / (mask | view.mask).sum() > 0.85
    np.testing.assert_allclose(found.box.T_world_box[:3, 3], rendered.CENTER, atol=8e-3)


def test_the_box_of_a_turned_cuboid_is_the_cuboid():
    mesh = cuboid([-0.1, -0.03, 0.0], [0.1, 0.03, 0.05])
    R = quat_to_matrix(np.array([np.cos(0.25), 0.0, 0.0, np.sin(0.25)]))
    box = oriented_box(replace(mesh, vertices=mesh.vertices @ R.T + [0.5, -2.0, 0.3]))
    np.testing.assert_allclose(box.size, [0.2, 0.06, 0.05], atol=1e-5)
    np.testing.assert_allclose(box.T_world_box[:3, :3], R, atol=1e-4)
    np.testing.assert_allclose(box.T_world_box[:3, 3], [0.5, -2.0, 0.325], atol=1e-5)


def test_a_cloud_covers_a_mesh_evenly():
    mesh = cuboid([0, 0, 0], [0.1, 0.2, 0.3])
    cloud = sample_cloud(mesh, 2200)
    top = np.isclose(cloud.points[:, 2], 0.3)
    assert top.sum() == pytest.approx(200, abs=4)  # 0.02 of 0.22 square metres
    np.testing.assert_allclose(cloud.normals[top], [[0, 0, 1]] * top.sum(), atol=1e-9)
    assert (cloud.colors == mesh.colors[0]).all()
    np.testing.assert_array_equal(sample_cloud(mesh, 2200).points, cloud.points)


def test_the_preview_shows_the_outlines_and_the_mesh(views, result):
    picture = preview(views, result)
    assert picture.shape[1] == 1280 and picture.dtype == np.uint8
    outline = (np.abs(picture[:240, :320].astype(int) - [255, 40, 160]).max(axis=2) < 60).sum()
    assert outline > 50
    below = picture[-500:-40]
    red = (below[..., 0] > below[..., 1].astype(int) + 40).sum()
    assert red > 5000  # the object's own colour, large


def test_the_preview_shows_the_gaussians_from_where_it_shows_the_mesh(views, result):
    with_gaussians = replace(result, gaussians=gaussians_on_mesh(result.mesh, views))
    plain, picture = preview(views, result), preview(views, with_gaussians)
    assert picture.shape == (plain.shape[0] + 480, 1280, 3)
    below = 256 + 40 + 36  # what was seen and how far it may be off, what its colours mean, the facts
    mesh, splats = picture[-below - 960 : -below - 480], picture[-below - 480 : -below]
    np.testing.assert_array_equal(mesh, plain[-below - 480 : -below])
    covered = [(x[40:] < 230).any(axis=2) for x in (mesh, splats)]  # below the names
    assert (covered[0] & covered[1]).sum() > 0.95 * (covered[0] | covered[1]).sum()
