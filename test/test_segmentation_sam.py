"""The Segment Anything adapter: its predictor's arguments, and its errors when something is missing.

The package needs a torchvision that the test environment may lack, and weights are not shipped, so the model itself
does not run here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from rendered import CENTER, SIZE, views

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation import sam
from mvgamba_ros.segmentation.sam import SamSegmenter, predict_arguments
from mvgamba_ros.types import Box, Prompts

VIEW = views(1)[0]
REGION = Box(np.block([[np.eye(3), np.reshape(CENTER, (3, 1))], [np.zeros((1, 3)), 1.0]]), 1.4 * np.asarray(SIZE))


def test_a_region_becomes_a_box_that_holds_the_silhouette() -> None:
    arguments = predict_arguments(VIEW, 0, Prompts(roi=REGION), REGION)
    rows, columns = np.nonzero(VIEW.mask)
    x0, y0, x1, y1 = arguments["box"]
    assert x0 < columns.min() and y0 < rows.min() and x1 > columns.max() and y1 > rows.max()
    assert arguments["point_coords"] is None and arguments["point_labels"] is None
    assert arguments["multimask_output"] is False


def test_points_and_pixel_boxes_go_in_as_they_are() -> None:
    points = np.array([[10.0, 20.0, 1.0], [30.0, 40.0, 0.0]])
    arguments = predict_arguments(VIEW, 0, Prompts(points={0: points}, pixel_boxes={0: (1, 2, 50, 60)}), REGION)
    assert arguments["box"].tolist() == [1, 2, 50, 60]
    assert arguments["point_coords"].tolist() == [[10, 20], [30, 40]]
    assert arguments["point_labels"].tolist() == [1, 0]


def test_with_no_prompt_the_middle_is_one_ambiguous_point_on_the_object() -> None:
    arguments = predict_arguments(VIEW, 0, Prompts(), REGION)
    x, y = arguments["point_coords"][0]
    assert VIEW.mask is not None and VIEW.mask[int(y), int(x)]
    assert arguments["multimask_output"] is True


def test_no_checkpoint_names_where_to_get_one(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "absent.pth")):
        with pytest.raises(ReconstructionError) as caught:
            SamSegmenter(path)
        assert caught.value.code == ErrorCode.BAD_CHECKPOINT
        assert "sam_vit_b" in caught.value.message


def test_a_missing_package_or_a_wrong_file_is_an_error(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"no weights")
    with pytest.raises(ReconstructionError) as caught:
        SamSegmenter(str(wrong))
    installed = importlib.util.find_spec("segment_anything") is not None
    assert caught.value.code == (ErrorCode.BAD_CHECKPOINT if installed else ErrorCode.MISSING_PACKAGE)
    assert installed or "pip install segment-anything" in caught.value.message


@pytest.mark.parametrize(
    ("chosen", "there", "used"), [("cpu", True, "cpu"), ("auto", True, "cuda"), ("auto", False, "cpu")]
)
def test_it_runs_on_the_device_of_the_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, there: bool, used: str
) -> None:
    checkpoint = tmp_path / "b.pth"
    checkpoint.write_bytes(b"weights")
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(sam, "_load", lambda checkpoint, device: calls.append((checkpoint, device)))
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    segmenter = SamSegmenter.from_options(Options(sam_checkpoint=str(checkpoint), device=chosen))
    assert calls == [(checkpoint, used)]
    assert segmenter.provenance["device"] == used and segmenter.provenance["checkpoint"] == "b.pth"


def test_a_device_that_torch_cannot_use_is_named() -> None:
    with pytest.raises(ReconstructionError, match="device cuda:99") as caught:
        SamSegmenter.from_options(Options(device="cuda:99"))
    assert caught.value.code == ErrorCode.BAD_OPTION
