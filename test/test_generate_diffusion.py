"""ImageDream and MVDream as generators, in small and with random weights: folders, seeds, progress, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="install the extra generate")
pytest.importorskip("transformers", reason="install the extra generate")

from plain_parts import bright_box, plain_parts
from safetensors.torch import load_file, save_file
from test_generate_unet import GOLDEN
from tiny_diffusion import write_folder

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate import multiview_diffusion
from mvgamba_ros.generate.cutout import Cutout
from mvgamba_ros.generate.generator import Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.matting import cut_out
from mvgamba_ros.generate.multiview_diffusion import ImageDream, MVDream
from mvgamba_ros.generate.multiview_sampling import Sampler
from mvgamba_ros.generate.run_generator import generate, load_generator, wrong_answer
from mvgamba_ros.types import F32, U8

STEPS = 3


def never() -> bool:
    return False


def unseen(stage: str, fraction: float) -> None:
    pass


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {"imagedream": write_folder(folder / "imagedream", 3), "mvdream": write_folder(folder / "mvdream", 0)}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 64 pixels; random weights paint no object, so their pictures are cut out by a disc."""
    y, x = np.mgrid[:64, :64]
    disc: F32 = (np.hypot(x - 31.5, y - 31.5) < 20).astype(np.float32)

    def cut_disc(picture: U8, what: str) -> Cutout:
        return Cutout(picture, disc, "a disc")

    for kind in (ImageDream, MVDream):
        monkeypatch.setattr(kind, "size", 64)
    monkeypatch.setattr(multiview_diffusion, "cut_out", cut_disc)


def subject(color: tuple[int, int, int] = (200, 60, 40)) -> Subject:
    rgb = np.full((90, 120, 3), 240, np.uint8)
    rgb[20:70, 50:80] = color
    alpha = np.zeros((90, 120), np.float32)
    alpha[20:70, 50:80] = 1.0
    return Subject(Cutout(rgb, alpha, "made up"))


def options(folders: dict[str, Path], name: str) -> GeneratorOptions:
    return GeneratorOptions(generator=name, weights=str(folders[name]), device="cpu", steps=STEPS)


def test_a_picture_becomes_four_posed_views_of_which_the_first_is_the_pictures(folders) -> None:
    made = generate(options(folders, "imagedream"), subject(), 1, unseen, never)
    assert wrong_answer(made) == "" and made.photo_azimuth == 0.0
    eyes = np.stack([view.T_world_camera[:3, 3] for view in made.views])
    np.testing.assert_allclose(eyes, 1.5 * np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]), atol=1e-9)
    assert all(view.image.shape == (64, 64, 3) and np.ptp(view.image) > 20 for view in made.views)
    assert len({view.image.tobytes() for view in made.views}) == 4
    assert made.notes[0] == "the generated view at 0 degrees was cut out by a disc" and len(made.notes) == 4


def test_a_seed_gives_the_same_views_again_and_another_gives_others(folders) -> None:
    mvdream = load_generator(options(folders, "mvdream"))
    first, again, other = (mvdream(Subject(prompt="a red cup"), seed, unseen, never) for seed in (5, 5, 6))
    assert [v.image.tobytes() for v in first.views] == [v.image.tobytes() for v in again.views]
    assert [v.image.tobytes() for v in first.views] != [v.image.tobytes() for v in other.views]


@pytest.mark.parametrize(("name", "image_tokens"), [("mvdream", 0), ("imagedream", 3)])
def test_the_sampler_paints_what_the_authors_pipeline_paints(name: str, image_tokens: int) -> None:
    picture = bright_box() if image_tokens else None
    sampler = Sampler(plain_parts(image_tokens), 64)
    painted = sampler.paint("red cup", "ugly", picture, 5, 6.0, 7, unseen, never)
    np.testing.assert_allclose(painted.flatten()[::1531], GOLDEN["pictures"][name], atol=2e-4)


def test_picture_prompt_and_negative_prompt_reach_the_views(folders) -> None:
    imagedream, cutout = load_generator(options(folders, "imagedream")), subject().cutout
    subjects = [
        subject(),
        subject((40, 60, 200)),
        Subject(cutout, prompt="a blue box"),
        Subject(cutout, negative_prompt="a blue box"),
    ]
    made = [imagedream(one, 1, unseen, never) for one in subjects]
    assert len({b"".join(view.image.tobytes() for view in answer.views) for answer in made}) == len(subjects)


def test_a_view_whose_background_is_not_plain_is_kept_without_a_mask(folders, monkeypatch) -> None:
    monkeypatch.setattr(multiview_diffusion, "cut_out", cut_out)  # the pictures of random weights are all clutter
    made = generate(options(folders, "mvdream"), Subject(prompt="a cup"), 1, unseen, never)
    assert all(view.mask is None and np.ptp(view.image) > 20 for view in made.views)
    assert "at 90 degrees has no mask: the generated view at 90 degrees has no plain background" in made.notes[1]


def test_words_that_the_network_does_not_read_are_noted(folders) -> None:
    made = generate(options(folders, "mvdream"), Subject(prompt="a cup " * 40), 1, unseen, never)
    assert made.notes[0].startswith("the tokens beyond 77 of 'a cup a cup")
    assert made.notes[0].endswith("are cut off")


def test_progress_comes_at_every_step_and_a_cancelled_job_ends_between_two(folders) -> None:
    mvdream = load_generator(options(folders, "mvdream"))
    fractions: list[float] = []
    mvdream(Subject(prompt="cup"), 0, lambda stage, fraction: fractions.append(fraction), never)
    assert len(fractions) == STEPS + 1 and fractions == sorted(fractions) and fractions[-1] == 1.0
    fractions.clear()
    with pytest.raises(ReconstructionError) as caught:
        mvdream(
            Subject(prompt="cup"), 0, lambda stage, fraction: fractions.append(fraction), lambda: len(fractions) == 2
        )
    assert caught.value.code is ErrorCode.CANCELLED and len(fractions) == 2


def test_words_need_mvdream_and_pictures_imagedream(folders) -> None:
    with pytest.raises(ReconstructionError, match="needs a picture of the object; words alone: mvdream"):
        load_generator(options(folders, "imagedream"))(Subject(prompt="cup"), 0, unseen, never)
    with pytest.raises(ReconstructionError, match="needs a prompt; from a picture: imagedream"):
        load_generator(options(folders, "mvdream"))(subject(), 0, unseen, never)
    with pytest.raises(ReconstructionError, match="its network takes no picture") as caught:
        ImageDream(folders["mvdream"], "cpu")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT


@pytest.mark.parametrize(
    ("part", "fault", "words"),
    [
        ("vae", "missing", r"vae/diffusion.*tensor quant_conv\.bias is missing"),
        ("text_encoder", "missing", r"text_encoder: tensor .*final_layer_norm\.bias is missing"),
        ("text_encoder", "surplus", r"text_encoder: tensor extra is of no part of the network"),
        ("text_encoder", "misshapen", r"text_encoder: "),
        ("text_encoder", "not finite", r"text_encoder: .*final_layer_norm\.bias has values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(folders, tmp_path, part: str, fault: str, words: str) -> None:
    shutil.copytree(folders["mvdream"], tmp_path / "broken")
    (path,) = (tmp_path / "broken" / part).glob("*.safetensors")
    tensors = load_file(path)
    endings = {"vae": "quant_conv.bias", "text_encoder": "final_layer_norm.bias"}
    name = next(key for key in sorted(tensors) if key.endswith(endings[part]) and "post" not in key)
    if fault == "missing":
        del tensors[name]
    elif fault == "surplus":
        tensors["extra"] = tensors[name].clone()
    elif fault == "misshapen":
        tensors[name] = tensors[name][:3].clone()
    else:
        tensors[name][0] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ReconstructionError, match=words) as caught:
        MVDream(tmp_path / "broken", "cpu")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT
    assert "give the folder of ashawkey/mvdream-sd2.1-diffusers" in caught.value.message


@pytest.mark.parametrize("part", ["unet", "scheduler", "tokenizer", "image_encoder"])
def test_a_folder_that_lacks_a_part_is_refused(folders, tmp_path, part: str) -> None:
    shutil.copytree(folders["imagedream"], tmp_path / "part", ignore=shutil.ignore_patterns(part))
    with pytest.raises(ReconstructionError, match=part) as caught:
        ImageDream(tmp_path / "part", "cpu")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT
