"""Where a mask is, and how deep inside it a pixel lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mvgamba_ros.geometry.raster import depth_inside, part_around


def test_the_part_around_a_mask_ends_at_the_image() -> None:
    mask = np.zeros((20, 30), bool)
    mask[1:5, 10:12] = True
    assert part_around(mask, 3) == (slice(0, 8), slice(7, 15))
    assert part_around(np.zeros((20, 30), bool), 3) == (slice(None), slice(None))


@pytest.mark.parametrize("kind", [3, 5, cv2.DIST_MASK_PRECISE])
@pytest.mark.parametrize("where", [np.s_[5:12, 8:20], np.s_[0:12, 8:30], np.s_[0:20, 3:9], np.s_[19:, 29:]])
def test_depth_is_what_the_whole_image_gives(kind: int, where: tuple[slice, slice]) -> None:
    mask = np.zeros((20, 30), bool)
    mask[where] = True
    mask[10:12, 9:11] = False
    expected = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, kind)
    np.testing.assert_allclose(depth_inside(mask, kind), expected, rtol=1e-6)
    assert depth_inside(mask, kind).any()
