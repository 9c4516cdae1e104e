"""The protocol of generators: what goes in, where weights come from, and what a plug-in is held to."""

from __future__ import annotations

import ast
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import trimesh

from mvgamba_ros import registry
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate import hub
from mvgamba_ros.generate.canonical_cameras import AZIMUTHS, RADIUS, orbit_pose, square_camera
from mvgamba_ros.generate.cutout import Cutout
from mvgamba_ros.generate.generator import GeneratedMesh, GeneratedViews, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.hub import Published, find_weights
from mvgamba_ros.generate.run_generator import generate, wrong_answer
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import View

PAGE = (Path(__file__).parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
PUBLISHED = Published("someone/something", "ab" * 20, "MIT")


def never() -> bool:
    return False


def unseen(stage: str, fraction: float) -> None:
    pass


def bowl() -> Subject:
    y, x = np.mgrid[:80, :100]
    inside = (np.hypot(x - 49.5, y - 20) < 30) & (y >= 20)
    return Subject(Cutout(np.full((80, 100, 3), 77, np.uint8), inside.astype(np.float32), "made up"))


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module that an installed package brings as the generator 'lathe'."""
    (tmp_path / "lathe-0.3.dist-info").mkdir()
    (tmp_path / "lathe-0.3.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lathe\nVersion: 0.3\n")
    entry = "[mvgamba_ros.generators]\nlathe = my_generator:Lathe\n"
    (tmp_path / "lathe-0.3.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_generator", raising=False)
    registry._installed.cache_clear()
    yield tmp_path / "my_generator.py"
    registry._installed.cache_clear()
    sys.modules.pop("my_generator", None)


def test_the_generator_of_the_page_makes_a_bowl_of_its_outline(plugin: Path) -> None:
    found = re.search(r'title="my_generator\.py"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    assert found
    plugin.write_text(found[1])
    made = generate(GeneratorOptions(generator="lathe", weights="the page's"), bowl(), 0, unseen, never)
    assert isinstance(made, GeneratedMesh) and made.photo_azimuth == 0.0
    solid = trimesh.Trimesh(made.mesh.vertices, made.mesh.faces, process=False)
    assert solid.is_watertight and solid.volume == pytest.approx(2 / 3 * np.pi, rel=0.08)  # half a ball of radius 1
    assert (made.mesh.colors == 77).all()
    with pytest.raises(ReconstructionError, match="lathe needs a picture"):
        generate(GeneratorOptions(generator="lathe", weights="the page's"), Subject(prompt="a bowl"), 0, unseen, never)


MESH = "Mesh(np.array([[0., 0, 0], [1, 0, 0], [0, 1, {z}]]), np.array([[0, 1, {last}]]), np.zeros((3, 3), np.uint8))"
VIEW = "GeneratedViews((View(np.zeros((4, 4, 3), np.uint8), Camera(np.eye(3), 4, 4), np.eye(4), {mask}),))"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("1 / 0", r"raised ZeroDivisionError: division by zero \(my_generator\.py, line \d+\)"),
        ("None", "returned NoneType, neither GeneratedViews nor GeneratedMesh"),
        (f"GeneratedMesh({MESH.format(z=1.5, last=2)})", r"returned vertices beyond \[-1, 1\]"),
        (f"GeneratedMesh({MESH.format(z='np.nan', last=2)})", r"returned vertices beyond \[-1, 1\]"),
        (f"GeneratedMesh({MESH.format(z=1, last=3)})", "triangles of vertices that are not there"),
        (f"GeneratedMesh({MESH.format(z=1, last=2)}, 'front')", "photo_azimuth 'front', not radians"),
        (f"GeneratedMesh({MESH.format(z=1, last=2)}, notes='none')", "notes 'none', not a tuple of str"),
        ("GeneratedViews(())", "no tuple of Views"),
        (VIEW.format(mask="np.ones((4, 5), bool)"), r"view 0 with a mask \(4, 5\) bool, not \(4, 4\) bool"),
        (VIEW.format(mask="np.zeros((4, 4), bool)"), "one that shows no object"),
        (f"GeneratedMesh({MESH.format(z=1, last=2.0)})", "vertices float64 and faces float64, not floats and whole"),
        (f"GeneratedMesh({MESH.format(z='1j', last=2)})", "vertices complex128 and faces int64, not floats and whole"),
        (f"GeneratedMesh({MESH.format(z=1, last=2)}, True)", "photo_azimuth True, not radians"),
        (VIEW.format(mask="None").replace("4, 3)", "4, 1)"), r"view 0 with a picture \(4, 4, 1\)"),
        (VIEW.format(mask="None").replace("eye(3)", "eye(3) * np.nan"), "view 0: K must be 3x3 and finite"),
        (VIEW.format(mask="None").replace("np.eye(4)", "2 * np.eye(4)"), "view 0: the last row of a pose"),
        (VIEW.format(mask="None, np.ones((3, 3), np.float32)"), r"view 0 with depth or hidden pixels of another size"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_the_packages_fault(plugin: Path, answer: str, words: str) -> None:
    plugin.write_text(
        "import numpy as np\n"
        "from mvgamba_ros.generate.generator import GeneratedMesh, GeneratedViews\n"
        "from mvgamba_ros.types import Camera, Mesh, View\n"
        "class Lathe:\n"
        "    def __init__(self, options): pass\n"
        f"    def __call__(self, *arguments): return {answer}\n"
    )
    with pytest.raises(ReconstructionError, match=rf"generator 'lathe' of package lathe 0\.3 .*{words}") as caught:
        generate(GeneratorOptions(generator="lathe", weights=answer), bowl(), 0, unseen, never)
    assert caught.value.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True])
def test_a_seed_that_is_none_is_refused_before_anything_is_loaded(seed: object) -> None:
    with pytest.raises(ReconstructionError, match=r"seed .* must be a whole number, 0 to 9223372036854775807"):
        generate(GeneratorOptions(), bowl(), seed, unseen, never)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"generator": "magic"}, "generator 'magic' is not one of imagedream, mvdream, triposr"),
        ({"steps": 0}, "steps 0 must be a whole number, 1 to 1000"),
        ({"guidance": float("nan")}, "guidance nan must be a number, 0 to 100"),
        ({"fetch": "yes"}, "fetch 'yes' must be True or False"),
    ],
)
def test_options_out_of_range_are_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(ReconstructionError, match=words) as caught:
        GeneratorOptions(**values)  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_a_subject_is_a_picture_or_words() -> None:
    for empty in (Subject, lambda: Subject(prompt="  "), lambda: Subject(prompt=3)):  # type: ignore[arg-type]
        with pytest.raises(ReconstructionError) as caught:
            empty()
        assert caught.value.code is ErrorCode.BAD_OPTION
    with pytest.raises(ReconstructionError, match="at most 2000 characters"):
        Subject(prompt="a", negative_prompt="b" * 2001)


def test_weights_in_a_folder_are_found_and_their_licence_is_logged_once(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert find_weights("magic", str(tmp_path), PUBLISHED, False) == tmp_path
        assert find_weights("magic", str(tmp_path), PUBLISHED, False) == tmp_path
    assert [record.getMessage() for record in caplog.records] == [
        f"generator magic runs the weights {tmp_path}; those of someone/something are licensed: MIT"
    ]


class Hub(ModuleType):
    """As huggingface_hub; ``calls``: what was wanted of it."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__("huggingface_hub")
        self.folder = folder
        self.calls: list[dict[str, object]] = []

    def snapshot_download(self, repository: str, **wanted: object) -> str:
        self.calls.append({"repository": repository, **wanted})
        if self.folder is None:
            raise OSError("cannot find the snapshot folder")
        return str(self.folder)


@pytest.mark.parametrize(("weights", "repository"), [("", "someone/something"), ("me/mine@" + "0" * 40, "me/mine")])
@pytest.mark.parametrize("fetch", [False, True])
def test_a_pinned_commit_is_taken_from_the_cache_and_fetched_only_where_that_is_set(
    tmp_path, monkeypatch, weights: str, repository: str, fetch: bool
) -> None:
    there = Hub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", there)
    assert find_weights("magic", weights, PUBLISHED, fetch) == tmp_path
    (call,) = there.calls
    assert call["repository"] == repository and call["revision"] == ("0" * 40 if weights else "ab" * 20)
    assert call["local_files_only"] is not fetch
    assert call["allow_patterns"] == ["*.json", "*.txt", "*.safetensors"]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (
            "",
            r"weights someone/something@(ab){20} are not here: run `hf download someone/something --revision (ab){20}",
        ),
        ("me/mine@" + "0" * 40, r"me/mine@0{40} are not here: run `hf download me/mine --revision 0{40} "),
        ("me/mine", r"weights 'me/mine': neither a folder nor owner/name@commit"),
        ("me/mine@main", "neither a folder nor owner/name@commit"),
        ("/no/such/folder", "neither a folder nor owner/name@commit"),
    ],
)
def test_weights_that_are_not_here_are_answered_with_the_command(monkeypatch, weights: str, words: str) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(None))
    with pytest.raises(ReconstructionError, match=rf"generator magic: .*{words}") as caught:
        find_weights("magic", weights, PUBLISHED, False)
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT
    assert caught.value.message.endswith(
        "--local-dir magic` and set generator_weights (`mvgamba generate`: --weights) to that folder"
    )


def test_without_a_pinned_commit_a_folder_is_needed() -> None:
    with pytest.raises(ReconstructionError, match=r"it needs weights: run `hf download a/b --local-dir magic`"):
        find_weights("magic", "", Published("a/b", "", "MIT"), False)


def test_nothing_of_the_room_imports_what_is_large_before_it_is_used() -> None:
    large = {"diffusers", "transformers", "huggingface_hub", "rembg", "tsr", "trellis", "trellis2", "step1x3d_geometry"}
    for path in Path(hub.__file__).parent.glob("*.py"):
        imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {str(getattr(node, "module", None) or node.names[0].name).split(".")[0] for node in imports}
        assert not names & large, path.name


def test_a_missing_hub_package_is_answered_with_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ReconstructionError, match=re.escape(hub.INSTALL)) as caught:
        find_weights("magic", "", PUBLISHED, False)
    assert caught.value.code is ErrorCode.MISSING_PACKAGE


def test_generated_views_are_what_a_reconstruction_takes() -> None:
    camera = square_camera(256)
    y, x = np.mgrid[:256, :256] + 0.5
    slope = np.tan(np.arcsin(0.6 / RADIUS))  # of the cone that a ball of radius 0.6 at the origin fills
    inside = np.hypot(x - 128, y - 128) < camera.K[0, 0] * slope
    image = np.where(inside[..., None], np.uint8(90), np.uint8(255)).repeat(3, axis=2).astype(np.uint8)
    views = tuple(View(image, camera, orbit_pose(azimuth), inside) for azimuth in AZIMUTHS)
    assert wrong_answer(GeneratedViews(views, 0.0)) == ""
    mesh = reconstruct(views, Options(method="hull", segmenter="masks", hull_resolution=48, cloud_points=1000)).mesh
    np.testing.assert_allclose(np.abs(mesh.vertices).max(axis=0)[:2], RADIUS * slope, atol=0.02)  # all cones' hull
    assert np.abs(mesh.vertices.mean(axis=0)).max() < 0.05
