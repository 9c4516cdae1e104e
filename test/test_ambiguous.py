"""Which thing is meant where one object is requested and several stand in the region."""

from __future__ import annotations

import pickle
from typing import NoReturn

import numpy as np
import pytest
from rendered import CENTER, PAIR, SIZE, labels_of, pair_views

from mvgamba_ros.config.instances_config import InstancesConfig
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.world_origin import move_views, near_origin
from mvgamba_ros.segmentation.multiview import region_search
from mvgamba_ros.segmentation.multiview.instance_network import InstanceNetwork
from mvgamba_ros.segmentation.multiview.meant_thing import meant
from mvgamba_ros.segmentation.multiview.region_labels import Thing
from mvgamba_ros.types import Prompts

VIEWS = pair_views(3)
NOTHING, RIVAL = Prompts(), InstancesConfig().rival


def thing(center: np.ndarray, score: float = 0.9) -> Thing:
    return Thing(scaled_box(center - SIZE / 2, center + SIZE / 2, 1.0), score)


def chosen(things: list[Thing], prompts: Prompts = NOTHING, rival: float | None = RIVAL) -> Thing:
    return meant(things, VIEWS, prompts, CENTER, rival)


BOTH = [thing(PAIR[0]), thing(PAIR[1], 0.8)]


def test_two_that_could_be_meant_are_named_with_their_boxes_and_the_remedy() -> None:
    with pytest.raises(ReconstructionError) as raised:
        chosen(BOTH)
    error = raised.value
    assert error.code is ErrorCode.AMBIGUOUS
    for center in PAIR:
        assert f"0.070 x 0.060 x 0.090 m at ({', '.join(f'{x:.3f}' for x in center)}) m" in error.message
    assert all(words in error.message for words in ("region of interest", "pixel box", "point", "--all"))
    np.testing.assert_allclose([box.T_world_box[:3, 3] for box in error.boxes], PAIR)
    again = pickle.loads(pickle.dumps(error))
    assert len(again.boxes) == 2 and again.message == error.message


def test_the_search_for_one_object_ends_where_two_could_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_search, "label_region", lambda _, views, region, *rest: labels_of(views, region))
    search = region_search.RegionSearch(
        InstanceNetwork((8, 12, 16, 20)), SegmentationConfig()
    )  # what it finds is given
    with pytest.raises(ReconstructionError) as raised:
        search.one(VIEWS, Prompts(), None)
    assert raised.value.code is ErrorCode.AMBIGUOUS
    found = sorted(raised.value.boxes, key=lambda box: box.T_world_box[1, 3])
    for box, center in zip(found, PAIR, strict=True):
        assert np.abs(box.T_world_box[:2, 3] - center[:2]).max() < 0.02


def test_the_one_in_the_middle_is_meant_and_one_that_is_hardly_seen_is_no_rival() -> None:
    assert chosen([thing(PAIR[0]), thing(CENTER), thing(PAIR[1])]).box.T_world_box[1, 3] == CENTER[1]
    assert chosen([thing(PAIR[0], 0.9), thing(PAIR[1], 0.3)]).score == 0.9
    assert chosen(BOTH, rival=None).score == 0.9


def test_two_peaks_of_one_thing_are_no_rivals() -> None:
    beside = CENTER + np.array([0.02, 0.0, 0.0])
    assert chosen([thing(CENTER), thing(beside)]).box.T_world_box[0, 3] == CENTER[0]


@pytest.mark.parametrize("number", [0, 1])
def test_a_point_or_a_pixel_box_on_one_names_it(number: int) -> None:
    pixel = project(VIEWS[2].camera, VIEWS[2].T_world_camera, PAIR[number][None])[0][0]
    point = np.array([[pixel[0] + 6.0, pixel[1] - 9.0, 1.0]])  # on it, off its middle
    assert chosen(BOTH, Prompts(points={2: point})) is BOTH[number]
    assert chosen(BOTH, Prompts(pixel_boxes={2: (*pixel - 30, *pixel + 30)})) is BOTH[number]


def test_a_point_off_the_object_names_none() -> None:
    pixel = project(VIEWS[0].camera, VIEWS[0].T_world_camera, PAIR[0][None])[0][0]
    with pytest.raises(ReconstructionError):
        chosen(BOTH, Prompts(points={0: np.array([[*pixel, 0.0]])}))


def test_far_from_the_origin_the_boxes_are_in_the_world() -> None:
    far = np.array([4.0e6, 0.0, 0.0])

    def work(near: object, prompts: Prompts) -> NoReturn:
        chosen(BOTH)
        raise AssertionError

    with pytest.raises(ReconstructionError, match="relative to") as raised:
        near_origin(work, move_views(VIEWS, far), Prompts(), ViewsConfig())
    assert raised.value.boxes[0].T_world_box[0, 3] == pytest.approx(PAIR[0][0] + 4.0e6, abs=1.0)
