"""Procedural objects before procedural backgrounds: what the objectness network learns from."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.synthesis.backgrounds import render_scene
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.textures import fiducials


def test_a_mask_covers_what_the_bounds_can_reach_and_nothing_else() -> None:
    for index in range(3):
        views, bounds = render_scene(Procedural(5, 9)[index], np.random.default_rng(index))
        for view in views:
            assert view.mask is not None and view.mask.any()
            corners = np.stack(np.meshgrid(*bounds.T), -1).reshape(-1, 3)
            pixels, _ = project(view.camera, view.T_world_camera, corners)
            rows, columns = np.nonzero(view.mask)
            low, high = pixels.min(0) - 1, pixels.max(0) + 1
            assert (np.array([columns.min(), rows.min()]) >= low).all()
            assert (np.array([columns.max(), rows.max()]) + 1 <= high).all()
            assert columns.max() - columns.min() > 0.5 * (high - low)[0]


def test_the_background_is_there_and_the_same_seed_gives_the_same_pictures() -> None:
    mesh = Procedural(5, 9)[4]
    (first, *_), _ = render_scene(mesh, np.random.default_rng(2))
    (again, *_), _ = render_scene(mesh, np.random.default_rng(2))
    (other, *_), _ = render_scene(mesh, np.random.default_rng(3))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert first.mask is not None and first.image[~first.mask].std() > 1.0


def test_a_sheet_of_markers_is_paper_and_ink_and_no_two_are_alike() -> None:
    sheets = [fiducials(np.random.default_rng(seed)) for seed in range(6)]
    for sheet in sheets:
        grey = (sheet / sheet.max((0, 1))).mean(-1)
        assert (grey < 0.35).mean() > 0.1 and (grey > 0.65).mean() > 0.2
        assert ((grey > 0.35) & (grey < 0.65)).mean() < 0.25
        assert (grey[:2] > 0.65).all() and (grey[-2:] > 0.65).all()  # a margin all around
    assert not any(np.array_equal(sheets[0], other) for other in sheets[1:])
