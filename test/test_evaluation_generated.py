"""`mvgamba eval --generated`: how well made-up shapes fit the words or the picture they were made of."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import oracle
import pytest
from generated_objects import bracket, photograph
from oracle import Oracle, canonical

from mvgamba_ros import registry
from mvgamba_ros.cli import main
from mvgamba_ros.evaluation.generated_shapes import (
    GeneratedShape,
    clip_scores,
    find_generated,
    orbit,
    orbit_pictures,
    photo_scores,
    read_generated,
)
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.types import Mesh

PINNED = "hf download openai/clip-vit-large-patch14 --revision 32bd64288804d66eefd0ccbe215aa642df71cc41"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bracket made of its picture and one made of words, by a generator that knows it."""
    folder = tmp_path_factory.mktemp("made")
    package = folder / "packages" / "oracle-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: oracle\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[mvgamba_ros.generators]\noracle = oracle:from_options\n")
    view = photograph(bracket(), elevation=0.0)
    assert view.mask is not None
    oracle.KNOWN["eval"] = Oracle(canonical(bracket(), view.T_world_camera), as_mesh=True)
    (folder / "it.png").write_bytes(encode_png(np.dstack([view.image, view.mask.astype(np.uint8) * 255])))
    out = folder / "shapes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(folder / "packages"), *sys.path])
        registry._installed.cache_clear()
        flags = ["--generator", "oracle", "--weights", "eval", "-o", str(out / "seen")]
        assert main(["generate", "--image", str(folder / "it.png"), *flags]) == 0
    registry._installed.cache_clear()
    subject = json.loads((out / "seen" / "report.json").read_text())["subject"]
    assert subject == {"words": "", "picture": "subject.png", "view": 0, "measured": False}
    of_words(out / "seen", out / "named", "a bracket")
    yield out


def of_words(made: Path, folder: Path, words: str) -> Path:
    """The same shape, as if it were made of ``words``."""
    shutil.copytree(made, folder)
    report = json.loads((folder / "report.json").read_text())
    report["subject"] = {"words": words, "picture": None, "view": None, "measured": False}
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def evaluated(*flags: str | Path) -> tuple[int, dict]:
    """The exit status, and scores.json in the last of ``flags``."""
    code = main(["eval", "--generated", *map(str, flags)])
    return code, json.loads((Path(flags[-1]) / "scores.json").read_text())


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Hugging Face cache without anything in it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_true_shape_fits_its_picture_and_what_has_no_weights_is_a_dash_with_its_command(
    made: Path, no_hub: None, no_lpips: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = evaluated(made, "-o", tmp_path)
    assert code == 0
    row = report["shapes"]["seen"]
    assert row["of"] == "picture" and row["iou"] > 0.9 and row["psnr_db"] > 15.0 and 0.5 < row["ssim"] <= 1.0
    assert report["shapes"]["named"] == {"of": "words"} and report["clip"] is None
    assert PINNED in report["not_measured"]["clip"] and "lpips" in report["not_measured"]
    table = capsys.readouterr().out
    (shown,) = [line for line in table.splitlines() if line.startswith("seen")]
    assert shown.split()[1:4] == ["picture", "-", "-"] and f"{row['psnr_db']:.2f}" in shown
    assert PINNED in table and "the side it was taken from" in table


def test_a_shape_on_its_side_fits_its_picture_less(made: Path) -> None:
    shape = read_generated(made / "seen")
    fallen = Mesh(shape.mesh.vertices[:, [0, 2, 1]], shape.mesh.faces[:, ::-1].copy(), shape.mesh.colors)
    wrong = GeneratedShape("fallen", fallen, None, "", shape.cutout, shape.view, False)
    assert photo_scores(wrong)["iou"] < photo_scores(shape)["iou"] - 0.2


def test_clips_pictures_show_a_shape_from_eight_sides_and_above(made: Path) -> None:
    mesh = read_generated(made / "named").mesh
    cameras = orbit(mesh)
    places = np.array([T[:3, 3] for _, T in cameras]) - 0.5 * (mesh.vertices.min(0) + mesh.vertices.max(0))
    turns = np.degrees(np.arctan2(places[:, 1], places[:, 0])) % 360.0
    np.testing.assert_allclose(np.sort(np.round(turns, 6) % 360.0), 45.0 * np.arange(8), atol=1e-6)
    np.testing.assert_allclose(np.degrees(np.arcsin(places[:, 2] / np.linalg.norm(places, axis=1))), 30.0)
    for camera, T in cameras:
        pixels, depth = project(camera, T, mesh.vertices)
        assert (depth > 0).all() and np.abs(pixels - 256).max() < 1.05 * 256  # a corner of a cube may stand out


class OneHot:
    """Stands for CLIP: texts and pictures are vectors that the test makes up."""

    def words(self, texts: list[str]) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[: len(texts)]


def test_the_score_is_the_mean_cosine_and_precision_the_share_of_views_that_find_their_words(made: Path) -> None:
    shape = read_generated(made / "named")
    cup, can = (GeneratedShape(name, shape.mesh, None, name, None, None, False) for name in ("cup", "can"))
    seen = np.tile(np.array([0.6, 0.8, 0.0], np.float32), (8, 1))
    seen[:6] = (0.8, 0.6, 0.0)
    first, second = clip_scores([cup, can], [seen, -seen], OneHot())  # type: ignore[arg-type]
    assert first == {"clip": pytest.approx(75.0), "r_precision": 0.75}
    assert second == {"clip": 0.0, "r_precision": 0.75}
    (alone,) = clip_scores([cup], [seen], OneHot())  # type: ignore[arg-type]
    assert "r_precision" not in alone


def test_clip_is_transformers_own_and_scores_words_and_pictures_apart(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="install the extra generate")
    import torch
    from tiny_clip import write_clip
    from transformers import CLIPModel

    from mvgamba_ros.generate.clip import load_clip

    weights = write_clip(tmp_path / "clip")
    clip = load_clip(str(weights), device="cpu")
    texts, pictures = ["a bracket", "long words " * 40], orbit_pictures(read_generated(made / "named"))[:2]
    network = CLIPModel.from_pretrained(weights).eval()
    tokens = clip.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    pixels = clip.processor(images=[(255 * p).round().astype(np.uint8) for p in pictures], return_tensors="pt")
    with torch.no_grad():
        theirs = network(**tokens, **pixels).logits_per_image / network.logit_scale.exp()
    np.testing.assert_allclose(clip.pictures(pictures) @ clip.words(texts).T, theirs.numpy(), atol=1e-5)

    again = of_words(made / "named", tmp_path / "another", "a tree")
    code, report = evaluated(made, again, "--clip-weights", weights, "--device", "cpu", "-o", tmp_path / "out")
    assert code == 0 and set(report["mean"]) == {"words", "picture"} and report["clip"]["checkpoint_sha256"]
    rows = report["shapes"]
    assert {name for name, row in rows.items() if "r_precision" in row} == {"named", "another"}
    assert rows["named"]["r_precision"] + rows["another"]["r_precision"] == 1.0  # the same pictures, other words
    assert all(0.0 <= row["clip"] <= 100.0 for row in rows.values())
    assert report["not_measured"]["r_precision"].startswith("needs shapes of at least two")


def test_a_folder_of_something_else_does_not_cost_the_others_their_scores(
    made: Path, no_hub: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.json").write_text('{"made_by": "mvgamba reconstruct"}')
    code, report = evaluated(made / "seen", tmp_path / "other", "-o", tmp_path / "out")
    assert code == 1 and report["shapes"]["seen"]["iou"] > 0.9
    (reason,) = report["failed"].values()
    assert "BAD_CAPTURE" in reason and "make the shape anew" in reason
    assert main(["eval", "--generated", str(tmp_path / "out"), "-o", str(tmp_path / "out")]) == 1
    assert "give folders that `mvgamba generate -o` wrote" in capsys.readouterr().err


def test_a_folder_that_is_named_twice_counts_once_and_the_one_here_has_its_name(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [folder.name for folder in find_generated([made, made / "seen", made])] == ["named", "seen"]
    monkeypatch.chdir(made / "seen")
    assert [folder.name for folder in find_generated([Path(), Path("../named")])] == ["seen", "named"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--generated", "--counts", "2"], "leave the others out"),
        (["--generated", "--method", "hull"], "leave the others out"),
        (["--fetch"], "need --generated"),
    ],
)
def test_flags_without_effect_are_refused(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(tmp_path), "-o", str(tmp_path / "out"), *flags]) == 1
    assert words in capsys.readouterr().err
