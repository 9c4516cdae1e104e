"""The object in one photo: which means finds it, and when none does; where it is put for the networks."""

from __future__ import annotations

import hashlib
import importlib.machinery
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate import matting
from mvgamba_ros.generate.cutout import Cutout, recentre
from mvgamba_ros.generate.matting import cut_out
from mvgamba_ros.generate.matting_config import MattingConfig
from mvgamba_ros.generate.plain_background import plain_background_alpha
from mvgamba_ros.segmentation.sam_network import PixelPrompt
from mvgamba_ros.types import F32, U8, Bool

HEIGHT, WIDTH = 240, 320


def mug() -> Bool:
    """A body with a handle, whose hole shows the background."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.rectangle(drawn, (90, 60), (190, 190), 255, -1)
    cv2.circle(drawn, (195, 120), 40, 255, 14)
    return drawn > 0


def photo(background: np.ndarray | float, noise: float = 2.0, color: tuple[int, int, int] = (150, 60, 50)) -> U8:
    """A mug with light from one side."""
    rng = np.random.default_rng(0)
    shading = np.linspace(1.2, 0.6, WIDTH)[None, :, None]
    scene = np.where(mug()[..., None], np.array(color) * shading, background) + rng.normal(0, noise, (HEIGHT, WIDTH, 3))
    return scene.clip(0, 255).astype(np.uint8)


def falling_light() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (210 - 60 * y / HEIGHT - 40 * (x / WIDTH - 0.3) ** 2)[..., None] * np.array([1.0, 0.97, 0.92])


def stripes() -> np.ndarray:
    return np.where(np.mgrid[:HEIGHT, :WIDTH][1] // 12 % 2, 200.0, 90.0)[..., None] * np.ones(3)


def mottled() -> np.ndarray:
    spots = np.random.default_rng(1).integers(0, 255, (9, 9, 3)).astype(np.float32)
    return np.asarray(cv2.resize(spots, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))


def overlap(found: Bool) -> float:
    truth = mug()
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("background", [255.0, 120.0, falling_light()], ids=["white", "grey", "falling light"])
def test_an_object_before_a_plain_background_is_found_with_the_hole_in_its_handle(background) -> None:
    cutout = cut_out(photo(background))
    assert overlap(cutout.mask) > 0.97
    assert not cutout.mask[115:125, 200:215].any()
    assert cutout.source == "the plain background's colours"


def test_a_large_photo_is_cut_out_at_its_own_size() -> None:
    large = cv2.resize(photo(240.0), (3 * WIDTH, 3 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(plain_background_alpha(large), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    assert overlap(small > 0.5) > 0.95


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (photo(mottled()), r"colours of its frame stray by \d+ .*at most 15"),
        (photo(stripes()), r"% of its frame are of other colours"),
        (np.roll(photo(250.0), 90, 0), r"% of its frame are of other colours.*reaches its edge"),
        (np.full((HEIGHT, WIDTH, 3), 90, np.uint8), "nothing stands out"),
    ],
    ids=["mottled", "stripes", "cut off", "nothing"],
)
def test_a_frame_that_is_no_background_is_refused_with_what_to_do(picture: U8, words: str) -> None:
    with pytest.raises(ReconstructionError, match=words) as caught:
        cut_out(picture, what="cup.jpg")
    assert caught.value.code is ErrorCode.EMPTY_SILHOUETTE
    assert "cup.jpg" in caught.value.message and "rembg" in caught.value.message


def test_an_alpha_channel_is_taken_as_it_is_and_an_opaque_one_is_none() -> None:
    alpha = np.where(mug(), 255, 0).astype(np.uint8)
    alpha[60, 90:190] = 100
    striped = np.dstack([photo(stripes()), alpha])
    cutout = cut_out(striped)
    assert cutout.source == "the alpha channel"
    np.testing.assert_array_equal(cutout.alpha, (alpha / np.float32(255.0)).astype(np.float32))
    opaque = np.dstack([photo(255.0), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    assert cut_out(opaque).source == "the plain background's colours"
    faint = np.dstack([photo(255.0), np.full(alpha.shape, 250, np.uint8)])  # it cuts nothing out
    assert cut_out(faint).source == "the plain background's colours"
    with pytest.raises(ReconstructionError, match="has no alpha channel"):
        cut_out(photo(255.0), by="alpha")


def test_a_setting_at_an_end_of_its_range_gives_an_object_or_a_refusal() -> None:
    picture = photo(falling_light())[::2, ::2]
    for field in fields(MattingConfig):
        for end in ("low", "high"):
            config = replace(MattingConfig(), **{field.name: type(field.default)(field.metadata[end])})
            check_bounds(config)
            try:
                assert plain_background_alpha(picture, config=config).shape == picture.shape[:2]
            except ReconstructionError as error:
                assert error.code is ErrorCode.EMPTY_SILHOUETTE


@pytest.fixture
def rembg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A stand-in of the package, and the folder of its weights."""
    module = ModuleType("rembg")
    module.__spec__ = importlib.machinery.ModuleSpec("rembg", None)
    module.new_session = lambda name: SimpleNamespace(name=name)  # type: ignore[attr-defined]
    module.remove = lambda rgb, session, only_mask: np.where(mug(), 250, 3).astype(np.uint8)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rembg", module)
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    matting._rembg.cache_clear()
    yield tmp_path
    matting._rembg.cache_clear()


def test_rembg_is_used_where_it_and_its_weights_are_there(rembg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut_out(photo(255.0)).source == "the plain background's colours"
    weights = rembg / "isnet-general-use.onnx"
    weights.write_bytes(b"network")
    monkeypatch.setattr(matting, "MODEL_MD5", hashlib.md5(b"network").hexdigest())
    cutout = cut_out(photo(stripes()))
    assert cutout.source == "ISNet (rembg)" and overlap(cutout.mask) == 1.0


@pytest.mark.parametrize("content", [None, b"another network"])
def test_weights_that_rembg_would_download_are_refused_with_the_command(rembg: Path, content: bytes | None) -> None:
    if content is not None:
        (rembg / "isnet-general-use.onnx").write_bytes(content)
    with pytest.raises(ReconstructionError, match="run `rembg d isnet-general-use`") as caught:
        cut_out(photo(255.0), by="rembg")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT


def test_a_missing_rembg_is_answered_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rembg", None)
    matting._rembg.cache_clear()
    with pytest.raises(ReconstructionError, match=r"pip install 'rembg\[cpu\]'") as caught:
        cut_out(photo(255.0), by="rembg")
    assert caught.value.code is ErrorCode.MISSING_PACKAGE


class Network:
    """A `SamNetwork` that answers what lies in the box it is prompted with."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def embed(self, image: U8) -> tuple[int, ...]:
        return image.shape[:2]

    def predict(self, embedding: tuple[int, ...], prompt: PixelPrompt) -> tuple[F32, F32]:
        assert prompt.box is not None and prompt.labels.tolist() in ([], [1])
        mask = np.zeros(embedding, bool)
        x0, y0, x1, y1 = np.round(prompt.box).astype(int)
        mask[y0:y1, x0:x1] = True
        return np.where(mask & mug(), 5.0, -5.0).astype(np.float32)[None], np.array([0.9], np.float32)


def test_segment_anything_gets_a_box_of_the_photo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkpoint = tmp_path / "sam.pth"
    checkpoint.write_bytes(b"weights")
    monkeypatch.setattr("mvgamba_ros.segmentation.sam._load", lambda path, device: Network(path))
    whole = cut_out(photo(stripes()), sam_checkpoint=str(checkpoint))
    assert whole.source == "Segment Anything" and overlap(whole.mask) == 1.0
    part = cut_out(photo(stripes()), sam_checkpoint=str(checkpoint), pixel_box=(80, 50, 150, 200))
    assert part.mask[60:190, 90:150].all() and not part.mask[:, 150:].any()


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ReconstructionError, match="uint8 is expected") as caught:
        cut_out(bad)
    assert caught.value.code is ErrorCode.BAD_IMAGE


def test_a_recentred_object_fills_all_but_the_border_and_leads_back_to_its_picture() -> None:
    square = recentre(cut_out(photo(255.0)), 256, 0.2)
    rows, columns = np.nonzero(square.cutout.mask)
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    assert abs(extent - 0.8 * 256) <= 2
    assert abs(rows.min() + rows.max() - 255) <= 2 and abs(columns.min() + columns.max() - 255) <= 2
    corners = np.array([[columns.min(), rows.min(), 1.0], [columns.max() + 1, rows.max() + 1, 1.0]])
    there = corners @ square.T_picture_square.T
    expected = np.nonzero(mug())
    assert np.abs(there[:, 1] - [expected[0].min(), expected[0].max() + 1]).max() < 1.5
    assert np.abs(there[:, 0] - [expected[1].min(), expected[1].max() + 1]).max() < 1.5
    white = square.cutout.on(1.0)
    assert (white[0] == 1.0).all() and white[128, 100].max() < 0.8


def test_no_background_bleeds_into_a_recentred_objects_border() -> None:
    rgb = np.where(mug()[..., None], [200, 40, 40], [0, 255, 0]).astype(np.uint8)
    square = recentre(Cutout(rgb, mug().astype(np.float32), "made up"), 97, 0.2).cutout
    covered = square.alpha > 0.02
    assert square.rgb[covered][:, 1].max() <= 41


@pytest.mark.parametrize(
    ("alpha", "code"),
    [
        (np.full((4, 4), np.nan, np.float32), ErrorCode.BAD_MASK),
        (np.full((4, 4), 1.5, np.float32), ErrorCode.BAD_MASK),
        (np.ones((4, 5), np.float32), ErrorCode.BAD_MASK),
        (np.zeros((4, 4), np.float32), ErrorCode.EMPTY_SILHOUETTE),
    ],
)
def test_an_alpha_that_is_none_is_refused(alpha: np.ndarray, code: ErrorCode) -> None:
    with pytest.raises(ReconstructionError) as caught:
        Cutout(np.zeros((4, 4, 3), np.uint8), alpha, "made up")
    assert caught.value.code is code
