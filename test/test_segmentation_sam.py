"""Segment Anything as a segmenter: prompts, networks of transformers with random weights, errors.

Random weights find nothing. What is claimed is that pixels and prompts reach a network where they should, that its
masks come back to where the object is, and that what does not fit is refused in words.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rendered
import torch
import trimesh
from rendered import CENTER, SIZE, views
from tiny_sam import FolderPainter, write_sam, write_sam2

from mvgamba_ros.cli import main
from mvgamba_ros.config.segmentation_config import SamConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.segmentation import sam, sam_folder
from mvgamba_ros.segmentation.sam import SamSegmenter, pixel_prompt
from mvgamba_ros.types import Box, Prompts

VIEWS = views(4)
VIEW = VIEWS[0]
REGION = Box(np.block([[np.eye(3), np.reshape(CENTER, (3, 1))], [np.zeros((1, 3)), 1.0]]), 1.4 * np.asarray(SIZE))
here = pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks of random weights by name."""
    base = tmp_path_factory.mktemp("sam")
    return {
        "sam": write_sam(base / "sam"),
        "sam2": write_sam2(base / "sam2"),
        "sam2_video": write_sam2(base / "sam2_video", videos=True),
    }


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever folder is loaded, what it learned is replaced by `FolderPainter`."""
    load = sam_folder.load_network
    monkeypatch.setattr(sam_folder, "load_network", lambda *given, **named: FolderPainter(load(*given, **named)))


def iou(a: np.ndarray, b: np.ndarray | None) -> float:
    assert b is not None
    return float((a & b).sum() / (a | b).sum())


def test_a_region_becomes_a_box_that_holds_the_silhouette() -> None:
    prompt = pixel_prompt(VIEW, 0, Prompts(roi=REGION), REGION)
    assert VIEW.mask is not None and prompt.box is not None
    rows, columns = np.nonzero(VIEW.mask)
    x0, y0, x1, y1 = prompt.box
    assert x0 < columns.min() and y0 < rows.min() and x1 > columns.max() and y1 > rows.max()
    assert len(prompt.points) == 0 and not prompt.ambiguous


def test_points_and_pixel_boxes_go_in_as_they_are() -> None:
    points = np.array([[10.0, 20.0, 1.0], [30.0, 40.0, 0.0]])
    prompt = pixel_prompt(VIEW, 0, Prompts(points={0: points}, pixel_boxes={0: (1, 2, 50, 60)}), REGION)
    assert prompt.box is not None and prompt.box.tolist() == [1, 2, 50, 60]
    assert prompt.points.tolist() == [[10, 20], [30, 40]]
    assert prompt.labels.tolist() == [1, 0]


def test_with_no_prompt_the_middle_is_one_ambiguous_point_on_the_object() -> None:
    prompt = pixel_prompt(VIEW, 0, Prompts(), REGION)
    x, y = prompt.points[0]
    assert VIEW.mask is not None and VIEW.mask[int(y), int(x)]
    assert prompt.ambiguous


PROMPTS = {
    "region": Prompts(roi=REGION),
    "nothing": Prompts(),
    "points": Prompts(roi=REGION, points={0: np.array([[160.0, 120.0, 1.0], [20.0, 20.0, 0.0]])}),
    "pixel box": Prompts(pixel_boxes={0: (80.0, 40.0, 240.0, 200.0)}),
}


@here
@pytest.mark.parametrize("kind", ["sam", "sam2"])
@pytest.mark.parametrize("given", PROMPTS)
def test_masks_come_back_to_the_pixels_that_the_network_saw_the_object_in(
    folders: dict[str, Path], painter: None, kind: str, given: str
) -> None:
    segmenter = SamSegmenter(str(folders[kind]), "cpu")
    seen = [*VIEWS[:3], rendered.render(VIEWS[3].T_world_camera, 240, 310)]  # upright, too
    for found, view in zip(segmenter(seen, PROMPTS[given]).masks, seen, strict=True):
        assert found.shape == view.image.shape[:2] and found.dtype == np.bool_
        assert iou(found, view.mask) > 0.96


@here
def test_nothing_outside_the_region_or_the_pixel_box_is_labelled(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = SamSegmenter(str(folders["sam"]), "cpu")
    whole = iter([np.where(view.mask, 8.0, -8.0).astype(np.float32) for view in VIEWS])  # whatever is asked
    monkeypatch.setattr(segmenter._network, "predict", lambda *_: (next(whole)[None], np.ones(1, np.float32)))
    narrow = Box(REGION.T_world_box, 0.75 * SIZE)
    found = segmenter(VIEWS, Prompts(roi=narrow, pixel_boxes={0: (80, 40, 160, 200)})).masks
    assert found[0].any() and not found[0][:, 161:].any()
    assert all(mask.sum() < np.count_nonzero(view.mask) for mask, view in zip(found[1:], VIEWS[1:], strict=True))


@here
def test_the_command_makes_a_mesh_of_its_masks(folders: dict[str, Path], painter: None, tmp_path: Path) -> None:
    write_capture(tmp_path / "capture", VIEWS)
    low, high = (CENTER - 0.7 * SIZE).astype(str), (CENTER + 0.7 * SIZE).astype(str)
    command = ["reconstruct", str(tmp_path / "capture"), "-o", str(tmp_path / "out"), "--roi", *low, *high]
    weights = ["--segmenter", "sam", "--sam-checkpoint", str(folders["sam2_video"]), "--device", "cpu"]
    assert main([*command, *weights, "--method", "hull", "--set", "segmentation.sam.kept_embeddings=1"]) == 0
    mesh = trimesh.load(tmp_path / "out" / "mesh.ply")
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), CENTER, atol=0.005)
    np.testing.assert_allclose(np.ptp(mesh.bounds, axis=0), SIZE, atol=0.012)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["provenance"]["segmenter"]["checkpoint"] == "model.safetensors"


@here
@pytest.mark.parametrize("kind", ["sam", "sam2", "sam2_video"])
def test_masks_that_reach_out_of_the_region_are_refused(folders: dict[str, Path], kind: str) -> None:
    segmenter = SamSegmenter(str(folders[kind]), "cpu")
    with pytest.raises(ReconstructionError, match=r"explained by the other views|nothing that stands out"):
        segmenter(VIEWS, PROMPTS["points"])


@here
def test_masks_that_agree_by_chance_make_a_result_that_says_so(folders: dict[str, Path]) -> None:
    options = Options(segmenter="sam", sam_checkpoint=str(folders["sam2"]), device="cpu", method="hull", refine=False)
    result = reconstruct(VIEWS, options)
    assert result.quality.low and result.quality.silhouette_iou < 0.5


@here
def test_a_picture_is_embedded_once_and_the_oldest_goes_first(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = SamSegmenter(str(folders["sam2"]), "cpu")
    seen: list[int] = []
    embed = segmenter._network.embed
    monkeypatch.setattr(segmenter._network, "embed", lambda image: seen.append(1) or embed(image))
    segmenter.embed(VIEW)
    segmenter.embed(rendered.render(VIEW.T_world_camera))
    assert len(seen) == 1
    segmenter.config = replace(segmenter.config, sam=SamConfig(kept_embeddings=1))
    segmenter.embed(VIEWS[1])
    segmenter.embed(VIEW)
    assert len(seen) == 3


@here
def test_memory_that_runs_out_is_an_error_with_a_remedy(folders: dict[str, Path]) -> None:
    segmenter = SamSegmenter(str(folders["sam2"]), "cpu")
    too_much = lambda pixels: torch.empty(1 << 60, dtype=torch.uint8)  # noqa: E731
    segmenter._network._network.get_image_embeddings = too_much  # type: ignore[attr-defined]
    with pytest.raises(
        ReconstructionError, match=r"ran out of memory .*1152921504606846976.* smaller network"
    ) as caught:
        segmenter.embed(VIEW)
    assert caught.value.code is ErrorCode.INTERNAL


def test_no_checkpoint_names_where_to_get_one(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "absent.pth")):
        with pytest.raises(ReconstructionError) as caught:
            SamSegmenter(path)
        assert caught.value.code == ErrorCode.BAD_CHECKPOINT
        assert "sam_vit_b" in caught.value.message


def test_a_missing_package_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "segment_anything", None)
    (tmp_path / "b.pth").write_bytes(b"weights")
    with pytest.raises(ReconstructionError, match="pip install segment-anything") as caught:
        SamSegmenter(str(tmp_path / "b.pth"))
    assert caught.value.code == ErrorCode.MISSING_PACKAGE
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    (tmp_path / "config.json").write_text('{"model_type": "sam2_video"}')
    with pytest.raises(ReconstructionError, match=r"pip install 'transformers>=4\.56'") as caught:
        SamSegmenter(str(tmp_path))
    assert caught.value.code == ErrorCode.MISSING_PACKAGE


@pytest.mark.parametrize(
    ("chosen", "there", "used"), [("cpu", True, "cpu"), ("auto", True, "cuda"), ("auto", False, "cpu")]
)
def test_it_runs_on_the_device_of_the_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, there: bool, used: str
) -> None:
    checkpoint = tmp_path / "b.pth"
    checkpoint.write_bytes(b"weights")
    calls: list[tuple[Path, str]] = []

    class Loaded:
        path = checkpoint

    def load(path: Path, device: str) -> type[Loaded]:
        calls.append((path, device))
        return Loaded

    monkeypatch.setattr(sam, "_load", load)
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    segmenter = SamSegmenter.from_options(Options(sam_checkpoint=str(checkpoint), device=chosen))
    assert calls == [(checkpoint, used)]
    assert segmenter.provenance["device"] == used and segmenter.provenance["checkpoint"] == "b.pth"


def test_a_device_that_torch_cannot_use_is_named() -> None:
    with pytest.raises(ReconstructionError, match="device cuda:99") as caught:
        SamSegmenter.from_options(Options(device="cuda:99"))
    assert caught.value.code == ErrorCode.BAD_OPTION
