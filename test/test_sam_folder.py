"""Both Segment Anythings in the layout of transformers: as their own processors have it, and refused where broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rendered
import torch
from tiny_sam import write_sam, write_sam2

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.segmentation import sam_folder
from mvgamba_ros.segmentation.sam import SamSegmenter
from mvgamba_ros.segmentation.sam_network import PixelPrompt

pytest.importorskip("transformers")

POSE = rendered.orbit(1)[0]
PICTURE = rendered.render(POSE).image


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks of random weights by name."""
    base = tmp_path_factory.mktemp("sam")
    return {"sam": write_sam(base / "sam"), "sam2": write_sam2(base / "sam2")}


def test_pixels_and_prompts_are_those_of_the_networks_own_processor(folders: dict[str, Path]) -> None:
    """transformers' own way of pictures, boxes and points into the network and of masks back."""
    theirs_here = pytest.importorskip(
        "transformers.models.sam.image_processing_pil_sam", reason="transformers 5 has it"
    )
    side = 256
    processor = theirs_here.SamImageProcessorPil(
        size={"longest_edge": side}, pad_size={"height": side, "width": side}, mask_pad_size=None
    )
    network = SamSegmenter(str(folders["sam"]), "cpu")._network
    assert isinstance(network, sam_folder.FolderSam)
    theirs = processor(PICTURE, return_tensors="pt")
    seen: list[torch.Tensor] = []
    network._network.get_image_embeddings = lambda pixels: seen.append(pixels)
    _, size, shape = network.embed(PICTURE)
    assert (list(size), list(shape)) == (
        theirs["original_sizes"][0].tolist(),
        theirs["reshaped_input_sizes"][0].tolist(),
    )
    assert float((seen[0] - theirs["pixel_values"]).abs().max()) < 0.03  # they round to whole levels between


@pytest.mark.parametrize(("kind", "processor"), [("sam", "SamProcessor"), ("sam2", "Sam2Processor")])
def test_masks_are_those_of_the_networks_own_processor(folders: dict[str, Path], kind: str, processor: str) -> None:
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"transformers' processors need torchvision: {error}")
    import transformers

    square = {"height": 256, "width": 256}
    resized = {"size": square} if kind == "sam2" else {"size": {"longest_edge": 256}, "pad_size": square}
    name = processor.replace("Processor", "ImageProcessor")
    kind_of_images = getattr(transformers, name, None) or getattr(transformers, name + "Fast")  # before transformers 5
    images = kind_of_images(**resized)
    made = getattr(transformers, processor)(images, **({"target_size": 256} if kind == "sam2" else {}))
    network = SamSegmenter(str(folders[kind]), "cpu")._network
    assert isinstance(network, sam_folder.FolderSam)
    picture = rendered.render(POSE, 150, 210).image
    box, points, labels = [30.0, 50.0, 120.0, 170.0], [[70.0, 100.0], [10.0, 20.0]], [1, 0]
    given = made(
        images=picture, input_boxes=[[box]], input_points=[[points]], input_labels=[[labels]], return_tensors="pt"
    )
    extra = () if kind == "sam2" else (given["reshaped_input_sizes"],)
    sizes = given["original_sizes"]
    asked = {key: given[key] for key in ("pixel_values", "input_boxes", "input_points", "input_labels")}
    with torch.no_grad():
        theirs = network._network(**asked, multimask_output=False)
    padded = {} if kind == "sam2" else {"pad_size": square}
    (wanted,) = made.post_process_masks(theirs.pred_masks, sizes, *extra, binarize=False, **padded)
    prompt = PixelPrompt(np.array(box), np.array(points), np.array(labels))
    found, scores = network.predict(network.embed(picture), prompt)
    spread = float(np.ptp(found))  # they round pictures to whole levels between
    np.testing.assert_allclose(found[0], wanted[0, 0].numpy(), atol=0.03 * spread)
    np.testing.assert_allclose(scores, theirs.iou_scores[0, 0].numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (lambda f: (f / "config.json").write_text("[]"), "a list, not the fields of a config"),
        (lambda f: (f / "config.json").write_text('{"model_type": "clip"}'), "model_type is 'clip'"),
        (lambda f: (f / "config.json").write_text('{"model_type": "sam2", "vision_config": 3}'), "checkpoint"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:50_000]),
            "checkpoint",
        ),
        (lambda f: _change(f, lambda t: t.popitem()), "is missing"),
        (lambda f: _change(f, lambda t: t.update(more=torch.zeros(3))), "tensor more is of no part"),
        (lambda f: _change(f, lambda t: next(iter(t.values())).fill_(float("nan"))), "not finite"),
    ],
)
def test_a_folder_that_is_none_of_a_network_is_refused(
    folders: dict[str, Path], tmp_path: Path, harm: Callable[[Path], Any], words: str
) -> None:
    for file in folders["sam2"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    harm(tmp_path)
    with pytest.raises(ReconstructionError) as caught:
        SamSegmenter(str(tmp_path), "cpu")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT
    assert words in caught.value.message and "set sam_checkpoint to" in caught.value.message


def _change(folder: Path, how: Callable[[dict[str, Any]], Any]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    how(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
