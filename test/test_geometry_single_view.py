"""One silhouette on a known plane: a box's outline gives the box, other outlines and unsure ones give none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from shapes import camera, cuboid, see

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.geometry.boxes import axis_parallel_box, scaled_box
from mvgamba_ros.geometry.single_view import single_view_region
from mvgamba_ros.geometry.upright_box import fit_upright_box
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import Mesh, Prompts, View

SIDES = {"carton": [0.05, 0.035, 0.2], "lying": [0.2, 0.07, 0.07], "pack": [0.1, 0.05, 0.025]}


def turned(sides: list[float], degrees: float = 25.0) -> Mesh:
    """A cuboid of such ``sides`` on z = 0, about the origin."""
    x, y, z = sides
    mesh, turn = cuboid([-x / 2, -y / 2, 0.0], [x / 2, y / 2, z]), np.radians(degrees)
    R = np.array([[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    return replace(mesh, vertices=mesh.vertices @ R.T)


def look(mesh: Mesh) -> View:
    """Colour alone, from 45 degrees above and 50 cm."""
    return replace(see(mesh, [[-0.35, 0.05, 0.4]], [0.0, 0.0, 0.04], camera(640, 480, 600.0))[0], depth=None)


def ball() -> Mesh:
    shape = trimesh.creation.icosphere(3, 0.05)
    return Mesh(
        shape.vertices + np.array([0.0, 0.0, 0.05]), shape.faces.astype(np.int32), np.full((642, 3), 99, np.uint8)
    )


@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
def test_the_outline_of_a_box_gives_its_sides_and_its_place(sides: list[float]) -> None:
    found = fit_upright_box(look(turned(sides)), 0.0)
    assert found is not None
    assert sorted(found.size[:2]) == pytest.approx(sorted(sides[:2]), abs=0.003)
    assert found.size[2] == pytest.approx(sides[2], abs=0.003)
    assert found.T_world_box[:3, 3] == pytest.approx([0.0, 0.0, sides[2] / 2], abs=0.003)


def test_no_box_is_found_where_none_has_the_outline_or_the_picture_cuts_it_off() -> None:
    assert fit_upright_box(look(ball()), 0.0) is None
    view = look(turned(SIDES["carton"]))
    assert view.mask is not None
    columns = np.flatnonzero(view.mask.any(axis=0))
    middle = int(columns.mean())
    cut = replace(view.camera, width=middle)
    assert (
        fit_upright_box(replace(view, camera=cut, image=view.image[:, :middle], mask=view.mask[:, :middle]), 0) is None
    )
    assert fit_upright_box(view, 1.0) is None  # the camera is below that plane


def test_a_box_is_looked_for_in_colour_alone_and_only_inside_the_region() -> None:
    mesh = turned(SIDES["lying"])
    view, roi = look(mesh), scaled_box(mesh.vertices.min(axis=0), mesh.vertices.max(axis=0))
    inside, note = single_view_region(view, 0.0, roi)
    assert inside.size.prod() < 0.5 * roi.size.prod() and "is a box's" in note
    elsewhere = axis_parallel_box(np.array([-0.1, -0.1, 0.0]), np.array([0.0, 0.1, 0.1]))
    assert single_view_region(view, 0.0, elsewhere) == (elsewhere, "")
    measured = see(mesh, [[-0.35, 0.05, 0.4]], [0.0, 0.0, 0.04])[0]
    assert single_view_region(measured, 0.0, roi) == (roi, "")
    assert "as deep as it is wide" in single_view_region(look(ball()), 0.0)[1]


def test_one_colour_picture_of_a_lying_carton_gives_the_carton() -> None:
    mesh = turned(SIDES["lying"])
    options = Options(segmenter="masks", hull_resolution=64, refine=False, prompts=Prompts(support_height=0.0))
    result = reconstruct([look(mesh)], options)
    none = replace(options, config=ReconstructionConfig(hull=HullConfig(min_box_iou=1.0)))
    guessed = reconstruct([look(mesh)], none)
    found, without = (shape_errors(surface_points(r.mesh), surface_points(mesh))["F@5mm"] for r in (result, guessed))
    assert found > 0.8 > without + 0.3
    assert result.quality.low and any("is a box's" in note for note in result.notes)
