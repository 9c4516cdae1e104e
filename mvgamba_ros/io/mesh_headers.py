"""What the header of a mesh file promises, against the bytes that are there: readers take memory by the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from mvgamba_ros.io.ply import LONGEST_HEADER

PLY_SIZES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "int32", "uint32", "float", "float32"), 4),
    **dict.fromkeys(("double", "float64"), 8),
}
"""Bytes of a PLY's types."""
COMPRESSION = 16
"""A glTF file that is compressed may name this many numbers a byte. Set by hand: Draco reaches about 2."""
MOST_CHUNKS = 16
"""Of a GLB file, which has two."""
MOST_NUMBERS = 300_000_000
"""Of all placed meshes of a glTF scene, which names a mesh as often as it likes. Set by hand: 1 to 2 GB."""


def check_mesh_header(path: Path) -> None:
    """Raises ValueError where a PLY, GLB or glTF file names more than its bytes can hold, and what parsing it raises.
    Other formats have no such header."""
    suffix = path.suffix.lower()
    if suffix not in (".ply", ".glb", ".gltf"):
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        if suffix == ".ply":
            _check_ply(file, size)
        elif suffix == ".glb":
            _check_tree(_tree_of_glb(file, size), size)
        else:
            tree = json.load(file)
            _check_tree(tree, size + _beside(tree, path.parent))


def _check_ply(file: BinaryIO, size: int) -> None:
    header, end, _ = file.read(LONGEST_HEADER).partition(b"end_header")
    if not header.startswith(b"ply") or not end:
        raise ValueError("no PLY header")
    ascii_numbers, least, row = False, 0, 0
    count = 0
    for line in header.decode("ascii", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            ascii_numbers = "ascii" in words
        elif words[:1] == ["element"]:
            least, row, count = least + count * row, 0, int(words[2])
            if count < 0:
                raise ValueError(f"{count} of element {words[1]}")
        elif words[:1] == ["property"]:
            row += 2 if ascii_numbers else PLY_SIZES[words[2 if words[1] == "list" else 1]]
    least += count * row
    if least > size + 1:  # the last number of a text needs no space after it
        raise ValueError(f"{size} bytes cannot hold the {least} or more that its header names; is it cut off?")


def _tree_of_glb(file: BinaryIO, size: int) -> Any:
    if file.read(12)[:4] != b"glTF":
        raise ValueError("no GLB header")
    chunks: list[int] = []
    at = 12
    while at < size and len(chunks) < MOST_CHUNKS:
        file.seek(at)
        length = int.from_bytes(file.read(8)[:4], "little")
        chunks.append(length)
        at += 8 + length
    if at != size or not chunks:
        raise ValueError(f"its chunks are of {chunks} bytes, together not the {size} that are there")
    file.seek(20)
    return json.loads(file.read(chunks[0]))


def _beside(tree: dict[str, Any], folder: Path) -> int:
    """Bytes of the files that a glTF file names as its buffers."""
    names = [buffer["uri"] for buffer in tree.get("buffers", []) if "uri" in buffer]
    return sum((folder / unquote(name)).stat().st_size for name in names if not name.startswith("data:"))


def _check_tree(tree: dict[str, Any], size: int) -> None:
    accessors = tree.get("accessors", [])
    counts = [_count(accessor) for accessor in accessors]
    bare = sum(count for count, accessor in zip(counts, accessors, strict=True) if "bufferView" not in accessor)
    if bare > COMPRESSION * size:
        raise ValueError(f"{size} bytes cannot hold the {bare} values that its accessors name")
    meshes = [sum(_of(p, counts) for p in mesh.get("primitives", [])) for mesh in tree.get("meshes", [])]
    placed = sum(meshes[node["mesh"]] for node in tree.get("nodes", []) if "mesh" in node)
    if placed > MOST_NUMBERS:
        raise ValueError(f"its scene holds {placed} vertices and indices, more than {MOST_NUMBERS}")


def _count(accessor: dict[str, Any]) -> int:
    count = accessor["count"]
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"accessor of {count!r} values")
    return count


def _of(primitive: dict[str, Any], counts: list[int]) -> int:
    """Vertices and indices of one part of a mesh."""
    named = [primitive["attributes"]["POSITION"], *([primitive["indices"]] if "indices" in primitive else [])]
    return sum(counts[index] for index in named)
