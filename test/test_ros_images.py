"""Image messages to arrays and back: what drivers send is read right or refused by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage, Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.images import (
    COLOR_ENCODINGS,
    array_to_image,
    compressed_to_rgb,
    image_to_depth,
    image_to_mask,
    image_to_rgb,
)

pytestmark = pytest.mark.ros


def encode(rgb: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """An Image as a driver would fill it, from the encoding's own definition, with ``padding`` bytes at each row."""
    height, width = rgb.shape[:2]
    if encoding.startswith("bayer"):
        pattern = encoding[6:10]
        pixels = np.zeros((height, width), np.uint8)
        for i, letter in enumerate(pattern):
            row, column = divmod(i, 2)
            pixels[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    elif encoding == "mono8":
        pixels = rgb[..., 0]
    else:
        alpha = np.full((height, width), 7, np.uint8)
        planes = {"r": rgb[..., 0], "g": rgb[..., 1], "b": rgb[..., 2], "a": alpha}
        pixels = np.stack([planes[letter] for letter in encoding[:-1]], axis=-1)
    rows = pixels.reshape(height, -1)
    rows = np.concatenate([rows, np.full((height, padding), 99, np.uint8)], axis=1)
    return Image(height=height, width=width, encoding=encoding, step=rows.shape[1], data=rows.tobytes())


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_every_listed_encoding_gives_back_the_colour_it_was_made_from(encoding, padding):
    rgb = np.empty((12, 16, 3), np.uint8)
    rgb[:] = (200, 200, 200) if encoding == "mono8" else (200, 90, 30)
    np.testing.assert_array_equal(image_to_rgb(encode(rgb, encoding, padding)), rgb)


def test_a_bayer_image_keeps_edges_where_they_are():
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:, 8:] = (250, 120, 40)
    decoded = image_to_rgb(encode(rgb, "bayer_rggb8"))
    np.testing.assert_allclose(decoded[4:12, [1, 2, 12, 13]], rgb[4:12, [1, 2, 12, 13]], atol=2)


@pytest.mark.parametrize("encoding", ["yuv422", "8UC3", "16UC1", "", "rgb16"])
def test_an_encoding_that_is_not_listed_is_refused_by_name(encoding):
    message = Image(height=2, width=2, step=12, encoding=encoding, data=bytes(24))
    with pytest.raises(ReconstructionError, match=f"'{encoding}'.*rgb8") as caught:
        image_to_rgb(message)
    assert caught.value.code is ErrorCode.BAD_ENCODING


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 11}, "step 11 is less than the 12 bytes"),
        ({"data": bytes(47)}, "47 bytes of data.*needs 48"),
        ({"width": 0}, "empty"),
        ({"data": b""}, "0 bytes"),
    ],
)
def test_a_wrong_step_or_short_data_is_refused_with_its_numbers(change, said):
    fields = {"height": 4, "width": 4, "step": 12, "encoding": "rgb8", "data": bytes(48)} | change
    with pytest.raises(ReconstructionError, match=said) as caught:
        image_to_rgb(Image(**fields))
    assert caught.value.code is ErrorCode.BAD_IMAGE


def test_a_last_row_without_its_padding_is_enough():
    message = encode(np.full((4, 4, 3), 50, np.uint8), "rgb8", padding=4)
    message.data = message.data[:-4]
    assert (image_to_rgb(message) == 50).all()


@pytest.mark.parametrize(("extension", "format_"), [(".png", "rgb8; png compressed bgr8"), (".jpg", "jpeg")])
def test_compressed_images_keep_their_colours(extension, format_):
    rgb = np.empty((32, 32, 3), np.uint8)
    rgb[:] = (180, 60, 20)
    data = cv2.imencode(extension, rgb[..., ::-1])[1].tobytes()
    np.testing.assert_allclose(compressed_to_rgb(CompressedImage(format=format_, data=data)), rgb, atol=4)


def test_a_truncated_jpeg_and_an_unknown_codec_are_refused():
    with pytest.raises(ReconstructionError, match="do not decode") as caught:
        compressed_to_rgb(CompressedImage(format="jpeg", data=b"\xff\xd8\xff"))
    assert caught.value.code is ErrorCode.BAD_IMAGE
    with pytest.raises(ReconstructionError, match="'h264'") as caught:
        compressed_to_rgb(CompressedImage(format="h264", data=b"1234"))
    assert caught.value.code is ErrorCode.BAD_ENCODING


def test_depth_in_millimetres_and_in_metres_is_the_same_depth():
    metres = np.array([[0.5, 1.234], [0.0, 2.0]], np.float32)
    millimetres = (metres * 1000).round().astype(np.uint16)
    np.testing.assert_allclose(image_to_depth(array_to_image(metres, "32FC1")), metres)
    np.testing.assert_allclose(image_to_depth(array_to_image(millimetres, "16UC1")), metres, atol=1e-6)
    swapped = array_to_image(millimetres.astype(">u2"), "16UC1")
    swapped.is_bigendian = 1
    np.testing.assert_allclose(image_to_depth(swapped), metres, atol=1e-6)


def test_unknown_depth_is_zero_however_it_is_written():
    depth = image_to_depth(array_to_image(np.array([[np.nan, np.inf, -1.0, 0.7]], np.float32), "32FC1"))
    np.testing.assert_allclose(depth, [[0.0, 0.0, 0.0, 0.7]])
    with pytest.raises(ReconstructionError, match="REP-118") as caught:
        image_to_depth(array_to_image(np.zeros((2, 2), np.uint8), "mono8"))
    assert caught.value.code is ErrorCode.BAD_DEPTH


def test_a_mask_is_true_where_it_is_not_zero():
    mask = image_to_mask(array_to_image(np.array([[0, 1, 255]], np.uint8), "mono8"))
    assert mask.tolist() == [[False, True, True]]
    with pytest.raises(ReconstructionError) as caught:
        image_to_mask(array_to_image(np.zeros((2, 2, 3), np.uint8), "rgb8"))
    assert caught.value.code is ErrorCode.BAD_MASK
