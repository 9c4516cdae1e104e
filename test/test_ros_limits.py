"""What is too large is refused by its header, and a failure keeps nothing of the work that failed: without a node."""

from __future__ import annotations

import zlib
from typing import Any
from weakref import ref

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.clock import Clock
from ros_messages import SECOND, SHARP, STILL, at, info, parameters, photo, transforms
from sensor_msgs.msg import CompressedImage, Image
from test_claims_ros_capture import Topics, newest

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions import posed_view
from mvgamba_ros.ros.conversions.posed_view import make_view
from mvgamba_ros.ros.failures import MOST_CHARACTERS, Failures
from mvgamba_ros.ros.health import Health
from mvgamba_ros.ros.view_capture import Capture

pytestmark = pytest.mark.ros


def png(width: int, height: int) -> bytes:
    """A grey picture of one colour, written row by row, so that its pixels need no memory here."""
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(width + 1)) for _ in range(height)) + packed.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def compressed(data: bytes, seconds: float = 10.0) -> CompressedImage:
    return at(CompressedImage(format="png", data=data), seconds)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("a picture that is refused by its size was decoded"))


@pytest.mark.usefixtures("no_decoding")
def test_a_small_file_of_many_pixels_is_refused_by_its_header() -> None:
    bomb = png(4000, 3000)
    assert len(bomb) < 20_000  # and 12 million pixels
    topics = Topics(image=[compressed(bomb)], camera_info=[info(10.0)])
    for most, code, words in (
        (1.0, ErrorCode.BAD_IMAGE, "12.0 megapixels, max_view_megapixels is 1"),
        (25.0, ErrorCode.BAD_CAMERA_INFO, "is for 32 x 24 px .* the image has 4000 x 3000"),
    ):
        with pytest.raises(ReconstructionError, match=words) as caught:
            newest(topics, max_view_megapixels=most)
        assert caught.value.code is code


@pytest.mark.usefixtures("no_decoding")
def test_the_image_before_is_not_decoded_to_compare_where_its_size_is_another() -> None:
    topics = Topics(image=[compressed(png(4000, 3000), 9.9), photo(10.0)], camera_info=[info(10.0)])
    assert newest(topics).stamp == 10 * SECOND


def test_a_picture_that_exif_turns_fits_the_camera_info_of_the_turned_one() -> None:
    from io import BytesIO

    from PIL import Image as Picture

    upright = Picture.fromarray(np.ascontiguousarray(SHARP.transpose(1, 0, 2)))
    exif, file = Picture.Exif(), BytesIO()
    exif[0x0112] = 6
    upright.save(file, "JPEG", exif=exif)
    view = make_view(CompressedImage(format="jpeg", data=file.getvalue()), info(10.0), np.eye(4))
    assert view.image.shape == (24, 32, 3)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warning = self.error = self.lines.append


class Pixels(np.ndarray):
    """An array that can be watched."""


def fail_with(error: Exception) -> tuple[ref[Pixels], Exception]:
    """An exception as it comes from work on a picture, which its traceback keeps, and that picture."""
    picture = np.zeros((4, 4)).view(Pixels)
    watched = ref(picture)
    try:
        raise error
    except Exception as caught:
        return watched, caught


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ReconstructionError(ErrorCode.BAD_MASK, "the mask"), ErrorCode.BAD_MASK),
        (ValueError("the mask"), ErrorCode.INTERNAL),
        (MemoryError("the mask"), ErrorCode.INTERNAL),
    ],
)
def test_a_failure_keeps_its_words_and_nothing_of_the_work(error: Exception, code: ErrorCode) -> None:
    watched, caught = fail_with(error)
    assert watched() is not None
    health, log = Health(), Log()
    noted = Failures(log, health).note("reconstruct", caught)
    assert watched() is None  # without waiting for a garbage collection
    assert (noted.code, health.last_error) == (code, noted) and "the mask" in noted.message
    assert noted.__traceback__ is None and noted.__context__ is None
    assert ("(a bug" in noted.message) == isinstance(error, ValueError)


def test_what_a_request_says_neither_fills_the_log_nor_writes_lines_into_it() -> None:
    log = Log()
    failures = Failures(log, Health())
    noted = failures.note("capture_view", ReconstructionError(ErrorCode.BAD_ENCODING, "x" * 10_000_000 + "the end"))
    assert len(noted.message) < 2 * MOST_CHARACTERS and noted.message.endswith("the end")
    failures.note("save", ReconstructionError(ErrorCode.BAD_OPTION, "id\n[INFO] all is well\x1b[2J \udcff"))
    assert log.lines[-1] == "save: BAD_OPTION: id [INFO] all is well [2J ?"


def test_a_capture_that_fails_leaves_its_images_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for a garbage collection: it tries 50 times a second."""
    images: list[ref[Pixels]] = []

    def to_rgb(*_: Any) -> Any:
        images.append(ref(kept := SHARP.view(Pixels)))
        return kept

    monkeypatch.setattr(posed_view, "to_rgb", to_rgb)
    topics = Topics(image=[photo(10.0)], camera_info=[info(10.0)])
    made = parameters(min_sharpness=1e9)
    capture = Capture(topics, transforms(*STILL), lambda: made, lambda: 10 * SECOND)  # type: ignore[arg-type]
    with pytest.raises(ReconstructionError) as caught:
        capture.newest_good_view()
    assert caught.value.code is ErrorCode.BLURRED_IMAGE
    caught.value.__traceback__ = None
    del caught
    assert images and all(image() is None for image in images)


def test_a_message_of_more_bytes_than_a_picture_may_have_is_not_kept_and_named() -> None:
    from mvgamba_ros.ros.inputs import Inputs

    callbacks: dict[str, Any] = {}

    class Node:
        def resolve_topic_name(self, topic: str) -> str:
            return f"/wrist/{topic}"

        def create_subscription(self, kind: Any, topic: str, callback: Any, qos: Any) -> None:
            callbacks[topic] = callback

        def get_clock(self) -> Any:
            return Clock()

    made = parameters(max_view_megapixels=0.001, image_transport="raw", use_depth=False, use_mask=False)
    inputs = Inputs(Node(), made, lambda why: None)  # type: ignore[arg-type]
    for width, kept, words in ((32, 1, ""), (4000, 1, "a message of 0 MB on /wrist/image was not kept"), (32, 2, "")):
        callbacks["image"](Image(data=bytes(width * 24 * 3)))
        assert len(inputs["image"].messages) == kept
        assert words in inputs.explain_silence("image", 2.0)
    callbacks["camera_info"](info(1.0))
    assert len(inputs["camera_info"].messages) == 1
