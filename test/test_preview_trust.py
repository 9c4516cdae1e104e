"""The preview shows what of a mesh was seen, and how far it is expected to be off."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import rendered

from mvgamba_ros.io.results import report
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.preview import preview
from mvgamba_ros.reconstruction import PoseCorrection


def test_the_preview_shows_what_is_guessed_in_orange_and_expected_error_with_its_scale() -> None:
    """From the side where most is guessed, which is below; and without the rows where nothing is known of it."""
    views = rendered.views(4)
    result = reconstruct(views, Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=2000))
    picture = preview(views, result)
    row = picture[-(256 + 40 + 36) : -(40 + 36)]

    def orange(tile: np.ndarray) -> int:
        hue = cv2.cvtColor(np.ascontiguousarray(tile), cv2.COLOR_RGB2HSV)
        return int(((hue[..., 0] > 8) & (hue[..., 0] < 22) & (hue[..., 1] > 150)).sum())

    above, below = row[:, :320], row[:, 320:640]
    assert orange(below) > 1000 and orange(above) < orange(below) / 5
    everything = replace(result.mesh, seen=np.full(len(result.mesh.vertices), 4, np.uint8))
    assert orange(preview(views, replace(result, mesh=everything))[-(256 + 76) : -76, :640]) == 0
    flat = replace(result.mesh, expected_error_mm=np.full(len(result.mesh.vertices), 1.0, np.float32))
    shown = preview(views, replace(result, mesh=flat))[-(256 + 76) : -76, 640:960]
    yellow = (shown[60:].min(axis=2) < 60) & (shown[60:, :, 0] > 150)  # the end of the scale, which is 1 mm
    assert yellow.sum() > 1000
    bare = replace(result.mesh, seen=None, expected_error_mm=None)
    assert len(preview(views, replace(result, mesh=bare))) == len(picture) - 256 - 40


def test_a_view_that_was_left_out_is_shown_as_such_with_or_without_a_silhouette() -> None:
    views, nothing = rendered.views(4), np.zeros(4)
    result = reconstruct(views[:3], Options(method="hull", segmenter="masks", hull_resolution=32, cloud_points=500))
    correction = PoseCorrection(np.eye(4), 0.0, 0.0, nothing, nothing, float("inf"), 0.0, left_out=(3,))
    result = replace(result, masks=(*result.masks, np.zeros_like(result.masks[0])), poses=correction)
    assert result.view_count == 3 and report(result)["poses"]["residual_before_px"] is None  # JSON has no infinity
    tiles = preview(views, result)[:240].reshape(240, 4, 320, 3)
    assert tiles[30:, 3].min() >= 128 and (tiles[:30, 3] < 60).any()  # pale, with its text
    assert all(tiles[:, k].min() < 100 for k in range(3))
