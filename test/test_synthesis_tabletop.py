"""Tabletop scenes: the same for the same seed, labels that agree with depth and bounds, shards that keep them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.synthesis.everyday_objects import EVERYDAY
from mvgamba_ros.synthesis.tabletop import TabletopScene, tabletop_scene
from mvgamba_ros.synthesis.tabletop_layout import lay_out, surface_points
from mvgamba_ros.synthesis.tabletop_rig import TabletopRecipe, TabletopRig
from mvgamba_ros.synthesis.tabletop_shards import DEPTH_STEP, TabletopScenes, missing_tabletop, write_tabletop
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh, assemble
from mvgamba_ros.synthesis.thin_objects import THIN

SMALL = TabletopRig(views=2, width=96, height=72, exact=1.0)
PLAIN = replace(
    SMALL,
    thin=0.0, everyday=0.0, twin=0.0, white=0.0, dark=0.0, single=0.0, metal=0.0, glossy=0.0, transparent=0.0,
    translucent=0.0, table_colour=0.0, pale=0.0, black=0.0, glossy_table=0.0, mat=0.0, board=0.0, tray=0.0, bin=0.0,
    edge=0.0, pool=0.0, shadow_edge=0.0, stripes=0.0, hard_shadow=0.0, arm=0.0, hovering=0.0, cut_off=0.0,
    leaning=0.0, stacked=0.0,
)  # fmt: skip


def surface(scene: TabletopScene, view: int) -> np.ndarray:
    """World points (H, W, 3) of a view's depth."""
    seen = scene.views[view]
    assert seen.depth is not None
    return transform(seen.T_world_camera, pixel_rays(seen.camera) * seen.depth[..., None].astype(float))


def test_the_same_seed_gives_the_same_scene_and_another_another() -> None:
    first, again, other = tabletop_scene(3, 1, SMALL), tabletop_scene(3, 1, SMALL), tabletop_scene(3, 2, SMALL)
    assert first.jpegs == again.jpegs and first.kinds == again.kinds
    assert np.array_equal(first.bounds, again.bounds) and np.array_equal(first.instances, again.instances)
    assert first.jpegs != other.jpegs


def test_the_depth_of_an_objects_pixels_lies_in_its_bounds_and_the_tables_below_them() -> None:
    rig = replace(PLAIN, counts=(0.0, 0.0, 0.0, 1.0), thin=0.3, stacked=0.3, leaning=0.3)
    for index in range(4):
        scene = tabletop_scene(4, index, rig)
        assert scene.bounds[:, 0, 2].min() == pytest.approx(scene.support_height, abs=1e-6)
        corners = [[shape.vertices.min(axis=0), shape.vertices.max(axis=0)] for shape in scene.shapes]
        np.testing.assert_allclose(corners, scene.bounds)
        for view, label in enumerate(scene.instances):
            points = surface(scene, view)
            for number, (low, high) in enumerate(scene.bounds, 1):
                own = points[label == number]
                assert (own > low - 1e-4).all() and (own < high + 1e-4).all()
                corners = np.stack(np.meshgrid(*scene.bounds[number - 1].T), -1).reshape(-1, 3)
                pixels, _ = project(scene.views[view].camera, scene.views[view].T_world_camera, corners)
                rows, columns = np.nonzero(label == number)
                assert not len(rows) or (columns.min() >= pixels[:, 0].min() - 1 and rows.max() <= pixels[:, 1].max())
            middle = scene.bounds[0].mean(0)
            near = (label == 0) & (np.linalg.norm(points - middle, axis=-1) < 0.3) & (scene.views[view].depth > 0)
            assert np.abs(points[near][:, 2] - scene.support_height).max() < 1e-4


def gap(first: TexturedMesh, second: TexturedMesh) -> tuple[float, float]:
    """Between two meshes, metres, and how deep one reaches into the other."""
    import open3d as o3d

    tensor = o3d.core.Tensor
    points = surface_points(second, np.random.default_rng(0), 3000).astype(np.float32)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(tensor(first.vertices.astype(np.float32)), tensor(first.faces.astype(np.uint32)))
    away = scene.compute_distance(tensor(points)).numpy()
    inside = scene.compute_occupancy(tensor(points)).numpy() > 0
    return float(away.min()), float(away[inside].max(initial=0.0))


def test_objects_touch_or_are_apart_and_none_is_inside_another() -> None:
    rig = replace(PLAIN, counts=(0.0, 1.0), near=0.0)
    for touching, least, most in ((1.0, 0.0, 0.004), (0.0, 0.02, 0.16)):
        for seed in range(5):
            meshes, kinds = lay_out(replace(rig, touching=touching), np.random.default_rng(seed))
            assert kinds == {"touching" if touching else "apart"}
            between, deep = gap(*meshes)
            assert least <= between <= most and deep < 0.001


def test_what_leans_or_lies_on_another_is_not_inside_it() -> None:
    for share in ("leaning", "stacked"):
        rig = replace(PLAIN, counts=(0.0, 1.0), **{share: 1.0})
        made = (lay_out(rig, np.random.default_rng(seed)) for seed in range(40))
        found = list(islice((meshes for meshes, kinds in made if share in kinds), 3))
        for meshes in found:
            between, deep = gap(*meshes)
            assert between < 0.004 and deep < 0.001
        assert len(found) == 3


KINDS = {
    "thin": {"thin": 1.0}, "white": {"white": 1.0}, "dark": {"dark": 1.0}, "single": {"single": 1.0},
    "metal": {"metal": 1.0}, "glossy": {"glossy": 1.0}, "transparent": {"transparent": 1.0},
    "translucent": {"translucent": 1.0}, "table_colour": {"table_colour": 1.0}, "white_on_white": {"pale": 1.0},
    "dark_on_dark": {"black": 1.0}, "glossy_table": {"glossy_table": 1.0}, "mat": {"mat": 1.0},
    "board": {"board": 1.0}, "tray": {"tray": 1.0}, "bin": {"bin": 1.0}, "edge": {"edge": 1.0},
    "hard_shadow": {"hard_shadow": 1.0}, "arm": {"arm": 1.0}, "gripper": {"hovering": 1.0},
    "pool": {"pool": 1.0}, "shadow_edge": {"shadow_edge": 1.0}, "stripes": {"stripes": 1.0},
    "cut_off": {"cut_off": 1.0}, "twin": {"twin": 1.0}, "leaning": {"leaning": 1.0}, "stacked": {"stacked": 1.0},
}  # fmt: skip
SEARCHED = {"gripper", "leaning", "stacked", "twin", "tray", "bin", "board"}
"""Kinds for which a scene must have the views, the shapes or the room."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_had_alone(kind: str) -> None:
    rig = replace(PLAIN, counts=(0.0, 1.0) if kind in SEARCHED else (1.0,), **KINDS[kind])
    for index in range(12):
        scene = tabletop_scene(2, index, rig)
        if kind in scene.kinds:
            break
        assert kind in SEARCHED
    assert kind in scene.kinds
    assert not set(scene.kinds) & set(KINDS) - {kind}
    assert max(int(label.max()) for label in scene.instances) >= 1


def test_a_gripper_and_the_walls_of_a_bin_are_no_objects_but_hide_them() -> None:
    bare = tabletop_scene(2, 0, replace(PLAIN, counts=(1.0,)))
    held = replace(PLAIN, counts=(1.0,), bin=1.0, arm=1.0)
    hidden = 0
    for index in range(4):
        scene = tabletop_scene(2, index, held)
        assert set(np.unique(scene.instances)) <= {0, 1}
        points = np.stack([surface(scene, view) for view in range(2)])
        above = points[..., 2] > scene.support_height + 0.02
        hidden += int((above & (np.array(scene.instances) == 0)).sum())
    assert hidden > 100
    assert not ((surface(bare, 0)[..., 2] > bare.support_height + 1e-3) & (bare.instances[0] == 0)).any()


def test_clear_things_show_what_is_behind_them() -> None:
    """A pane of glass takes the table's colours, a wooden one does not."""
    rig = replace(PLAIN, counts=(1.0,), noise=(0.3, 0.31))

    def likeness(**material: float) -> float:
        apart = []
        for index in range(3):
            scene = tabletop_scene(8, index, replace(rig, **material))
            for view, label in zip(scene.views, scene.instances, strict=True):
                colours = [view.image[label == k].mean(0) for k in (0, 1) if (label == k).any()]
                apart += [float(np.abs(colours[0] - colours[1]).mean())] if len(colours) == 2 else []
        return float(np.median(apart))

    assert likeness(transparent=1.0) < 0.7 * likeness()


def test_poses_are_off_by_no_more_than_the_robot_may_be() -> None:
    exact = tabletop_scene(5, 0, replace(SMALL, exact=1.0))
    noisy = tabletop_scene(5, 0, replace(SMALL, exact=0.0))
    assert exact.jpegs == noisy.jpegs
    for a, b in zip(exact.views, noisy.views, strict=True):
        shift = np.linalg.norm(a.T_world_camera[:3, 3] - b.T_world_camera[:3, 3])
        turn = np.degrees(
            np.arccos(np.clip((np.trace(a.T_world_camera[:3, :3].T @ b.T_world_camera[:3, :3]) - 1) / 2, -1, 1))
        )
        assert 0 < shift <= 0.003 and 0 < turn <= 0.4


def test_shards_give_back_what_was_written_and_a_stopped_writer_goes_on(tmp_path: Path, capsys) -> None:
    recipe = TabletopRecipe(seed=7, count=3, per_shard=2, rig=SMALL)
    folder = tmp_path / "scenes"
    write_tabletop(folder, recipe, log=lambda line: None)
    scenes = TabletopScenes(folder)
    assert len(scenes) == 4  # whole shards
    for index in (3, 0):
        kept, made = scenes[index], tabletop_scene(7, index, SMALL)
        assert kept.kinds == made.kinds and kept.jpegs == made.jpegs and kept.support_height == made.support_height
        assert np.array_equal(kept.instances, made.instances) and np.array_equal(kept.bounds, made.bounds)
        for a, b in zip(kept.views, made.views, strict=True):
            assert np.array_equal(a.image, b.image) and np.array_equal(a.T_world_camera, b.T_world_camera)
            assert np.array_equal(a.camera.K, b.camera.K) and a.camera.width == 96
            assert np.abs(a.depth - b.depth).max() <= DEPTH_STEP / 2 + 1e-6
    before = (folder / "tabletop_00000" / "jpeg.npy").stat().st_mtime_ns
    (folder / "tabletop_00001").rename(folder / ".tabletop_00001")  # as a writer leaves it that is killed
    assert missing_tabletop(folder, recipe) == [1]
    write_tabletop(folder, replace(recipe, count=4), log=lambda line: None)
    assert (folder / "tabletop_00000" / "jpeg.npy").stat().st_mtime_ns == before
    assert TabletopScenes(folder)[3].jpegs == scenes[3].jpegs
    assert main(["data", "sheet", str(folder), "-o", str(tmp_path / "sheet.png"), "--objects", "3"]) == 0
    assert "192 x 100 pixels" in capsys.readouterr().out  # two rows of two scenes of two views at half their size
    with pytest.raises(ReconstructionError) as refused:
        write_tabletop(folder, replace(recipe, seed=8))
    assert refused.value.code is ErrorCode.BAD_OPTION and "manifest.json" in str(refused.value)
    assert main(["data", "tabletop", str(folder), "--seed", "7", "--count", "4"]) == 1
    assert "was written with another recipe: give the same options, or another folder" in capsys.readouterr().err
    assert main(["data", "sheet", str(folder), "-o", str(tmp_path / "sheet.png"), "--first", "4"]) == 1
    assert "--first 4" in capsys.readouterr().err


def test_a_damaged_shard_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="no tabletop scenes"):
        TabletopScenes(tmp_path)
    write_tabletop(tmp_path / "a", TabletopRecipe(count=1, per_shard=1, rig=SMALL), log=lambda line: None)
    path = tmp_path / "a" / "tabletop_00000" / "label.npy"
    np.save(path, np.zeros_like(np.load(path)))
    with pytest.raises(ReconstructionError, match="tabletop_00000") as damaged:
        TabletopScenes(tmp_path / "a")[0]
    assert damaged.value.code is ErrorCode.BAD_CAPTURE


@pytest.mark.parametrize("name", THIN)
def test_thin_objects_are_thin_and_of_a_hands_size(name: str) -> None:
    """They leave much of their convex hull empty."""
    for seed in range(3):
        mesh = assemble(THIN[name][0](np.random.default_rng(seed)), name)
        assert 0.02 < np.ptp(mesh.vertices, axis=0).max() < 0.36
        corners = mesh.vertices[mesh.faces]
        volume = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
        assert 0 < volume < 0.7 * ConvexHull(mesh.vertices).volume


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_objects_are_of_a_hands_size_and_wound_outward(name: str) -> None:
    for seed in range(3):
        for part, images, _ in EVERYDAY[name][0](np.random.default_rng(seed)):
            assert 0.0005 < np.ptp(part.vertices, axis=0).max() < 0.4 and len(images) >= part.tiles
            corners = part.vertices[part.faces] - part.vertices.mean(0)
            assert np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() > 0
