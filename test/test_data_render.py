"""The renderer and the shapes it renders: geometry, light and determinism, on known and on random objects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mvgamba_ros.synthesis import textures
from mvgamba_ros.synthesis.data_format import DEPTH_UNIT
from mvgamba_ros.synthesis.families import FAMILIES, Procedural, make
from mvgamba_ros.synthesis.pose_sampling import CameraRig, sample_stable_pose
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.render import render, sample_visible_surface
from mvgamba_ros.synthesis.shading import Light, Shader, incident_light
from mvgamba_ros.synthesis.textured_mesh import (
    Material,
    TexturedMesh,
    assemble,
    bend,
    hull,
    loft,
    rounded_box,
    superellipse,
    taper,
    tube,
    twist,
)

RIG = CameraRig(views=4, inputs=3, size=64)


def ball(radius: float, color: tuple[float, float, float] = (200, 80, 60)) -> TexturedMesh:
    a = np.linspace(-np.pi / 2, np.pi / 2, 60)
    part = loft(radius * np.stack([np.cos(a), np.sin(a)], 1), superellipse(120))
    tile = np.full((textures.TILE, textures.TILE, 3), color, np.uint8)
    return assemble([(part, [tile], Material(0.0))], "ball")


def view_a_ball():
    """Views of a ball of radius 0.05, and its centre in the world."""
    out = render(ball(0.05), RIG, np.random.default_rng(3), points=512)
    return out, (out["points"] - 0.05 * out["normals"].astype(float)).mean(0)


def test_the_same_seed_gives_the_same_views_and_another_seed_others():
    a, b, c = (render(Procedural(s, 9)[4], RIG, np.random.default_rng(s), points=64) for s in (1, 1, 2))
    for key, value in a.items():
        np.testing.assert_array_equal(value, b[key], err_msg=key)
    assert (a["rgb"] != c["rgb"]).any()


def test_a_ball_covers_the_disc_that_its_cone_cuts_out():
    out, centre = view_a_ball()
    row, column = np.mgrid[: RIG.size, : RIG.size] + 0.5
    for v in range(RIG.views):
        K, T = out["K"][v].astype(float), out["T_world_camera"][v].astype(float)
        rays = np.stack([(column - K[0, 2]) / K[0, 0], (row - K[1, 2]) / K[1, 1], np.ones_like(row)], -1)
        axis = T[:3, :3].T @ (centre - T[:3, 3])
        cosine = rays @ axis / np.linalg.norm(rays, axis=-1) / np.linalg.norm(axis)
        sine = np.sqrt(1 - np.clip(cosine, -1, 1) ** 2)
        expected = sine < 0.05 / np.linalg.norm(axis)
        drawn = out["alpha"][v] > 127
        assert (expected & drawn).sum() / (expected | drawn).sum() > 0.97


def test_front_and_back_depth_of_a_ball_are_where_its_ray_enters_and_leaves():
    out, centre = view_a_ball()
    K, T = out["K"][0].astype(float), out["T_world_camera"][0].astype(float)
    c = T[:3, :3].T @ (centre - T[:3, 3])
    row, column = np.argwhere(out["depth_front"][0] > 0)[::50].T
    d = np.stack([(column + 0.5 - K[0, 2]) / K[0, 0], (row + 0.5 - K[1, 2]) / K[1, 1], np.ones(len(row))], 1)
    # |z d - c| = r
    a, b, q = (d * d).sum(1), d @ c, c @ c - 0.05**2
    root = np.sqrt(np.maximum(b * b - a * q, 0))
    steep = root > 0.3 * root.max()  # at the rim a facet's depth is ill-conditioned
    for name, z in (("depth_front", (b - root) / a), ("depth_back", (b + root) / a)):
        drawn = out[name][0][row, column] * DEPTH_UNIT
        np.testing.assert_allclose(drawn[steep], z[steep], atol=4e-4)


def test_every_crop_frames_its_object_with_a_margin():
    for index in range(6):
        out = render(Procedural(11, 20)[index], RIG, np.random.default_rng(index), points=64)
        edge = np.concatenate([out["alpha"][:, [0, -1]].ravel(), out["alpha"][:, :, [0, -1]].ravel()])
        assert edge.max() == 0
        assert (out["alpha"] > 127).any(axis=(1, 2)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_renders_sound_geometry(family: str):
    for seed in range(2):
        mesh = make(family, np.random.default_rng([seed, 5]))
        side = np.ptp(mesh.vertices, axis=0).max()
        assert 0.02 <= side <= 0.3001
        out = render(mesh, RIG, np.random.default_rng(seed), points=512)
        front, back, alpha = out["depth_front"].astype(int), out["depth_back"].astype(int), out["alpha"]
        assert ((front > 0) == (back > 0)).all()
        assert (back >= front).all()
        assert (alpha[front > 0] > 0).all()
        for v in range(RIG.views):
            K, T = out["K"][v].astype(float), out["T_world_camera"][v].astype(float)
            camera = (out["points"] - T[:3, 3]) @ T[:3, :3]
            u, w = (camera @ K.T)[:, :2].T / camera[:, 2]
            i, j = np.floor(w).astype(int), np.floor(u).astype(int)
            covered = cv2.dilate(alpha[v], np.ones((3, 3), np.uint8))[i, j]
            assert (covered > 0).mean() > 0.995
            # nothing lies before the first hit, or behind the last, in the pixels around by more than a pixel spans
            window = np.ones((3, 3), np.float32)
            first = cv2.erode(np.where(front[v] > 0, front[v], 1e6).astype(np.float32), window)[i, j] * DEPTH_UNIT
            last = cv2.dilate(back[v].astype(np.float32), window)[i, j] * DEPTH_UNIT
            assert (camera[:, 2] > first - 0.02 * side)[last > 0].mean() > 0.96
            assert (camera[:, 2] < last + 0.02 * side)[last > 0].mean() > 0.96


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_closed_seen_from_outside(family: str):
    """Where a ray first meets the surface, it meets a face's outside; where it last leaves, too."""
    mesh = make(family, np.random.default_rng(8))
    vertices = mesh.vertices - mesh.vertices.mean(0)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(4000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    target = vertices[rng.integers(len(vertices), size=4000)] * rng.uniform(0, 0.95, (4000, 1))
    t, face, _ = RayScene(vertices, mesh.faces).cast(
        (target - direction).astype(np.float32), direction.astype(np.float32)
    )
    a, b, c = (vertices[mesh.faces[:, k]] for k in range(3))
    outward = np.cross(b - a, c - a)[face[np.isfinite(t)]]
    facing = np.einsum("nc,nc->n", outward, direction[np.isfinite(t)]) < 0
    assert len(facing) > 200
    assert facing.mean() > 0.998


def test_points_inside_another_part_are_left_out():
    box = rounded_box((0.1, 0.1, 0.1), 0.001)
    inner = rounded_box((0.05, 0.05, 0.05), 0.001)
    tiles = [np.zeros((8, 8, 3), np.uint8)] * 6
    mesh = assemble([(box, tiles, Material()), (inner, tiles, Material())], "nested")
    points, normals = sample_visible_surface(
        RayScene(mesh.vertices, mesh.faces), mesh.vertices, mesh.faces, 2000, np.random.default_rng(0)
    )
    assert len(points) == 2000
    assert np.abs(points).max(1).min() > 0.049
    assert (np.einsum("nc,nc->n", points, normals) > 0).all()
    # even over the six sides
    share = np.bincount(np.abs(points).argmax(1) * 2 + (points[np.arange(2000), np.abs(points).argmax(1)] > 0))
    assert share.min() > 250


def test_the_lamp_casts_a_shadow_and_the_plane_keeps_light_from_below_away():
    roof = rounded_box((0.1, 0.1, 0.01), 0.001).at(0, 0, 0.1)
    floor = rounded_box((0.3, 0.3, 0.01), 0.001)
    tiles = [np.full((8, 8, 3), 200, np.uint8)] * 6
    mesh = assemble([(roof, tiles, Material()), (floor, tiles, Material())], "table")
    rays = RayScene(mesh.vertices, mesh.faces)
    none = np.zeros((0, 3), np.float32)
    one = np.ones(3, np.float32)
    lamp = Light(np.array([0, 0, 1], np.float32), one, 0.01, none, none, one, 0.5 * one, 1.0, 1.0)
    under, beside = np.array([[0, 0, 0.005]], np.float32), np.array([[0.12, 0.12, 0.005]], np.float32)
    up = np.array([[0, 0, 1]], np.float32)
    many = np.concatenate([np.repeat(under, 200, 0), np.repeat(beside, 200, 0)])
    light = incident_light(rays, many, np.repeat(up, 400, 0), lamp, float("nan"), 0.2, np.random.default_rng(0))
    dark, lit = light[:200].mean(0), light[200:].mean(0)
    assert dark[3] < 0.02 and lit[3] > 0.98
    assert dark[0] < 0.8 * lit[0]
    shader = Shader(mesh, mesh.vertices, lamp)
    top = np.flatnonzero((shader.flat[:, 2] > 0.99) & (mesh.material == 1))[:1]
    bary = np.full((1, 2), 1 / 3, np.float32)
    in_shade, in_light = (shader.shade(top, bary, up, x[None, :3], x[3:4]) for x in (dark, lit))
    assert (in_shade < 0.6 * in_light).all()
    # a face turned down, near the plane, gets less than one far above it
    down, at = np.repeat(-up, 200, 0), np.repeat(np.array([[0.12, 0.12, -0.005]], np.float32), 200, 0)
    near, far = (
        incident_light(rays, at, down, lamp, z, 0.2, np.random.default_rng(0))[:, 0].mean() for z in (-0.01, -2.0)
    )
    assert near < 0.5 * far


@pytest.mark.parametrize(
    "part",
    [
        rounded_box((0.1, 0.2, 0.3), 0.02),
        loft(np.array([[0, 0], [1, 0], [1, 2], [0.9, 2], [0.9, 0.1], [0, 0.1]]), superellipse(24)),
        tube(
            np.stack([np.cos(np.linspace(0, 3, 9)), np.zeros(9), np.sin(np.linspace(0, 3, 9))], 1), 0.1, superellipse(9)
        ),
        hull(np.random.default_rng(0).normal(size=(20, 3))),
    ],
    ids=["rounded_box", "loft", "tube", "hull"],
)
def test_a_primitive_is_watertight_wound_outward_and_stays_so_when_deformed(part):
    import trimesh

    for deform in (lambda p: p, lambda p: bend(p, 0.7), lambda p: twist(p, 0.9), lambda p: taper(p, 0.5)):
        shape = part.moved(deform)
        solid = trimesh.Trimesh(shape.vertices, shape.faces)
        assert solid.is_watertight
        assert solid.volume > 0


def test_print_on_a_box_reads_from_left_to_right_on_every_side():
    """On all six tiles, u grows to the right and v downward for a viewer of the face from outside."""
    part = rounded_box((0.1, 0.2, 0.3), 0.001)
    a, b, c = (part.vertices[part.faces[:, k]] for k in range(3))
    ua, ub, uc = (part.uv[:, k] for k in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1)
    turn = np.cross(np.c_[ub - ua, np.zeros(len(ua))], np.c_[uc - ua, np.zeros(len(ua))])[:, 2]
    big = area > 0.2 * area.max()
    # faces are counter-clockwise from outside; with v down that is clockwise, negative, in the texture
    assert (turn[big] < 0).all()
    assert set(part.tile[big]) == set(range(6))


def test_a_slab_comes_to_rest_flat_far_more_often_than_on_its_edge():
    slab = rounded_box((0.1, 0.1, 0.01), 0.0005).vertices
    rng = np.random.default_rng(0)
    heights = [np.ptp(slab @ sample_stable_pose(slab, rng).T, axis=0)[2] for _ in range(60)]
    flat = np.isclose(heights, 0.01, atol=1e-3)
    assert flat.mean() > 0.9


def test_standing_objects_touch_their_plane_and_floating_ones_have_none():
    mesh = make("box", np.random.default_rng(0))
    stood = render(mesh, CameraRig(views=1, inputs=1, size=32, standing=1.0), np.random.default_rng(1), points=2000)
    afloat = render(mesh, CameraRig(views=1, inputs=1, size=32, standing=0.0), np.random.default_rng(1), points=64)
    assert stood["points"][:, 2].min() == pytest.approx(float(stood["support_height"]), abs=1e-3)
    assert np.isnan(afloat["support_height"])
