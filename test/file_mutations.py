"""Seeded damage to files: bytes, numbers in text, values of JSON, and of the formats that carry JSON or checksums."""

from __future__ import annotations

import json
import random
import re
import struct
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

INTEGERS = (0, 1, -1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**62)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 1e-300, 1e308, -1e308, float("nan"), float("inf"), 10**400, 2**31, 2**63),
    *("", "x", "x" * 5000, "\0", "../..", "/", "/dev/null", "\ud800", "1", "nan", [], {}, [[]], [None], {"a": []}),
    *([1, 2, 3], [[1.0] * 4] * 4, [[0.0] * 4] * 4, [1e30] * 16, ["a"] * 100, [0] * 10_000),
)


def bytes_of(rng: random.Random, content: bytes) -> bytes:
    """One to four random changes: flips, integers, cuts, copies, another length, another number in a text."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        if rng.random() < 0.5:  # near the front, where headers are
            at = min(at, rng.randrange(400))
        end = min(len(data), at + rng.choice((1, 2, 8, 100, 5000)))
        match rng.randrange(7):
            case 0:
                data[at:end] = bytes(b ^ (1 << rng.randrange(8)) for b in data[at:end])
            case 1:
                size = rng.choice((1, 2, 4, 8))
                number = rng.choice(INTEGERS) % (1 << 8 * size)
                data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[end : end + rng.choice((1, 10, 1000))]
            case 4:
                del data[rng.randrange(len(data) + 1) :]
            case 5:
                data[at:end] = rng.randbytes(end - at)
            case 6:
                data = bytearray(numbers_of(rng, bytes(data)))
    return bytes(data)


def numbers_of(rng: random.Random, content: bytes) -> bytes:
    """Another number in place of one that the first part of a file writes in digits."""
    found = list(re.finditer(rb"\d+(\.\d+)?", content[:20_000]))
    if not found:
        return content
    one = rng.choice(found)
    new = rng.choice([*map(str, INTEGERS), "1e999", "nan", "-", "9" * 5000, "0.0", "", "1e-320"]).encode()
    return content[: one.start()] + new + content[one.end() :]


def json_of(rng: random.Random, tree: Any) -> Any:
    """``tree`` with one to three of its values changed, removed, or exchanged for another's."""
    for _ in range(rng.randint(1, 3)):
        holders = list(_holders(tree))
        if not holders:
            return deepcopy(rng.choice(VALUES))
        holder, key = rng.choice(holders)
        match rng.randrange(5):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1:
                other, name = rng.choice(holders)
                holder[key] = deepcopy(other[name])
            case _:
                holder[key] = deepcopy(rng.choice(VALUES))
    return tree


def _holders(tree: Any) -> Any:
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _holders(tree[key])


def safetensors_of(rng: random.Random, content: bytes) -> bytes:
    """Another header before the same tensors: of the file, or of the JSON texts within its metadata."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    texts = [key for key, text in header["__metadata__"].items() if text[:1] in "{["]
    if texts and rng.random() < 0.7:
        key = rng.choice(texts)
        header["__metadata__"][key] = json.dumps(json_of(rng, json.loads(header["__metadata__"][key])))
    else:
        header = json_of(rng, header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def glb_of(rng: random.Random, content: bytes) -> bytes:
    """Another JSON chunk before the same buffers."""
    length = int.from_bytes(content[12:16], "little")
    text = json.dumps(json_of(rng, json.loads(content[20 : 20 + length]))).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest)) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + rest


def png_of(rng: random.Random, content: bytes) -> bytes:
    """Another size, depth or colour type, with a right checksum."""
    header = bytearray(content[16:29])
    if rng.random() < 0.7:
        side = rng.choice((0, 1, 63, 65, 5000, 40_000, 2**31 - 1, 2**32 - 1))
        at = rng.choice((0, 4))
        header[at : at + 4] = side.to_bytes(4, "big")
    else:
        header[rng.choice((8, 9, 10, 11, 12))] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return content[:16] + header + zlib.crc32(b"IHDR" + header).to_bytes(4, "big") + content[33:]


def any_of(rng: random.Random, content: bytes, *ways: Callable[[random.Random, bytes], bytes]) -> bytes:
    """One of ``ways``, or `bytes_of`; where a way meets a file that it does not know, `bytes_of` too."""
    way = rng.choice((bytes_of, *ways))
    try:
        return way(rng, content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return bytes_of(rng, content)
