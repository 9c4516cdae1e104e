"""Which views see a vertex: unoccluded, from its outer side, inside the picture and on the silhouette."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from shapes import see

from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.texture import view_weights
from mvgamba_ros.rendering.visibility import count_sight, count_views, seen_part, seen_points, vertex_sight
from mvgamba_ros.surface.sample import sample_cloud
from mvgamba_ros.types import Bool, Mesh, View

CONFIG = TextureConfig()
ABOVE = [[0.4, 0.0, 0.35], [0.0, 0.4, 0.35], [-0.4, 0.0, 0.35], [0.0, -0.4, 0.35]]


def as_mesh(made: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(made.vertices), made.faces.astype(np.int32), np.full(made.vertices.shape, 120, np.uint8))


def box() -> Mesh:
    """10 cm, standing on z = 0, its sides divided into many faces."""
    made = trimesh.creation.box((0.1, 0.1, 0.1)).subdivide().subdivide().subdivide()
    made.apply_translation([0.0, 0.0, 0.05])
    return as_mesh(made)


def cup() -> Mesh:
    """A deep cup of 3 cm inner radius and 12 cm depth."""
    wall = trimesh.creation.annulus(0.03, 0.035, 0.12)
    wall.apply_translation([0.0, 0.0, 0.06])
    return as_mesh(wall.subdivide_to_size(0.01))


def seen_by(mesh: Mesh, views: list[View]) -> np.ndarray:
    return count_sight(vertex_sight(mesh, views, Raycaster(mesh), CONFIG))


def on(mesh: Mesh, axis: int, value: float) -> Bool:
    """Vertices in the middle of a side: on the plane, off its edges."""
    others = [k for k in range(3) if k != axis]
    middle = np.abs(mesh.vertices[:, others] - [[0.05 if k == 2 else 0.0 for k in others]]).max(axis=1) < 0.045
    found: Bool = (np.abs(mesh.vertices[:, axis] - value) < 1e-6) & middle
    return found


def test_views_from_above_all_see_a_boxs_top_and_none_its_underside() -> None:
    mesh = box()
    seen = seen_by(mesh, see(mesh, ABOVE, [0.0, 0.0, 0.05]))
    assert on(mesh, 2, 0.1).sum() > 20 and (seen[on(mesh, 2, 0.1)] == 4).all()
    assert on(mesh, 2, 0.0).sum() > 20 and not seen[on(mesh, 2, 0.0)].any()
    for axis in (0, 1):
        for value in (-0.05, 0.05):
            assert (seen[on(mesh, axis, value)] == 1).all()  # by the view on that side


def test_the_foot_of_a_box_is_seen_as_far_as_its_sides_are() -> None:
    """The mean of the normals at an edge looks below the camera; the side that meets it there is seen nevertheless."""
    mesh = box()
    seen = seen_by(mesh, see(mesh, ABOVE, [0.0, 0.0, 0.05]))
    edge = (mesh.vertices[:, 2] < 1e-6) & (np.abs(mesh.vertices[:, :2]).max(axis=1) > 0.0499)
    assert edge.sum() > 20 and (seen[edge] >= 1).all()


def test_the_hidden_inside_of_a_cup_is_a_guess() -> None:
    mesh = cup()
    seen = seen_by(mesh, see(mesh, ABOVE, [0.0, 0.0, 0.06]))
    radius = np.linalg.norm(mesh.vertices[:, :2], axis=1)
    inside, height = radius < 0.0301, mesh.vertices[:, 2]
    assert not seen[inside & (height < 0.05)].any()  # lines of sight come down at 40 degrees, 6 cm across
    assert (seen[~inside & (height > 0.02) & (height < 0.1)] >= 1).all()
    assert (seen[inside & (height > 0.09)] >= 1).all()


def test_what_lies_off_a_views_silhouette_was_not_seen_by_it() -> None:
    mesh = box()
    views = see(mesh, ABOVE, [0.0, 0.0, 0.05])
    half = []
    for view in views:
        assert view.mask is not None
        mask = view.mask.copy()
        mask[: int(np.flatnonzero(mask.any(axis=1)).mean())] = False  # the upper half: all of the top
        half.append(replace(view, mask=mask))
    assert not seen_by(mesh, half)[on(mesh, 2, 0.1)].any()
    assert (seen_by(mesh, [replace(view, mask=None) for view in views])[on(mesh, 2, 0.1)] == 4).all()


def test_a_grazing_view_and_one_that_ends_before_the_object_do_not_count() -> None:
    mesh = box()
    grazing = see(mesh, [[0.5, 0.0, 0.12]], [0.0, 0.0, 0.05])  # 2 degrees over the top
    assert not seen_by(mesh, grazing)[on(mesh, 2, 0.1)].any()
    aside = see(mesh, [ABOVE[0]], [0.0, 2.0, 0.05])
    assert not seen_by(mesh, aside).any()


def test_a_points_count_is_that_of_its_side() -> None:
    mesh = box()
    views = see(mesh, ABOVE, [0.0, 0.0, 0.05])
    cloud = sample_cloud(mesh, 2000)
    weights = view_weights(cloud.points, cloud.normals, views, Raycaster(mesh), CONFIG)
    cloud = replace(cloud, seen=count_views(cloud.points, weights, views, CONFIG))
    assert cloud.seen is not None
    for normal, count in (([0, 0, 1], 4), ([0, 0, -1], 0), ([1, 0, 0], 1)):
        side = cloud.normals @ normal > 0.99
        assert side.sum() > 200 and np.mean(cloud.seen[side] == count) > 0.97
    kept = seen_points(cloud)
    assert len(kept.points) == (cloud.seen > 0).sum() and not (kept.normals[:, 2] < -0.99).any()


def test_more_views_than_a_byte_counts_are_as_many_as_it_holds() -> None:
    assert count_sight(np.ones((300, 2), np.float32)).tolist() == [255, 255]


@pytest.mark.parametrize("divided", [True, False])
def test_the_seen_part_of_a_box_is_open_below_and_whole_elsewhere(divided: bool) -> None:
    """Also of a box of twelve faces, whose corners are all seen."""
    made = trimesh.creation.box((0.1, 0.1, 0.1))
    made.apply_translation([0.0, 0.0, 0.05])
    mesh = box() if divided else as_mesh(made)
    views = see(mesh, ABOVE, [0.0, 0.0, 0.05])
    mesh = replace(mesh, seen=seen_by(mesh, views), expected_error_mm=np.ones(len(mesh.vertices), np.float32))
    part = seen_part(mesh, views, Raycaster(mesh), CONFIG)
    shape = trimesh.Trimesh(part.vertices, part.faces, process=False)
    assert not shape.is_watertight and not (shape.face_normals[:, 2] < -0.5).any()
    assert shape.area == pytest.approx(5 * 0.01, rel=1e-6)
    assert part.seen is not None and (part.seen > 0).all() and part.expected_error_mm is not None
    assert len(part.seen) == len(part.expected_error_mm) == len(part.colors) == len(part.vertices)


def test_a_mesh_that_no_view_sees_has_no_seen_part() -> None:
    mesh = box()
    away = see(mesh, [ABOVE[0]], [0.8, 0.0, 0.7])
    mesh = replace(mesh, seen=seen_by(mesh, away))
    with pytest.raises(ReconstructionError, match="no view sees any of the mesh's 768 faces") as caught:
        seen_part(mesh, away, Raycaster(mesh), CONFIG)
    assert caught.value.code is ErrorCode.EMPTY_SURFACE
