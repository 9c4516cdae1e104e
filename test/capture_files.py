# mypy: no-check-untyped-defs
"""Captures of tests: the rendered views that they are made of, how they are written, what reading them must give."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import rendered

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.capture_readers import picture_sizes, read_capture, recognising_reader
from mvgamba_ros.io.transforms_json import write_capture

VIEWS = [rendered.render(T, 64, 48) for T in rendered.orbit(3)]
PLAIN = [replace(view, mask=None, depth=None) for view in VIEWS]
K = VIEWS[0].camera.K


def capture(folder, views=PLAIN, frame=None, **top):
    """A capture whose frames ``frame`` edits, with ``top`` for the whole file in place of the frames' own."""
    path = write_capture(folder, views)
    content = json.loads(path.read_text())
    for entry in content["frames"]:
        for key in top:
            entry.pop(key, None)
        if frame:
            frame(entry)
    path.write_text(json.dumps({"frames": content["frames"], **top}))
    return folder


def same(views, others, reader=None, path=None):
    """Views are the others', whatever their names; and the path is recognised by ``reader`` alone."""
    if reader:
        assert recognising_reader(path) == reader
        assert picture_sizes(path) == [(view.camera.width, view.camera.height) for view in others]
    for view, other in zip(views, others, strict=True):
        np.testing.assert_array_equal(view.image, other.image)
        np.testing.assert_allclose(view.camera.K, other.camera.K, atol=1e-9)
        np.testing.assert_allclose(view.T_world_camera, other.T_world_camera, atol=1e-9)
        assert (view.mask is None) == (other.mask is None) and (view.depth is None) == (other.depth is None)
        if other.mask is not None:
            np.testing.assert_array_equal(view.mask, other.mask)
        if other.depth is not None:
            np.testing.assert_allclose(view.depth, other.depth, atol=0.6e-3)


def refused(path, *words, views_file="", code=ErrorCode.BAD_CAPTURE):
    with pytest.raises(ReconstructionError) as caught:
        read_capture(path, views_file)
    assert caught.value.code is code, caught.value.message
    assert all(word in caught.value.message for word in words), caught.value.message


def pictures(folder, views=VIEWS, name="{:04d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, view in enumerate(views):
        cv2.imwrite(str(folder / name.format(index)), view.image[..., ::-1])


def depths(folder, step, name="{:06d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, view in enumerate(VIEWS):
        cv2.imwrite(str(folder / name.format(index)), np.rint(view.depth / step).astype(np.uint16))
