"""What a broken file makes a library raise becomes the reader's code, with the file and what to do."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rendered
import trimesh

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.loading import load_config
from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, shown
from mvgamba_ros.evaluation.captures import find_captures
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.lock import locked
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.ply import read_gaussians
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.synthesis.data_format import ARRAYS
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.synthesis.sources import Folder
from mvgamba_ros.training.objectness_scenes import read_scenes

VIEWS = [rendered.render(T, 64, 48) for T in rendered.orbit(2)]


def refused(call: Callable[[], object], code: ErrorCode, *words: str) -> None:
    with pytest.raises(ReconstructionError) as caught:
        call()
    assert caught.value.code is code, caught.value.message
    assert all(word in caught.value.message for word in words), caught.value.message
    assert "\n" not in caught.value.message and len(caught.value.message) < 1500


def edited(folder: Path, **change: Any) -> Callable[[], object]:
    """Reads a capture whose list says ``change`` for all frames."""
    path = write_capture(folder, VIEWS)
    content = json.loads(path.read_text())
    frames = [{k: v for k, v in frame.items() if k not in change} | change for frame in content["frames"]]
    path.write_text(json.dumps({**content, **change, "frames": frames}))
    return lambda: read_capture(folder)


def test_all_but_the_packages_own_errors_and_memory_gets_the_code() -> None:
    for error in (KeyError("a"), ValueError("b\nc"), RecursionError(), ZeroDivisionError(), OSError(5, "d")):
        with (
            pytest.raises(ReconstructionError, match=r"^file: .*: mend it$") as caught,
            boundary(ErrorCode.BAD_CAPTURE, "file", "mend it"),
        ):
            raise error
        assert "\n" not in caught.value.message
    with pytest.raises(MemoryError), boundary(ErrorCode.BAD_CAPTURE, "file", "mend it"):
        raise MemoryError
    with pytest.raises(ReconstructionError, match=r"^own$"), boundary(ErrorCode.BAD_CAPTURE, "file", "mend it"):
        raise ReconstructionError(ErrorCode.BUSY, "own")
    assert len(shown("x" * 10**6)) < 400 and shown(10**5000) == "a int"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"integer_depth_scale": "fine"}, "integer_depth_scale"),
        ({"integer_depth_scale": 0}, "0.001 for millimetres"),
        ({"integer_depth_scale": float("nan")}, "integer_depth_scale"),
        ({"camera_model": ["OPENCV"]}, "camera model"),
        ({"camera_model": {}, "is_fisheye": 1, "k1": "x"}, "k1"),
        ({"fl_x": 10**400}, "fl_x"),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": 0.0}, "angle of view"),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": 1e-320}, "finite"),
        ({"file_path": "\0"}, "missing"),
        ({"file_path": "n" * 5000}, "transforms.json"),
        ({"transform_matrix": [["a"] * 4] * 4}, "transform_matrix"),
        ({"depth_file_path": {"a": 1}}, "missing"),
    ],
)
def test_a_value_that_no_capture_has_is_refused(change: dict[str, Any], word: str, tmp_path: Path) -> None:
    refused(edited(tmp_path, **change), ErrorCode.BAD_CAPTURE, word)


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"[" * 200_000, b"9" * 10_000, b"{" + b" " * 20_000_000])
def test_a_list_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_bytes(content)
    refused(lambda: read_capture(tmp_path), ErrorCode.BAD_CAPTURE, "transforms.json")


def test_paths_that_are_too_long_are_refused(tmp_path: Path) -> None:
    refused(lambda: read_mesh(tmp_path / ("n" * 300 + ".ply")), ErrorCode.BAD_CAPTURE, "too long")
    refused(lambda: load_config(ReconstructionConfig, "n" * 1000), ErrorCode.BAD_OPTION, "too long")
    refused(lambda: read_capture("n" * 5000), ErrorCode.BAD_CAPTURE, "does not exist")


def test_a_path_of_nothing_is_said_so_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError) as caught:
        read_capture(tmp_path / "mistyped")
    assert caught.value.message == f"{tmp_path / 'mistyped'}: does not exist"
    with pytest.raises(ReconstructionError) as caught:
        find_captures(tmp_path / "mistyped")
    assert caught.value.message == f"{tmp_path / 'mistyped'}: does not exist"


def test_a_folder_that_is_no_capture_is_told_by_what_it_holds(tmp_path: Path) -> None:
    refused(lambda: read_capture(tmp_path), ErrorCode.BAD_CAPTURE, f"{tmp_path} (is empty): not a capture of a known")
    for name in ("d.png", "a.png", "c.png", "b.png"):
        (tmp_path / name).touch()
    named = f"{tmp_path} (holds a.png, b.png, c.png and 1 more): "
    refused(lambda: read_capture(tmp_path), ErrorCode.BAD_CAPTURE, named + "not a capture", "transforms_json (a folder")
    refused(lambda: read_capture(tmp_path, "x.json"), ErrorCode.BAD_CAPTURE, named + "x.json: not found")
    refused(lambda: read_capture(tmp_path / "a.png"), ErrorCode.BAD_CAPTURE, "a.png: not a capture of a known format")


def test_a_picture_is_refused_by_its_header_before_it_takes_memory(tmp_path: Path) -> None:
    """12,000 x 12,000 equal pixels are 160 kB, and 0.4 GB once they are decoded."""
    write_capture(tmp_path, VIEWS)
    row = zlib.compress(bytes(1 + 36_000) * 12_000, 1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)), (b"IDAT", row), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    (tmp_path / "images" / "0001.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    refused(lambda: read_capture(tmp_path), ErrorCode.BAD_CAPTURE, "0001.png", "12000 x 12000 pixels are more")
    cv2.imwrite(str(tmp_path / "images" / "0001.png"), np.zeros((48, 64, 3), np.uint8))
    assert len(read_capture(tmp_path)) == 2


PLY = "ply\nformat {form}\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
FACES = "element face {count}\nproperty list uchar int vertex_indices\nend_header\n"


@pytest.mark.parametrize("form", ["ascii 1.0", "binary_little_endian 1.0", "binary_big_endian 1.0"])
@pytest.mark.parametrize(("vertices", "faces"), [(10**12, 1), (3, 10**12), (-5, 1), ("x", 1), (3, 1)])
def test_a_ply_header_cannot_take_memory(form: str, vertices: object, faces: object, tmp_path: Path) -> None:
    file = tmp_path / "odd.ply"
    file.write_text(PLY.format(form=form, count=vertices) + FACES.format(count=faces) + "0 0 0\n")
    refused(lambda: read_mesh(file), ErrorCode.BAD_CAPTURE, "odd.ply")
    refused(lambda: read_gaussians(file), ErrorCode.BAD_CAPTURE, "odd.ply")


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["accessors"].append({"componentType": 5126, "type": "MAT4", "count": 60_000_000}),
        lambda tree: tree["nodes"].extend([{"mesh": 0}] * 60_000),
        lambda tree: tree["accessors"][0].update(count=-1),
        lambda tree: tree.update(accessors=7),
        lambda tree: tree["meshes"][0]["primitives"][0]["attributes"].update(POSITION=99),
    ],
)
def test_a_gltf_header_cannot_take_memory(change: Callable[[Any], object], tmp_path: Path) -> None:
    content = trimesh.creation.icosphere(4).export(file_type="glb")
    length = int.from_bytes(content[12:16], "little")
    tree = json.loads(content[20 : 20 + length])
    change(tree)
    text = json.dumps(tree).encode()
    rest = content[20 + length :]
    file = tmp_path / "odd.glb"
    file.write_bytes(
        struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest
    )
    refused(lambda: read_mesh(file), ErrorCode.BAD_CAPTURE, "odd.glb")
    refused(lambda: Folder(tmp_path, 0)[0], ErrorCode.BAD_CAPTURE, "odd.glb")
    file.write_bytes(content[:-8] + b"\0\0\0\0")
    refused(lambda: read_mesh(file), ErrorCode.BAD_CAPTURE, "odd.glb")
    file.unlink()
    beside = trimesh.creation.icosphere(4).export(file_type="gltf")
    for name, part in beside.items():
        (tmp_path / name.replace("model", "odd")).write_bytes(part)
    assert len(Folder(tmp_path, 0)[0].faces)
    tree = json.loads(beside["model.gltf"])
    change(tree)
    (tmp_path / "odd.gltf").write_text(json.dumps(tree))
    refused(lambda: Folder(tmp_path, 0)[0], ErrorCode.BAD_CAPTURE, "odd.gltf")


@pytest.mark.parametrize(
    "text", ["a: &a [1, 2]\nb: [*a, *a]\n", "quality: 2001-13-45\n", "quality: {low: " + "9" * 5000 + "}\n", "{" * 5000]
)
def test_yaml_that_is_no_file_of_settings_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    refused(lambda: load_config(ReconstructionConfig, tmp_path / "odd.yaml"), ErrorCode.BAD_OPTION, "odd.yaml")


@pytest.mark.parametrize("change", ["a=2001-13-45", "quality.x\n=1", "a={*b: 1}", "quality=" + "9" * 5000, "=1", "a"])
def test_a_change_that_is_none_is_refused(change: str) -> None:
    refused(lambda: load_config(ReconstructionConfig, None, [change]), ErrorCode.BAD_OPTION, "--set ")


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="gone") as caught, locked(tmp_path / "gone"):
        pass
    assert caught.value.code is ErrorCode.CANNOT_WRITE
    (tmp_path / "victim").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(ReconstructionError), locked(tmp_path):
        pass


def test_damaged_training_data_is_named(tmp_path: Path) -> None:
    for name, content in (("0001-0000000.npz", b"PK\3\4"), ("0001-0000001.npz", b"")):
        (tmp_path / name).write_bytes(content)
        refused(lambda name=name: read_scenes(tmp_path / name), ErrorCode.BAD_CAPTURE, name, "delete it")
    np.savez(tmp_path / "0001-0000002.npz", x=np.zeros((2, 3)), y=np.zeros(2))
    refused(lambda: read_scenes(tmp_path / "0001-0000002.npz"), ErrorCode.BAD_CAPTURE, "(2, 3)")
    shard = tmp_path / "shard_00000"
    shard.mkdir()
    np.save(shard / "support_height.npy", np.zeros(2))
    for name in (*ARRAYS, "family"):
        np.save(shard / f"{name}.npy", np.zeros(3 if name == "rgb" else 2))
    refused(lambda: Shards(tmp_path)[0], ErrorCode.BAD_CAPTURE, "shard_00000")
    (shard / "family.npy").write_bytes(b"\x93NUMPY\1\0\x10\0{'descr': 9")
    refused(lambda: Shards(tmp_path)[0], ErrorCode.BAD_CAPTURE, "shard_00000", "render the folder again")
