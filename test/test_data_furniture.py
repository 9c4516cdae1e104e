"""Sweet Home 3D's catalogues as a source: true sizes, the way up, licences, halves; on a catalogue made on the spot."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.synthesis.furniture import INSTALLED, Furniture, read_catalogue
from mvgamba_ros.synthesis.sources import open_source
from mvgamba_ros.synthesis.tabletop_layout import lay_out
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig

WEDGE = """mtllib wedge.mtl
usemtl red
v 0 0 0
v 2 0 0
v 0 0 1
v 2 0 1
v 0 3 0
v 2 3 0
f 1 3 4 2
f 1 2 6 5
f 3 5 6 4
f 1 5 3
f 2 4 6
"""
"""A wedge 2 wide, 3 high along y, 1 deep, of other proportions than the catalogue gives it."""
ZERO = "Released under\nCreative Commons Zero (Public Domain)\n"
BY = "Released under\nCreative Commons Attribution 3.0\n"
EACH = "This file is under the Creative Commons Zero license. Read license files included in the folder of each model"


def write_catalogue(file: Path, models: dict[str, tuple[str, str]], licence: str = EACH) -> Path:
    """``models``: name -> its own licence, or none where empty, and its longest side in cm."""
    lines = ["id=Test", "name=Test"]
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("LICENSE.TXT", licence)
        for n, (name, (own, side)) in enumerate(models.items(), 1):
            lines += [
                f"id#{n}=Test#{name}", f"name#{n}={name}", f"model#{n}=/test/{name}/wedge.obj", f"width#{n}=4.0",
                f"depth#{n}=3", f"height#{n}={side}", f"creator#{n}=J\xf6rg",
            ]  # fmt: skip
            z.writestr(f"test/{name}/wedge.obj", WEDGE)
            z.writestr(f"test/{name}/wedge.mtl", "newmtl red\nKd 0.8 0.1 0.1\n")
            if own:
                z.writestr(f"test/{name}/LICENSE.txt", own)
        z.writestr("PluginFurnitureCatalog.properties", "\n".join(lines).encode("latin-1"))
    return file


def test_a_model_stands_at_its_true_size_in_its_own_colour(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "a.sh3f", {"wedge": (ZERO, "12.5")})
    source = open_source(str(tmp_path), 1, 1)
    assert (len(source), source.name_of(0)) == (1, "Test#wedge")
    mesh = source[0]
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [0.04, 0.03, 0.125])
    np.testing.assert_allclose(mesh.vertices.min(0) + mesh.vertices.max(0), 0, atol=1e-12)
    # its edge, high in the file's y, is on top, over the back of what Sweet Home 3D shows
    top = mesh.vertices[mesh.vertices[:, 2] > 0.06]
    assert len(top) and (top[:, 1] > 0.014).all()
    color = mesh.textures[mesh.tile[0]].reshape(-1, 3)
    where = (mesh.uv[0, 0] * 512).astype(int)
    assert np.abs(color[where[1] * 512 + where[0]].astype(int) - [204, 25, 25]).max() <= 4
    assert mesh.upright


def test_models_whose_licence_is_not_plain_or_that_no_hand_holds_are_left_out(tmp_path: Path) -> None:
    models = {
        "zero": (ZERO, "10"),
        "by": (BY, "10"),
        "without": ("", "10"),
        "limited": (BY + "http://creativecommons.org/licenses/by-nc/3.0/", "10"),
        "own": ("All rights reserved.", "10"),
        "table": (ZERO, "70"),
        "crumb": (ZERO, "0.5"),
    }
    found = read_catalogue(write_catalogue(tmp_path / "a.sh3f", models))
    # a width of 4 cm keeps the crumb: its longest side counts
    assert {m.id: m.licence for m in found} == {"Test#zero": "CC0", "Test#by": "CC-BY 3.0", "Test#crumb": "CC0"}
    assert found[0].creator == "J\xf6rg"
    whole = write_catalogue(tmp_path / "b.sh3f", models, "under the Creative Commons Attribution 3.0 Unported license")
    assert "Test#without" in {m.id for m in read_catalogue(whole)}


def test_halves_do_not_overlap_and_variants_of_a_name_stay_together(tmp_path: Path) -> None:
    names = [
        f"{stem}{n}" for stem in ("cup", "bottle", "shoe", "clock", "book", "tin", "plate", "jar") for n in ("", 1, 2)
    ]
    write_catalogue(tmp_path / "a.sh3f", dict.fromkeys(names, (ZERO, "9")))
    train, test = (open_source(f"{tmp_path}#{half}", 1, 1) for half in ("train", "test"))
    ids = [{source.name_of(i) for i in range(len(source))} for source in (train, test)]
    assert not ids[0] & ids[1] and len(ids[0] | ids[1]) == len(names)
    counts = [Counter(name.rstrip("12") for name in half) for half in ids]
    assert all(count == 3 for half in counts for count in half.values()) and all(counts)


def test_a_table_is_laid_with_them(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "a.sh3f", {"wedge": (ZERO, "12.5")})
    meshes, _ = lay_out(TabletopRig(source=str(tmp_path), counts=(0.0, 1.0)), np.random.default_rng(0))
    assert {mesh.family for mesh in meshes} == {"sweethome3d wedge"}


def test_what_is_no_catalogue_and_a_missing_package_name_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "broken.sh3f").write_bytes(b"no zip")
    with pytest.raises(ReconstructionError, match=r"broken\.sh3f") as error:
        len(Furniture(tmp_path))
    assert error.value.code is ErrorCode.BAD_CAPTURE
    with pytest.raises(ReconstructionError, match="apt-get install sweethome3d-furniture"):
        len(Furniture(tmp_path / "nowhere"))
    with pytest.raises(ReconstructionError, match="half 'third': give train or test"):
        len(open_source(f"{tmp_path}#third", 1, 1))


def test_debians_package_has_the_listed_models() -> None:
    """docs/reference/sweethome3d.tsv has id, half, licence and creator of each."""
    folder = Path(os.environ.get("MVGAMBA_SWEETHOME3D") or INSTALLED)
    if not folder.is_dir():
        pytest.skip(f"no catalogues in {folder}: apt-get install sweethome3d-furniture")
    listed = Path(__file__).parents[1] / "docs" / "reference" / "sweethome3d.tsv"
    rows = [line.split("\t")[:3] for line in listed.read_text(encoding="utf-8").splitlines()[1:]]
    assert [[m.id, m.half, m.licence] for m in Furniture(folder).models] == rows
