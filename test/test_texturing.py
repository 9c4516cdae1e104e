"""The texture: print legible, exposures balanced, what no view sees marked."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import printed_box
import pytest
import rendered

from mvgamba_ros.config.baking_config import BakingConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.texture import paint, view_weights
from mvgamba_ros.surface.sample import vertex_normals
from mvgamba_ros.texturing import unwrap
from mvgamba_ros.texturing.bake import bake
from mvgamba_ros.texturing.texels import cover
from mvgamba_ros.texturing.view_levels import relative_levels
from mvgamba_ros.types import Mesh, TextureMap, View


def baked(mesh: Mesh, views: list[View], side: int = 1024) -> TextureMap:
    return bake(mesh, views, Raycaster(mesh), side, TextureConfig(), BakingConfig())


def on_sides(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points all over each face, (F, 55, 3), their barycentric coordinates (55, 3) and the side of each face (F,)."""
    steps = [(i, j) for i in range(10) for j in range(10 - i)]
    barycentric = np.array([[i + 0.3, j + 0.3, 9.4 - i - j] for i, j in steps]) / 10.0
    normals = np.cross(*(mesh.vertices[mesh.faces[:, k]] - mesh.vertices[mesh.faces[:, 0]] for k in (1, 2)))
    axis = np.abs(normals).argmax(axis=1)
    side = 2 * axis + (normals[np.arange(len(axis)), axis] > 0)
    return np.einsum("bk,fkc->fbc", barycentric, mesh.vertices[mesh.faces]), barycentric, side


def sampled(texture: TextureMap, picture: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """``picture`` at the points of all faces, (F, B, ...)."""
    height, width = picture.shape[:2]
    places = np.einsum("bk,fkc->fbc", barycentric, texture.uv) * [width, height] - 0.5
    x, y = places.astype(np.float32).transpose(2, 0, 1)
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def psnr(colors: np.ndarray, truth: np.ndarray) -> float:
    return float(10.0 * np.log10(255.0**2 / np.mean((colors.astype(float) - truth) ** 2)))


def truth_at(points: np.ndarray, side: np.ndarray) -> np.ndarray:
    pictures = printed_box.prints()
    flat = [printed_box.color_at(points[f], int(side[f]), pictures) for f in range(len(points))]
    return np.stack(flat)


BOX = printed_box.mesh()
VIEWS = [printed_box.render(T) for T in printed_box.poses()]
POINTS, BARYCENTRIC, SIDE = on_sides(BOX)
UPPER = SIDE != 4  # not the bottom, which no view sees


def test_the_print_of_a_box_is_legible_where_vertex_colors_smear_it():
    texture = baked(BOX, VIEWS)
    truth = truth_at(POINTS, SIDE)
    weights = view_weights(BOX.vertices, vertex_normals(BOX), VIEWS, Raycaster(BOX))
    painted = paint(BOX.vertices, weights, VIEWS, BOX.colors)
    smeared = np.einsum("bk,fkc->fbc", BARYCENTRIC, painted[BOX.faces].astype(float))
    legible = sampled(texture, texture.image, BARYCENTRIC)
    assert psnr(legible[UPPER], truth[UPPER]) > psnr(smeared[UPPER], truth[UPPER]) + 6.0
    assert psnr(legible[UPPER], truth[UPPER]) > 22.0


def test_what_no_view_sees_is_marked_and_takes_its_colors_from_around():
    texture = baked(BOX, VIEWS)
    seen = sampled(texture, texture.seen, BARYCENTRIC)
    assert (seen[~UPPER] == 0).mean() > 0.97 and (seen[UPPER] > 0).mean() > 0.9
    top = printed_box.SIZE[0] * printed_box.SIZE[1]
    area = 2 * (top + printed_box.SIZE[2] * printed_box.SIZE[:2].sum())
    assert texture.seen_share == pytest.approx(1.0 - top / area, abs=0.04)
    bottom = sampled(texture, texture.image, BARYCENTRIC)[~UPPER].astype(float)
    around = truth_at(POINTS, SIDE)[UPPER & (SIDE != 5)]
    assert (np.abs(bottom.mean(axis=(0, 1)) - around.mean(axis=(0, 1))) < 40).all()
    assert bottom.std(axis=(0, 1)).max() < 40  # smooth, no print made up


def test_a_view_of_another_exposure_leaves_no_seam():
    poses = printed_box.poses()
    views = [printed_box.render(T, 1.0 if k % 2 else 0.6) for k, T in enumerate(poses)]
    texture = baked(BOX, views)
    truth = truth_at(POINTS, SIDE)
    for side in (0, 1, 2, 3):
        ratio = sampled(texture, texture.image, BARYCENTRIC)[side == SIDE].mean(1) / truth[side == SIDE].mean(1)
        assert ratio.max() / ratio.min() < 1.25, side  # 1.67 without balance
    unbalanced = bake(BOX, views, Raycaster(BOX), 1024, TextureConfig(), BakingConfig(max_gain=1.0))
    seam = [
        np.std(sampled(t, t.image, BARYCENTRIC)[UPPER].mean(1) / truth[UPPER].mean(1)) for t in (texture, unbalanced)
    ]
    assert seam[0] < 0.5 * seam[1]


def test_detail_comes_from_the_sharper_of_two_views_from_one_place():
    blurred = [replace(view, image=cv2.GaussianBlur(view.image, (0, 0), 3.0)) for view in VIEWS]
    truth = truth_at(POINTS, SIDE)[UPPER]
    alone, both, sharp = (
        psnr(sampled(texture, texture.image, BARYCENTRIC)[UPPER], truth)
        for texture in (baked(BOX, blurred), baked(BOX, [*blurred, *VIEWS]), baked(BOX, VIEWS))
    )
    assert both > alone + 3.0 and both > sharp - 1.0


def test_levels_of_views_are_found_from_pairs_that_share_points():
    rng = np.random.default_rng(0)
    surface, levels = rng.normal(size=(500, 2)), np.array([[0.3, -0.1], [-0.3, 0.2], [0.0, -0.1]])
    values = (surface[None] + levels[:, None]).astype(np.float32)
    weights = np.ones((3, 500), np.float32)
    weights[0, 250:], weights[2, :250] = 0.0, 0.0  # the first and the last share nothing
    assert relative_levels(values, weights) == pytest.approx(levels, abs=0.06)
    assert relative_levels(values, np.zeros_like(weights)) == pytest.approx(0.0)


@pytest.mark.parametrize("library", ["xatlas", "UVAtlas"])
def test_no_two_faces_share_a_texel_and_every_face_has_some(library, monkeypatch):
    if library == "UVAtlas":
        monkeypatch.setattr(unwrap, "find_spec", lambda name: None)
    elif unwrap.find_spec("xatlas") is None:
        pytest.skip("no xatlas here")
    atlas = unwrap.unwrap(BOX, 0.001, 256, 4)
    assert atlas.made_by.startswith(library) and max(atlas.width, atlas.height) <= 256
    texels = cover(atlas)
    assert set(texels.face) == set(range(len(BOX.faces)))
    a, b, c = (atlas.corners[:, k] for k in range(3))
    area = 0.5 * np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum()
    assert len(texels.at) > 0.98 * area  # a texel that two faces claim is counted once
    points = texels.interpolated(BOX.faces, BOX.vertices)
    off = np.abs(np.abs(points - printed_box.CENTER) - printed_box.SIZE / 2).min(axis=1)
    assert off.max() < 1e-5  # every texel lies on a side of the box


def test_a_texture_is_no_larger_than_asked_nor_than_the_views_hold():
    small, large = baked(BOX, VIEWS, side=64), baked(BOX, VIEWS, side=4096)
    assert max(small.image.shape) <= 64 < max(large.image.shape) < 700


@pytest.mark.parametrize("library", ["xatlas", "UVAtlas"])
def test_a_texture_of_a_few_pixels_is_coarse_and_no_more(library, monkeypatch):
    if library == "UVAtlas":
        monkeypatch.setattr(unwrap, "find_spec", lambda name: None)
    texture = baked(BOX, VIEWS, side=6)
    assert max(texture.image.shape[:2]) <= 6 and texture.uv.min() >= 0.0 and texture.uv.max() <= 1.0
    wide = bake(BOX, VIEWS, Raycaster(BOX), 40, TextureConfig(), BakingConfig(padding=32))
    assert max(wide.image.shape[:2]) <= 40 and wide.image.std() > 10


def test_where_no_view_sees_the_mesh_it_keeps_the_colors_it_has():
    away = [replace(view, T_world_camera=view.T_world_camera @ np.diag([-1.0, 1.0, -1.0, 1.0])) for view in VIEWS]
    hidden = [replace(view, hidden=np.ones(view.image.shape[:2], bool)) for view in VIEWS]
    for views in (away, hidden):
        texture = baked(BOX, views, side=64)
        assert texture.seen_share == 0.0 and not texture.seen.any()
        assert (texture.image == 128).all()


def test_a_reconstruction_has_a_texture_where_asked_and_none_by_default():
    options = Options(method="hull", segmenter="masks", hull_resolution=48, cloud_points=1000, texture=200)
    result = reconstruct(rendered.views(4), options)
    assert result.texture is not None and result.texture.uv.shape == (len(result.mesh.faces), 3, 2)
    assert max(result.texture.image.shape) <= 200 and 0.5 < result.texture.seen_share < 1.0
    assert (result.texture.uv >= 0).all() and (result.texture.uv <= 1).all()
    red = result.texture.image[result.texture.seen > 0].mean(axis=0)
    assert red[0] > 100 > 2 * red[1]
    cut = reconstruct(rendered.views(4), replace(options, seen_only=True))
    assert cut.texture is not None and len(cut.texture.uv) == len(cut.mesh.faces) < len(result.mesh.faces)
    assert reconstruct(rendered.views(4), replace(options, texture=0)).texture is None
