"""Image messages to arrays and back: what drivers send is read right or refused by name."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage, Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.images import (
    COLOR_ENCODINGS,
    array_to_image,
    compressed_to_depth,
    compressed_to_rgb,
    image_to_depth,
    image_to_mask,
    image_to_rgb,
)

pytestmark = pytest.mark.ros


def encode(rgb: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """An Image as a driver would fill it, from the encoding's own definition, with ``padding`` bytes at each row."""
    height, width = rgb.shape[:2]
    wide = encoding.endswith("16")
    if encoding.startswith("bayer"):
        pattern = encoding[6:10]
        pixels = np.zeros((height, width), np.uint8)
        for i, letter in enumerate(pattern):
            row, column = divmod(i, 2)
            pixels[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    elif encoding in GREY:
        pixels = rgb[..., 0]
    elif encoding in YUV:
        pixels = YUV[encoding](*luma_chroma(rgb))
    else:
        alpha = np.full((height, width), 7, np.uint8)
        planes = {"r": rgb[..., 0], "g": rgb[..., 1], "b": rgb[..., 2], "a": alpha}
        pixels = np.stack([planes[letter] for letter in encoding.rstrip("0123456789")], axis=-1)
    if wide:
        pixels = pixels.astype(np.uint16) << 8 | 77
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.concatenate([rows, np.full((len(rows), padding), 99, np.uint8)], axis=1)
    return Image(height=height, width=width, encoding=encoding, step=rows.shape[1], data=rows.tobytes())


def luma_chroma(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, U, V of BT.601 in video range."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return tuple(plane.round().astype(np.uint8) for plane in (y, u, v))  # type: ignore[return-value]


def packed(y: np.ndarray, u: np.ndarray, v: np.ndarray, luma_first: bool) -> np.ndarray:
    chroma = u.copy()
    chroma[:, 1::2] = v[:, ::2]
    return np.stack([y, chroma] if luma_first else [chroma, y], axis=-1)


def planar(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    chroma = np.stack([first[::2, ::2], second[::2, ::2]], axis=-1).reshape(len(y) // 2, -1)
    return np.concatenate([y, chroma])


GREY = ("mono8", "mono16", "8UC1")
YUV = {
    "yuv422": lambda y, u, v: packed(y, u, v, False),
    "uyvy": lambda y, u, v: packed(y, u, v, False),
    "yuv422_yuy2": lambda y, u, v: packed(y, u, v, True),
    "yuyv": lambda y, u, v: packed(y, u, v, True),
    "nv12": lambda y, u, v: planar(y, u, v),
    "nv21": lambda y, u, v: planar(y, v, u),
}


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_every_listed_encoding_gives_back_the_colour_it_was_made_from(encoding, padding):
    rgb = np.empty((12, 16, 3), np.uint8)
    rgb[:] = (200, 200, 200) if encoding in GREY else (200, 90, 30)
    difference = image_to_rgb(encode(rgb, encoding, padding)).astype(int) - rgb
    assert np.abs(difference).max() <= (2 if encoding in YUV else 0)


def test_a_bayer_image_keeps_edges_where_they_are():
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:, 8:] = (250, 120, 40)
    decoded = image_to_rgb(encode(rgb, "bayer_rggb8"))
    np.testing.assert_allclose(decoded[4:12, [1, 2, 12, 13]], rgb[4:12, [1, 2, 12, 13]], atol=2)


@pytest.mark.parametrize(
    ("encoding", "remedy"),
    [
        ("nv24", "rgb8"),
        ("", "rgb8"),
        ("8UC3", "publish it as rgb8 or bgr8"),
        ("16UC1", "remap `image` to the colour topic"),
        ("32FC1", "remap `image` to the colour topic"),
    ],
)
def test_an_encoding_that_cannot_be_read_is_refused_by_name_with_what_to_do(encoding, remedy):
    message = Image(height=2, width=2, step=12, encoding=encoding, data=bytes(24))
    with pytest.raises(ReconstructionError, match=f"'{encoding}'.*{remedy}") as caught:
        image_to_rgb(message)
    assert caught.value.code is ErrorCode.BAD_ENCODING


def test_twelve_bits_in_sixteen_are_not_taken_for_a_dark_picture():
    message = array_to_image(np.full((4, 4), 4011, np.uint16), "mono16")
    with pytest.raises(ReconstructionError, match=r"above 4011 of 65535.*scaled to 16") as caught:
        image_to_rgb(message)
    assert caught.value.code is ErrorCode.BAD_IMAGE


def test_colours_that_pixels_share_need_even_sides():
    with pytest.raises(ReconstructionError, match="5 x 3 is no size of nv12") as caught:
        image_to_rgb(Image(height=3, width=5, step=5, encoding="nv12", data=bytes(40)))
    assert caught.value.code is ErrorCode.BAD_IMAGE


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


def test_a_compressed_image_of_16_bits_keeps_its_colours_or_is_refused_as_of_12():
    rgb = np.empty((32, 32, 3), np.uint16)
    rgb[:] = (180 << 8, 60 << 8, 20 << 8)
    whole, dark = (cv2.imencode(".png", pixels[..., ::-1])[1].tobytes() for pixels in (rgb, rgb >> 6))
    np.testing.assert_array_equal(compressed_to_rgb(CompressedImage(format="png", data=whole)), rgb >> 8)
    with pytest.raises(ReconstructionError, match="12 bits") as caught:
        compressed_to_rgb(CompressedImage(format="png", data=dark))
    assert caught.value.code is ErrorCode.BAD_IMAGE


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


def compressed_depth(pixels, format_, a=0.0, b=0.0):
    """As compressed_depth_image_transport writes it."""
    png = cv2.imencode(".png", pixels)[1].tobytes()
    return CompressedImage(format=format_, data=struct.pack("<iff", 0, a, b) + png)


def test_compressed_depth_is_read_in_millimetres_and_in_quantised_inverse_metres():
    metres = np.array([[0.5, 1.25], [0.0, 2.0]], np.float32)
    whole = compressed_depth((metres * 1000).astype(np.uint16), "16UC1; compressedDepth png")
    np.testing.assert_allclose(compressed_to_depth(whole), metres, atol=1e-6)
    a, b = 100.0 * 101.0, 1.0 - 100.0 * 101.0 / 10.0  # of depth_quantization 100 and depth_max 10
    quantised = np.where(metres > 0, a / np.maximum(metres, 1e-9) + b, 0).round().astype(np.uint16)
    found = compressed_to_depth(compressed_depth(quantised, "32FC1; compressedDepth png", a, b))
    np.testing.assert_allclose(found, metres, rtol=1e-3)


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (CompressedImage(format="16UC1; compressedDepth rvl", data=bytes(40)), "set the publisher's .* to png"),
        (CompressedImage(format="jpeg", data=bytes(40)), "'jpeg' is not '16UC1; compressedDepth png'"),
        (CompressedImage(format="16UC1; compressedDepth png", data=bytes(40)), "hold no PNG of 16 bits"),
        (CompressedImage(format="16UC1; compressedDepth png", data=b""), "0 bytes hold no PNG"),
    ],
)
def test_other_compressed_depth_is_refused_with_what_to_do(message, remedy):
    with pytest.raises(ReconstructionError, match=remedy) as caught:
        compressed_to_depth(message)
    assert caught.value.code is ErrorCode.BAD_DEPTH


@pytest.mark.parametrize(("encoding", "dtype"), [("mono8", np.uint8), ("mono16", np.uint16), ("16UC1", np.uint16)])
def test_labels_of_any_instance_are_the_mask(encoding, dtype):
    labels = np.array([[0, 1], [np.iinfo(dtype).max, 0]], dtype)
    np.testing.assert_array_equal(image_to_mask(array_to_image(labels, encoding)), labels > 0)
