# mypy: no-check-untyped-defs
"""Masks and depth of captures in the files that people have: read as they are meant, or refused by name."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from capture_files import VIEWS, capture, refused

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.io.capture_readers import read_capture


def with_masks(folder, encode):
    masks = [view.mask for view in VIEWS]
    capture(folder, [replace(view, depth=None) for view in VIEWS])
    for index, mask in enumerate(masks):
        cv2.imwrite(str(folder / f"images/{index:04d}_mask.png"), encode(mask))
    return folder, masks


@pytest.mark.parametrize(
    "encode",
    [
        lambda mask: mask.astype(np.uint8),
        lambda mask: mask.astype(np.uint8) * 3,
        lambda mask: mask.astype(np.uint16),
        lambda mask: mask[..., None] * np.array([0, 90, 0], np.uint8),
        lambda mask: mask[..., None] * np.array([200, 200, 200], np.uint8),
    ],
)
def test_a_mask_of_one_label_is_the_object(tmp_path, encode):
    folder, masks = with_masks(tmp_path, encode)
    for view, mask in zip(read_capture(folder), masks, strict=True):
        np.testing.assert_array_equal(view.mask, mask)


def test_a_mask_of_several_labels_or_of_all_but_the_object_is_refused(tmp_path):
    def labels(mask):
        picture = mask.astype(np.uint8)
        picture[:4, :4] = 2
        return picture

    refused(with_masks(tmp_path, labels)[0], "2 labels (1, 2)", "mask.png")

    def inverted(mask):
        picture = np.full(mask.shape, 255, np.uint8)
        picture[10:40, 10:40] = 0
        return picture

    refused(with_masks(tmp_path, inverted)[0], "borders", "invert")


def with_depth(folder, encode, ending="png", **top):
    def named(entry):
        entry["depth_file_path"] = entry["depth_file_path"].replace("png", ending)

    capture(folder, VIEWS, named, **top)
    for index, view in enumerate(VIEWS):
        encode(folder / f"images/{index:04d}_depth.{ending}", view.depth)
    return folder


@pytest.mark.parametrize(
    ("encode", "ending"),
    [
        (lambda path, depth: np.save(path, depth), "npy"),
        (lambda path, depth: np.save(path, (depth * 1000).round().astype(np.int32)), "npy"),
        (lambda path, depth: cv2.imwrite(str(path), np.where(depth > 0, depth, np.nan)), "tif"),
    ],
)
def test_depth_in_other_files_is_the_same_depth(tmp_path, encode, ending):
    for view, other in zip(read_capture(with_depth(tmp_path, encode, ending)), VIEWS, strict=True):
        np.testing.assert_allclose(view.depth, other.depth, atol=0.6e-3)


def test_depth_of_a_smaller_sensor_takes_the_nearest_pixel(tmp_path):
    def half(path, depth):
        cv2.imwrite(str(path), (depth[::2, ::2] * 1000).round().astype(np.uint16))

    for view, other in zip(read_capture(with_depth(tmp_path, half)), VIEWS, strict=True):
        np.testing.assert_allclose(view.depth[::2, ::2], other.depth[::2, ::2], atol=0.6e-3)
        assert view.depth.shape == other.depth.shape


def test_depth_in_a_unit_that_is_not_stated_is_refused_with_the_unit_that_fits(tmp_path):
    def fifths(path, depth):
        cv2.imwrite(str(path), (depth * 5000).round().astype(np.uint16))

    refused(with_depth(tmp_path, fifths), '"integer_depth_scale": 0.0002')
    for view, other in zip(read_capture(with_depth(tmp_path, fifths, integer_depth_scale=2e-4)), VIEWS, strict=True):
        np.testing.assert_allclose(view.depth, other.depth, atol=0.6e-3)


def test_floating_point_millimetres_and_a_missing_decoder_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    refused(with_depth(tmp_path, lambda path, depth: np.save(path, depth * 1000), "npy"), "metres", "1000")
    refused(
        with_depth(tmp_path, lambda path, depth: path.write_bytes(b"v/1\x01"), "exr"),
        "pip install 'mvgamba_ros[exr]'",
        code=ErrorCode.MISSING_PACKAGE,
    )
