"""Segment Anything by its authors' package, from a file of random weights that is written here.

Their ViT-B is cut to one block, but for the test of the node: that takes the whole network, and so minutes.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from rendered import CENTER, SIZE, render, views
from tiny_sam import painted
from torch import nn

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.segmentation import sam
from mvgamba_ros.segmentation.sam import SamSegmenter
from mvgamba_ros.segmentation.sam_network import PixelPrompt
from mvgamba_ros.segmentation.sam_package import PATCHES, PackageSam
from mvgamba_ros.types import Box, Prompts

try:
    import segment_anything
except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another torch
    pytest.skip(f"segment_anything cannot be imported: {error}", allow_module_level=True)

VIEWS = views(4)
REGION = Box(np.block([[np.eye(3), np.reshape(CENTER, (3, 1))], [np.zeros((1, 3)), 1.0]]), 1.4 * np.asarray(SIZE))
ROI = ["--roi", *(CENTER - 0.7 * SIZE).astype(str), *(CENTER + 0.7 * SIZE).astype(str)]


def one_block() -> Any:
    """Their ViT-B with one block of the backbone instead of twelve."""
    network = whole_vit_b()
    network.image_encoder.blocks = network.image_encoder.blocks[:1]
    return network


whole_vit_b: Callable[[], Any] = segment_anything.sam_model_registry["vit_b"]


@pytest.fixture
def checkpoint(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", one_block)
    path = tmp_path_factory.getbasetemp() / "one_block.pth"
    if not path.exists():
        torch.manual_seed(0)
        torch.save(one_block().state_dict(), path)
    return path


class Kept(nn.Module):
    """In place of the backbone: hands on the pixels that it gets."""

    img_size = 1024

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels


class Painter(nn.Module):
    """In place of the decoder of masks."""

    prompts: dict[str, Any]

    def forward(self, image_embeddings: torch.Tensor, multimask_output: bool, **_: Any) -> Any:
        points, labels = self.prompts["points"] or (None, None)
        box = self.prompts["boxes"]
        mask = painted(
            image_embeddings[0],
            None if box is None else box.reshape(4),
            None if points is None else points[0],
            None if labels is None else labels[0],
        )
        worse = [-mask] * (2 if multimask_output else 0)
        return torch.stack([mask, *worse])[None], torch.linspace(0.9, 0.1, 1 + len(worse))[None]


class PaintedSam(PackageSam):
    """The adapter over the package's own predictor, whose backbone and decoder are stand-ins."""

    def __init__(self, path: Path, device: str) -> None:
        super().__init__(path, device)
        network, painter = self._predictor.model, Painter()
        network.image_encoder, network.mask_decoder = Kept(), painter
        network.prompt_encoder.register_forward_pre_hook(
            lambda _, __, prompts: setattr(painter, "prompts", prompts), with_kwargs=True
        )


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(roi=REGION),
        Prompts(),
        Prompts(roi=REGION, points={0: np.array([[160.0, 120.0, 1.0], [20.0, 20.0, 0.0]])}),
        Prompts(pixel_boxes={0: (80.0, 40.0, 240.0, 200.0)}),
    ],
    ids=["region", "nothing", "points", "pixel box"],
)
def test_masks_lie_on_the_object_that_the_predictor_was_prompted_with(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path, prompts: Prompts
) -> None:
    monkeypatch.setattr(sam, "PackageSam", PaintedSam)
    seen = [*VIEWS[:3], render(VIEWS[3].T_world_camera, 240, 310)]  # upright, too
    found = SamSegmenter(str(checkpoint), "cpu")(seen, prompts)
    for mask, view in zip(found.masks, seen, strict=True):
        assert view.mask is not None and mask.shape == view.mask.shape and mask.dtype == np.bool_
        assert (mask & view.mask).sum() / (mask | view.mask).sum() > 0.96


def test_the_command_makes_a_mesh_of_its_masks(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(sam, "PackageSam", PaintedSam)
    write_capture(tmp_path / "capture", VIEWS)
    command = ["reconstruct", str(tmp_path / "capture"), "-o", str(tmp_path / "out"), *ROI, "--segmenter", "sam"]
    assert main([*command, "--sam-checkpoint", str(checkpoint), "--device", "cpu", "--method", "hull"]) == 0
    mesh = trimesh.load(tmp_path / "out" / "mesh.ply")
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), CENTER, atol=0.005)
    np.testing.assert_allclose(np.ptp(mesh.bounds, axis=0), SIZE, atol=0.012)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["provenance"]["segmenter"]["checkpoint"] == "one_block.pth"


def test_random_weights_through_the_command_end_in_one_line_or_a_low_result(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_capture(tmp_path / "capture", VIEWS)
    own = Path(shutil.copy(checkpoint, tmp_path))  # one that was loaded from the same path would be taken
    command = ["reconstruct", str(tmp_path / "capture"), "-o", str(tmp_path / "out"), *ROI, "--segmenter", "sam"]
    status = main([*command, "--sam-checkpoint", str(own), "--device", "cpu", "--method", "hull"])
    line = capsys.readouterr().err.strip().splitlines()[-1]
    if status:
        assert line.startswith(("mvgamba: SILHOUETTES_DISAGREE", "mvgamba: EMPTY_SILHOUETTE")), line
    else:
        assert json.loads((tmp_path / "out" / "report.json").read_text())["quality"]["low"]


def test_an_embedding_that_was_kept_gives_the_same_masks_again(checkpoint: Path) -> None:
    segmenter = SamSegmenter(str(checkpoint), "cpu")
    prompt = PixelPrompt(np.array([80.0, 40.0, 240.0, 200.0]), np.array([[100.0, 100.0]]), np.array([1]))
    first = segmenter._network.predict(segmenter._embedding(VIEWS[0]), prompt)
    segmenter.embed(VIEWS[1])
    again = segmenter._network.predict(segmenter._embedding(VIEWS[0]), prompt)
    assert first[0].shape == (1, *VIEWS[0].image.shape[:2]) and first[1].shape == (1,)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def _saved(path: Path, change: Callable[[dict[str, Any]], Any], checkpoint: Path) -> None:
    weights = torch.load(checkpoint, weights_only=True)
    torch.save(change(weights) or weights, path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {"model": w}, "none of the package segment-anything"),  # as SAM 2's own files are
        (lambda w: list(w.values())[:1], "none of the package segment-anything"),
        (lambda w: w.update({PATCHES: torch.zeros(96, 3, 16, 16)}), "of no ViT-B, ViT-L or ViT-H"),
        (lambda w: w.update({PATCHES: torch.zeros(768, 3, 8, 8)}), "(768, 3, 8, 8)"),
        (lambda w: w.update({PATCHES: torch.zeros(1024, 3, 16, 16)}), "is missing"),
        (lambda w: {k: v for k, v in w.items() if "iou_token" not in k}, "mask_decoder.iou_token.weight is missing"),
        (lambda w: w.update(more=torch.zeros(3)), "more is of no part"),
        (lambda w: w.update({"mask_decoder.iou_token.weight": torch.full((1, 256), torch.nan)}), "not finite"),
    ],
)
def test_a_file_of_another_network_is_refused_by_name(
    checkpoint: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    _saved(tmp_path / "changed.pth", change, checkpoint)
    with pytest.raises(ReconstructionError) as caught:
        SamSegmenter(str(tmp_path / "changed.pth"), "cpu")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT
    assert words in caught.value.message and "sam_vit_b_01ec64.pth" in caught.value.message


@pytest.mark.parametrize("keep", [0, 10, 100_000, -1])
def test_a_truncated_file_is_refused(checkpoint: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:keep])
    with pytest.raises(ReconstructionError, match=r"cut\.pth") as caught:
        SamSegmenter(str(tmp_path / "cut.pth"), "cpu")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT


def test_memory_that_runs_out_is_an_error_with_a_remedy(checkpoint: Path) -> None:
    segmenter = SamSegmenter(str(checkpoint), "cpu")
    encoder = segmenter._network._predictor.model.image_encoder  # type: ignore[attr-defined]
    encoder.register_forward_hook(lambda *_: torch.empty(1 << 60, dtype=torch.uint8))
    with pytest.raises(
        ReconstructionError, match=r"ran out of memory .*1152921504606846976.* smaller network"
    ) as caught:
        segmenter.embed(VIEWS[0])
    assert caught.value.code is ErrorCode.INTERNAL


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("rclpy") is None, reason="rclpy is not installed")
def test_the_node_runs_the_whole_vit_b_and_answers(tmp_path: Path) -> None:
    from geometry_msgs.msg import Vector3
    from ros_world import World

    from mvgamba_ros.ros.conversions.geometry import matrix_to_pose

    torch.manual_seed(0)
    torch.save(whole_vit_b().state_dict(), tmp_path / "vit_b.pth")
    write_capture(tmp_path / "capture", VIEWS[:2])
    size = Vector3(**dict(zip("xyz", REGION.size.tolist(), strict=True)))
    with World(tmp_path) as world:
        world.start_node(segmenter="sam", sam_checkpoint=tmp_path / "vit_b.pth", device="cpu", min_views=2)
        world.start_player(tmp_path / "capture")
        world.capture_all(2)
        region = {"use_roi": True, "roi_pose": matrix_to_pose(REGION.T_world_box), "roi_size": size}
        answer = world.reconstruct(timeout=600, **region)
        codes = (ErrorCode.SILHOUETTES_DISAGREE, ErrorCode.EMPTY_SILHOUETTE)
        assert answer.error_code in codes or (answer.error_code == 0 and answer.object.quality.low), answer.error_msg
        assert world.capture().error_code in (0, ErrorCode.DUPLICATE_VIEW)  # it goes on
