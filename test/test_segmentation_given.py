"""Masks that come with the views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rendered import views

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.segmentation.given import GivenMasks
from mvgamba_ros.types import Prompts

SCENE = views(2)


def test_the_views_masks_are_answered() -> None:
    for mask, view in zip(GivenMasks()(SCENE, Prompts()).masks, SCENE, strict=True):
        assert view.mask is not None
        assert (mask == view.mask).all()


@pytest.mark.parametrize(
    ("mask", "code"),
    [
        (None, ErrorCode.BAD_MASK),
        (np.ones((3, 5), bool), ErrorCode.BAD_MASK),
        (np.zeros(SCENE[1].image.shape[:2], bool), ErrorCode.EMPTY_SILHOUETTE),
    ],
)
def test_a_view_without_a_usable_mask_is_named(mask: np.ndarray | None, code: ErrorCode) -> None:
    with pytest.raises(ReconstructionError) as caught:
        GivenMasks()([SCENE[0], replace(SCENE[1], mask=mask)], Prompts())
    assert caught.value.code == code
    assert "view 1" in caught.value.message
