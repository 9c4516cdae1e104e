"""Adapters over packages of others, with stand-ins of their published calls: the packages themselves do not run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from patience import REPOSITORY
from stand_ins import COLORS, FACES, INSTALLERS, WEDGE, Calls, write_weights

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.canonical_mesh import Z_UP, canonical_mesh
from mvgamba_ros.generate.cutout import Cutout
from mvgamba_ros.generate.generator import GeneratedMesh, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.run_generator import generate, load_generator, wrong_answer
from mvgamba_ros.generate.upstream import STEP1X3D, TRELLIS, TRELLIS2, TRIPOSR
from mvgamba_ros.options import Options

MODULES = {
    "triposr": "tsr.system",
    "trellis": "trellis.pipelines",
    "trellis2": "trellis2.pipelines",
    "step1x3d": "step1x3d_geometry.models.pipelines.pipeline",
}
UPSTREAMS = {"triposr": TRIPOSR, "trellis": TRELLIS, "trellis2": TRELLIS2, "step1x3d": STEP1X3D}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights, and a torch.hub with the image encoder that TRELLIS takes from there."""
    hub = tmp_path / "hub"
    (hub / "checkpoints").mkdir(parents=True)
    (hub / "facebookresearch_dinov2_main").mkdir()
    (hub / "checkpoints" / "dinov2_vitl14_reg4_pretrain.pth").touch()
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(hub))
    return write_weights(tmp_path / "weights")


def red_box() -> Subject:
    rgb = np.full((60, 80, 3), 30, np.uint8)
    rgb[10:50, 30:60] = (200, 40, 40)
    alpha = np.zeros((60, 80), np.float32)
    alpha[10:50, 30:60] = 1.0
    return Subject(Cutout(rgb, alpha, "made up"))


def made_by(name: str, weights: Path, seed: int = 3) -> GeneratedMesh:
    options = GeneratorOptions(generator=name, weights=str(weights), device="cpu", steps=7)
    made = generate(options, red_box(), seed, lambda stage, fraction: None, lambda: False)
    assert isinstance(made, GeneratedMesh) and wrong_answer(made) == ""
    return made


@pytest.mark.parametrize("name", INSTALLERS)
def test_its_answer_stands_upright_in_the_canonical_cube(name: str, weights, monkeypatch) -> None:
    INSTALLERS[name](monkeypatch, Calls())
    mesh = made_by(name, weights).mesh
    np.testing.assert_allclose(mesh.vertices, WEDGE - [0, 0, 0.25], atol=1e-6)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight and solid.volume == pytest.approx(0.5)
    if name != "step1x3d":
        assert np.abs(mesh.colors - 255 * COLORS).max() <= 1


def test_triposr_gets_the_object_on_grey_and_fixes_where_the_picture_was_taken_from(weights, monkeypatch) -> None:
    calls = Calls()
    INSTALLERS["triposr"](monkeypatch, calls)
    assert made_by("triposr", weights).photo_azimuth == 0.0
    picture = np.asarray(calls["picture"])
    assert picture.shape == (512, 512, 3) and calls["device"] == "cpu" and calls["chunk"] == 8192
    assert (picture[0] == 127).all() and tuple(picture[256, 256]) == (200, 40, 40)
    rows = np.nonzero((picture[..., 0] > 190).any(axis=1))[0]
    assert abs(len(rows) - 0.85 * 512) <= 2
    assert calls["offline"] and not sys.modules["huggingface_hub.constants"].HF_HUB_OFFLINE


@pytest.mark.parametrize("name", ["trellis", "trellis2", "step1x3d"])
def test_the_others_get_the_picture_with_its_alpha_and_the_seed(name: str, weights, monkeypatch) -> None:
    calls = Calls()
    INSTALLERS[name](monkeypatch, calls)
    assert made_by(name, weights, seed=11).photo_azimuth is None
    picture = calls["picture"]
    assert picture.mode == "RGBA" and picture.size == (80, 60)
    assert picture.getpixel((40, 30)) == (200, 40, 40, 255) and picture.getpixel((0, 0))[3] == 0
    assert calls["seed"] == 11 and calls["device"] == "cpu"
    if name == "step1x3d":
        assert (calls["steps"], calls["guidance"]) == (7, 7.5)


@pytest.mark.parametrize("name", INSTALLERS)
def test_a_missing_package_is_answered_with_the_command_that_gets_it(name: str, weights, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, MODULES[name].split(".")[0], None)
    with pytest.raises(ReconstructionError, match=rf"generator {name}: .* cannot be imported.*git clone") as caught:
        load_generator(GeneratorOptions(generator=name, weights=str(weights), device="cpu"))
    assert caught.value.code is ErrorCode.MISSING_PACKAGE
    read = UPSTREAMS[name]
    folder = read.repository.split("/")[1]
    assert f"git clone https://github.com/{read.repository} && git -C {folder} checkout {read.commit}" in (
        caught.value.message
    )
    assert f"[its code](https://github.com/{read.repository}) at `{read.commit[:7]}`" in (
        REPOSITORY / "docs" / "generate.md"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", INSTALLERS)
def test_a_folder_of_other_weights_is_refused(name: str, tmp_path, monkeypatch) -> None:
    INSTALLERS[name](monkeypatch, Calls())
    with pytest.raises(ReconstructionError, match="give the folder of") as caught:
        load_generator(GeneratorOptions(generator=name, weights=str(tmp_path), device="cpu"))
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT


def test_trellis_does_not_download_its_image_encoder_by_itself(weights, monkeypatch) -> None:
    INSTALLERS["trellis"](monkeypatch, Calls())
    Path(torch.hub.get_dir(), "checkpoints", "dinov2_vitl14_reg4_pretrain.pth").unlink()
    with pytest.raises(
        ReconstructionError, match=r"torch\.hub\.load\('facebookresearch/dinov2', 'dinov2_vitl14_reg'\)"
    ):
        load_generator(GeneratorOptions(generator="trellis", weights=str(weights), device="cpu"))
    assert load_generator(GeneratorOptions(generator="trellis", weights=str(weights), device="cpu", fetch=True))


@pytest.mark.parametrize("name", INSTALLERS)
def test_words_alone_and_a_cancelled_job_are_refused(name: str, weights, monkeypatch) -> None:
    INSTALLERS[name](monkeypatch, Calls())
    generator = load_generator(GeneratorOptions(generator=name, weights=str(weights), device="cpu"))
    with pytest.raises(ReconstructionError, match="needs a picture"):
        generator(Subject(prompt="a cup"), 0, lambda stage, fraction: None, lambda: False)
    with pytest.raises(ReconstructionError) as caught:
        generator(red_box(), 0, lambda stage, fraction: None, lambda: True)
    assert caught.value.code is ErrorCode.CANCELLED


@pytest.mark.parametrize(
    ("vertices", "faces", "words"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3)), "no triangles"),
        (np.where(WEDGE == 0.5, np.inf, WEDGE), FACES, "not finite"),
        (WEDGE, FACES + 1, "vertices 1 to 6, of 6"),
        (WEDGE * [1, 1, 0], FACES, "without volume"),
    ],
)
def test_a_mesh_that_is_none_is_refused(vertices: np.ndarray, faces: np.ndarray, words: str) -> None:
    with pytest.raises(ReconstructionError, match=words) as caught:
        canonical_mesh("magic", vertices, faces, None, Z_UP)
    assert caught.value.code is ErrorCode.EMPTY_SURFACE


@pytest.mark.parametrize(("name", "words"), [("hunyuan3d", "European Union"), ("sam-3d-objects", "SAM License")])
def test_generators_of_other_terms_are_listed_nowhere_and_refused_with_the_terms(
    name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (GeneratorOptions, Options):
        refusal = rf"generator {name} is not run by this package: .*{words}.*; use .*imagedream"
        with pytest.raises(ReconstructionError, match=refusal) as caught:
            options(generator=name)
        assert caught.value.code is ErrorCode.BAD_OPTION
    for command in (["reconstruct", "capture"], ["generate", "--text", "a cup", "--longest-side", "0.1"]):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        help_text = " ".join(capsys.readouterr().out.split())
        assert "step1x3d" in help_text and name not in help_text
        assert main([*command, "-o", "nowhere", "--generator", name]) == 1
        assert words in capsys.readouterr().err
