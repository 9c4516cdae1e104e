"""One picture from files: what its intrinsics leave out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.posed_photo import read_posed_photo


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """Intrinsics of a picture of 24 x 16 pixels."""
    (tmp_path / "K.json").write_text(json.dumps({"K": [[20, 0, 12], [0, 20, 8], [0, 0, 1]]}))
    return tmp_path / "K.json"


@pytest.mark.parametrize("key", ["D", "d", "distortion", "k1"])
def test_intrinsics_with_a_distortion_are_refused_and_not_taken_without_it(
    tmp_path: Path, camera: Path, key: str
) -> None:
    Image.new("RGB", (24, 16)).save(tmp_path / "it.png")
    content = json.loads(camera.read_text())
    camera.write_text(json.dumps({**content, key: 0.0 if key == "k1" else [0.0] * 5}))
    assert read_posed_photo(tmp_path / "it.png", camera=camera).camera is not None
    camera.write_text(json.dumps({**content, key: -0.2 if key == "k1" else [-0.2, 0.1, 0, 0, 0]}))
    with pytest.raises(ReconstructionError, match=r"K\.json: .* distortion: straighten the picture") as refused:
        read_posed_photo(tmp_path / "it.png", camera=camera)
    assert refused.value.code is ErrorCode.BAD_CAMERA_INFO
