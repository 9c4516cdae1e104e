"""Damaged files through every reader of the package: ``python test/fuzz_files.py SECONDS [SEED [KIND [CASE]]]``.

Each case is drawn from (seed, kind, number) alone, so the line that names a failure repeats it. What must hold: a
result or a ReconstructionError with a code of its reader, in bounded memory (`MOST_MEMORY` above what is loaded).
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from file_mutations import any_of, bytes_of, glb_of, json_of, numbers_of, png_of, safetensors_of
from rendered import orbit, render

from mvgamba_ros.config.loading import load_config
from mvgamba_ros.config.parsing import parse_change
from mvgamba_ros.config.quality_config import QualityConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh, write_mesh
from mvgamba_ros.io.ply import read_gaussians, write_cloud, write_gaussians
from mvgamba_ros.io.results import unlisted, write_results
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.methods.published.network import PublishedConfig, PublishedNetwork
from mvgamba_ros.methods.published.published_weights import read_published, save_published
from mvgamba_ros.model.checkpoint import load_checkpoint, save_checkpoint
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.synthesis.sources import Folder
from mvgamba_ros.types import Gaussians

MOST_MEMORY = 3_000_000_000
"""Bytes of address space."""
SLOWEST_S = 30.0
READING = {ErrorCode.BAD_CAPTURE}
FOUND = {code for code in ErrorCode if 10 <= code <= 53} - {ErrorCode.BAD_CHECKPOINT, ErrorCode.CANNOT_WRITE}
"""What a reconstruction of a damaged capture may end with."""
FEW = Options(method="hull", hull_resolution=32, cloud_points=500, max_faces=300)
TINY = RayGambaConfig(size=48, width=16, skip=8, bins=8, orders=("rows",), cascade_positions=8)


class Originals:
    """Sound files of every kind in ``folder``."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.folder = folder
        self.views = [render(T, 160, 120) for T in orbit(3)]
        write_capture(folder / "capture", self.views)
        save_checkpoint(folder / "network.safetensors", RayGamba(TINY), {"seed": 1})
        save_published(folder / "published.safetensors", PublishedNetwork(PublishedConfig(28, 2, 14, 16, 1, 4)))
        torch.save({"model": PublishedNetwork(PublishedConfig(28, 2, 14, 16, 1, 4)).state_dict()}, folder / "a.pth")
        objectness.save(folder / "objectness.safetensors", objectness.Objectness((4, 4)), {})
        result = reconstruct(self.views, FEW)
        write_results(folder / "result", result, np.zeros((8, 8, 3), np.uint8))
        for name in ("mesh.ply", "mesh.glb", "mesh.obj", "mesh.stl"):
            write_mesh(folder / name, result.mesh)
        write_cloud(folder / "cloud.ply", result.cloud)
        one = torch.ones(20, 3)
        write_gaussians(folder / "gaussians.ply", Gaussians(one, torch.ones(20, 4), one, one[:, 0] / 2, one))
        (folder / "text.ply").write_text(
            "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
            "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
        )
        (folder / "text.stl").write_text(
            "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
            "endsolid a\n"
        )
        (folder / "text.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
        settings = "# settings\n" + "".join(f"{k}: {v}\n" for k, v in vars(QualityConfig()).items())
        (folder / "settings.yaml").write_text(settings)


def capture(rng: random.Random, files: Originals, place: Path) -> set[ErrorCode]:
    shutil.copytree(files.folder / "capture", place / "capture")
    listed, pictures = place / "capture" / "transforms.json", sorted((place / "capture" / "images").iterdir())
    if rng.random() < 0.6:
        content = listed.read_bytes()
        way = rng.choice((bytes_of, numbers_of, None, None))
        tree = None if way else json_of(rng, json.loads(content))
        listed.write_bytes(way(rng, content) if way else json.dumps(tree).encode())
    else:
        picture = rng.choice(pictures)
        if rng.random() < 0.3:  # another's, garbage depth, an empty mask
            noise = np.random.default_rng(rng.randrange(2**32))
            kind = np.uint16 if "depth" in picture.name else np.uint8
            shape = (120, 160, 3) if "_" not in picture.name else (120, 160)
            high = rng.choice((1, 2, 300, np.iinfo(kind).max))
            cv2.imwrite(str(picture), noise.integers(0, high, shape).astype(kind))
        else:
            picture.write_bytes(any_of(rng, picture.read_bytes(), png_of))
    found = read_capture(place / "capture")
    if rng.random() < 0.1:
        try:
            reconstruct(found, FEW)
        except ReconstructionError as error:
            assert error.code in FOUND, error
    return READING


def checkpoint(rng: random.Random, files: Originals, place: Path) -> set[ErrorCode]:
    name, read = rng.choice(
        (
            ("network.safetensors", load_checkpoint),
            ("published.safetensors", read_published),
            ("a.pth", read_published),
            ("objectness.safetensors", objectness.load),
        )
    )
    file = _damaged(rng, files.folder / name, place, *([safetensors_of] * 3 if name != "a.pth" else []))
    read(file)
    return {ErrorCode.BAD_CHECKPOINT}


def mesh(rng: random.Random, files: Originals, place: Path) -> set[ErrorCode]:
    name = rng.choice(("mesh.ply", "mesh.glb", "mesh.obj", "mesh.stl", "text.ply", "text.stl", "gaussians.ply"))
    file = _damaged(rng, files.folder / name, place, glb_of if name.endswith(".glb") else numbers_of)
    (read_gaussians if name == "gaussians.ply" else read_mesh)(file)
    return READING


def source(rng: random.Random, files: Originals, place: Path) -> set[ErrorCode]:
    name = rng.choice(("mesh.ply", "mesh.glb", "mesh.obj", "text.off"))
    _damaged(rng, files.folder / name, place, glb_of if name.endswith(".glb") else numbers_of)
    Folder(place, 0)[0]
    return READING


def settings(rng: random.Random, files: Originals, place: Path) -> set[ErrorCode]:
    odd = (
        "[",
        "]",
        "{",
        "}",
        "${",
        ":",
        "\n",
        "\0",
        "\udcff",
        "1e999",
        ".nan",
        "~",
        "!!python/name:os",
        "&a ",
        "*a",
        "???",
    )
    odd += ("'", '"', "0x", "1_0", "2001-13-45", "<<: ", "9" * 5000, "#", "|", "%", "@", "\t", "..", "[" * 3000)
    if rng.random() < 0.5:
        load_config(QualityConfig, _damaged(rng, files.folder / "settings.yaml", place, numbers_of))
    else:
        text = list(f"{rng.choice([*vars(QualityConfig()), 'a.b'])}={rng.choice(('1', '[1, 2]', '{a: 1}', ''))}")
        for _ in range(rng.randint(0, 4)):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randint(0, 2)] = [rng.choice(odd)]
        (parse_change if rng.random() < 0.7 else lambda change: load_config(QualityConfig, None, [change]))(
            "".join(text)
        )
    return {ErrorCode.BAD_OPTION}


def result(rng: random.Random, files: Originals, place: Path) -> set[ErrorCode]:
    shutil.copytree(files.folder / "result", place / "result")
    report = place / "result" / "report.json"
    content = report.read_bytes()
    tree = json.dumps(json_of(rng, json.loads(content))).encode()
    report.write_bytes(rng.choice((bytes_of(rng, content), tree)))
    assert isinstance(unlisted(place / "result"), str)
    return set()


KINDS: dict[str, Callable[[random.Random, Originals, Path], set[ErrorCode]]] = {
    kind.__name__: kind for kind in (capture, checkpoint, mesh, source, settings, result)
}
CODES = {"capture": READING, "checkpoint": {ErrorCode.BAD_CHECKPOINT}, "mesh": READING, "source": READING}
CODES |= {"settings": {ErrorCode.BAD_OPTION}, "result": set()}


def _damaged(rng: random.Random, original: Path, place: Path, *ways: Callable[[random.Random, bytes], bytes]) -> Path:
    file = place / original.name
    file.write_bytes(any_of(rng, original.read_bytes(), *ways))
    return file


def case(seed: int, kind: str, number: int, files: Originals, place: Path) -> str:
    """The code of one case's error, or "read". Raises what must not be raised."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    began = time.monotonic()
    try:
        KINDS[kind](random.Random(f"{seed} {kind} {number}"), files, place)
        code = "read"
    except ReconstructionError as error:
        assert error.code in CODES[kind], f"{error.code.name}: {error.message}"
        assert "\n" not in error.message and len(error.message) < 20_000, error.message[:500]
        code = error.code.name
    assert time.monotonic() - began < SLOWEST_S, "too slow"
    return code


def main(seconds: float, seed: int = 0, kind: str = "", number: int = -1) -> int:
    """Runs cases of all kinds in turn, or the one named; prints the failures and how many ended how."""
    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        files, failed = Originals(Path(folder)), 0
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, resource.RLIM_INFINITY))
        end, numbers = time.monotonic() + seconds, iter(range(10**9) if number < 0 else [number])
        for n in numbers:
            if time.monotonic() > end:
                break
            for name in KINDS if not kind else [kind]:
                (Path(folder) / "case").write_text(f"{seed} {name} {n}")
                try:
                    outcomes[f"{name} {case(seed, name, n, files, Path(folder) / 'place')}"] += 1
                except Exception:
                    failed += 1
                    print(f"case {seed} {name} {n}", traceback.format_exc(), sep="\n", flush=True)
    print(f"{sum(outcomes.values())} files, {failed} failed:", dict(sorted(outcomes.items())), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    seconds, *rest = sys.argv[1:]
    sys.exit(main(float(seconds), *(int(text) if text.isdecimal() else text for text in rest)))  # type: ignore[arg-type]
