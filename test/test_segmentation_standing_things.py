"""Things in a wide region: connected pieces of what all views agree on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rendered import CENTER, PAIR, SIZE, labels_of, pair_views, render, views

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.segmentation.multiview import region_search
from mvgamba_ros.segmentation.multiview.instance_network import InstanceNetwork
from mvgamba_ros.segmentation.multiview.region_labels import Thing
from mvgamba_ros.segmentation.multiview.standing_things import standing_things
from mvgamba_ros.types import Box, Prompts

CONFIG = SegmentationConfig()
WIDE = scaled_box(CENTER + np.array([-0.15, -0.15, -0.045]), CENTER + np.array([0.15, 0.15, 0.155]), 1.0)
TABLE = scaled_box(CENTER + np.array([-0.15, -0.15, -0.045]), CENTER + np.array([0.15, 0.15, 0.055]), 1.0)


def middle(place: np.ndarray, score: float, size: np.ndarray = SIZE) -> Thing:
    return Thing(scaled_box(place - size / 2, place + size / 2, 1.0), score)


def assert_about(box: Box, center: np.ndarray, size: np.ndarray, within: float) -> None:
    assert np.abs(box.T_world_box[:2, 3] - center[:2]).max() < within
    assert np.abs(box.size[:2] - size[:2]).max() < 2.5 * within


def test_things_apart_are_pieces_with_boxes_about_them_even_where_the_network_sees_no_middle() -> None:
    things = standing_things(labels_of(pair_views(), WIDE), CONFIG)
    assert len(things) == 2
    for thing, center in zip(sorted(things, key=lambda t: t.box.T_world_box[1, 3]), PAIR, strict=True):
        assert_about(thing.box, center, SIZE, 0.012)
        assert 0.9 < thing.score <= 1.0 and not thing.parts


def test_the_order_of_views_changes_nothing() -> None:
    seen = pair_views()
    first = standing_things(labels_of(seen, WIDE), CONFIG)
    again = standing_things(labels_of(seen[::-1], WIDE), CONFIG)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_allclose(one.box.size, other.box.size)
        np.testing.assert_allclose(one.box.T_world_box, other.box.T_world_box)


def test_a_piece_is_as_sure_as_its_surest_middle_and_keeps_several_as_parts() -> None:
    half = np.array([0.0, 0.015, 0.0])
    of_one = [middle(CENTER + half, 0.4, SIZE / 3), middle(CENTER - half, 0.7, SIZE / 3)]
    (thing,) = standing_things(labels_of(views(4), WIDE, tuple(of_one)), CONFIG)
    assert thing.score == 0.7
    assert {part.score for part in thing.parts} == {0.4, 0.7}
    (thing,) = standing_things(labels_of(views(4), WIDE, (of_one[1],)), CONFIG)
    assert thing.score == 0.7 and not thing.parts


def test_a_middle_beside_all_pieces_is_a_thing_by_itself() -> None:
    far = middle(CENTER + np.array([0.12, -0.12, 0.0]), 0.5)
    things = standing_things(labels_of(views(4), WIDE, (far,)), CONFIG)
    assert len(things) == 2 and things[1] is far


def test_where_silhouettes_of_two_things_cross_nothing_stands() -> None:
    places = CENTER + np.array([[-0.06, -0.06, 0.0], [0.06, 0.06, 0.0]])
    eyes = CENTER + np.array([[0.5, 0.0, 0.06], [0.0, 0.5, 0.06]])
    seen = labels_of([render(look_at(eye, CENTER), centers=places) for eye in eyes], TABLE)
    everywhere = replace(CONFIG, instances=replace(CONFIG.instances, min_new=0.0))
    assert len(standing_things(seen, everywhere)) == 4, "two where the silhouettes of different things cross"
    things = standing_things(seen, CONFIG)
    assert len(things) == 2
    for thing, center in zip(sorted(things, key=lambda t: t.box.T_world_box[1, 3]), places, strict=True):
        assert_about(thing.box, center, SIZE, 0.02)


def test_all_things_of_a_table_get_a_region_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_search, "label_region", lambda _, seen, region, *rest: labels_of(seen, region))
    search = region_search.RegionSearch(InstanceNetwork((8, 12, 16, 20)), CONFIG)  # what it finds is given
    boxes = search.all(pair_views(), Prompts(), None)
    assert len(boxes) == 2
    for box, center in zip(sorted(boxes, key=lambda b: b.T_world_box[1, 3]), PAIR, strict=True):
        assert_about(box, center, SIZE * (1 + 2 * CONFIG.instances.growth), 0.02)
