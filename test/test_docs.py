"""The documentation names what there is, and its map is the source's."""

from __future__ import annotations

import dataclasses
import html
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mvgamba_ros

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))  # tools/ is not installed

from tools import doc_links, draw_architecture  # noqa: E402

PAGES = sorted(
    path
    for path in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    if path.name != "CHANGELOG.md"  # it may name what has gone
)
ids = [str(path.relative_to(REPOSITORY)) for path in PAGES]
ROOTS = ("", "docs", "mvgamba_ros", "mvgamba_ros/kernels", "mvgamba_ros/kernels/native")
"""Where the pages' names of files in backticks start."""
MODULES = {path.name for path in (REPOSITORY / "mvgamba_ros").rglob("*.*")}
WRITTEN = {"transforms.json", "mesh.ply", "cloud.ply", "gaussians.ply", "report.json", "preview.png", "sheet.png"}
WRITTEN |= {"mesh.obj", "mesh.mtl", "mesh.glb", "mesh.usdz", "texture.png", "texture_seen.png", "report.html"}
WRITTEN |= {"grasps.json", "grasps.png"}
WRITTEN |= {"thumbnail.jpg", "gallery.html", "summary.csv", "summary.json"}
WRITTEN |= {"transforms_train.json", "metadata.yaml", "metadata.json", "scene_camera.json", "camera.json"}
"""Files that the package writes or reads and the repository does not hold."""


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_what_a_page_links_to_exists(page):
    text = page.read_text(encoding="utf-8")
    for label, target in doc_links.links(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor and path.suffix == ".md":
            assert anchor in headings(path), f"{page.name} links to {target}; its headings: {headings(path)}"
        symbol = doc_links.NAME.fullmatch(label)
        if symbol and path.suffix == ".py" and not symbol["name"].endswith(".py"):
            assert symbol["name"] in doc_links.definitions(path), f"{page.name}: {target} has no {symbol['name']}"


def headings(page: Path) -> set[str]:
    """The anchors that GitHub and the site make of a page's headings."""
    found = re.findall(r"^#+ (.+)$", doc_links.without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_file_that_a_page_names_in_backticks_exists(page):
    for name in doc_links.paths_in_backticks(page.read_text(encoding="utf-8")):
        if name in WRITTEN:
            continue
        anywhere = "/" not in name and name in MODULES  # no two modules have one name
        assert anywhere or any((REPOSITORY / root / name).exists() for root in ROOTS), f"{page.name} names {name}"


def test_a_module_that_the_source_names_by_its_path_exists():
    named = 0
    for path in (REPOSITORY / "mvgamba_ros").rglob("*.py"):
        for name in re.findall(r"(?<![\w./-])(?:\w+/)+\w+\.py\b", path.read_text(encoding="utf-8")):
            named += 1
            assert any((REPOSITORY / root / name).exists() for root in ("", "mvgamba_ros")), f"{path} names {name}"
    assert named > 5


def test_a_link_to_a_function_that_is_not_there_is_found(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("LIMIT = 3\n\nclass Camera:\n    K: int\n    def project(self): ...\n")
    assert doc_links.definitions(module) == {"LIMIT": 1, "Camera": 3, "Camera.K": 4, "Camera.project": 5}
    page = "See [`carve`](hull.py) and `geometry/hull.py`.\n```\n[`gone`](gone.py) `gone.py`\n```\n"
    assert doc_links.links(page) == [("`carve`", "hull.py")]
    assert doc_links.paths_in_backticks(page) == ["geometry/hull.py"]


def test_the_map_is_what_the_source_imports():
    drawn = draw_architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == draw_architecture.draw(draw_architecture.read_rooms()), "run: python -m tools.draw_architecture"


def test_the_map_shows_every_room_above_what_it_imports(tmp_path):
    for name, text in {
        "types.py": '"""Nouns."""',
        "geometry/__init__.py": '"""Boxes: and rays."""',
        "geometry/rays.py": "from mvgamba_ros.types import View",
        "registry.py": 'PLACES = ["mvgamba_ros.geometry.rays:cast"]',
        "pipeline.py": "import mvgamba_ros.types\ndef run():\n    from mvgamba_ros.geometry import rays",
        "ros/node.py": "from mvgamba_ros.msg import View\nfrom mvgamba_ros.pipeline import run",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    rooms = draw_architecture.read_rooms(tmp_path)
    assert rooms["pipeline"].imports == {"types", "geometry"}
    assert rooms["registry"].by_name == {"geometry"}
    row = draw_architecture.rows_of(rooms)
    assert all(row[name] > row[other] for name, room in rooms.items() for other in room.imports)
    arrows = draw_architecture.direct_imports(rooms)
    assert ("pipeline", "geometry") in arrows and ("pipeline", "types") not in arrows  # it follows
    picture = draw_architecture.draw(rooms)
    assert "Boxes<" in picture and picture.count("<rect") == len(rooms) + len(draw_architecture.COLORS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` builds."""
    pytest.importorskip("mkdocs", reason="install the extra docs")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(out)],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr  # strict: a link into nothing is an error
    return out


def text_of(page: str, name: str) -> str:
    """The text below a public name's heading, up to the next one's."""
    start = page.index(f'id="mvgamba_ros.{name}"')
    end = page.find('<h3 id="mvgamba_ros.', start)
    return html.unescape(re.sub(r"<[^>]+>", "", page[start : end if end > 0 else len(page)]))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_has_each_public_name_with_what_it_takes_gives_and_raises(site):
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in mvgamba_ros.__all__:
        text = text_of(page, name)
        thing = getattr(mvgamba_ros, name)
        if inspect.isfunction(thing):
            for part in ("Parameters:", "Returns:", "Raises:", "Examples:"):
                assert part in text, f"{name} has no {part}"
            for parameter in inspect.signature(thing).parameters:
                assert re.search(rf"\b{parameter}\b", text[text.index("Parameters:") :]), f"{name}: {parameter}"
        elif dataclasses.is_dataclass(thing):
            start = re.search("^(Parameters|Attributes):$", text, re.MULTILINE)
            assert start and "Examples:" in text, f"{name} has no table of its fields, or no example"
            table = text[start.end() : text.index("Examples:")]
            for field in dataclasses.fields(thing):
                assert re.search(rf"^\s*{field.name}\s*$", table, re.MULTILINE), f"{name}: {field.name}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_needs_no_network_and_leads_to_the_lines_of_functions(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'(src|href)="https?://[^"]*\.(js|css|woff2?)"', text), path
        assert "unpkg.com" not in text and "fonts.googleapis" not in text, path
    line = doc_links.definitions(REPOSITORY / "mvgamba_ros" / "pipeline.py")["reconstruct"]
    linked = f"source/mvgamba_ros/pipeline.py.html#L-0-{line}"
    assert linked in (site / "architecture.html").read_text(encoding="utf-8")
    source = (site / "source" / "mvgamba_ros" / "pipeline.py.html").read_text(encoding="utf-8")
    assert f'id="L-0-{line}"' in source
    example = (site / "examples" / "01_reconstruct_a_folder.html").read_text(encoding="utf-8")
    assert "reconstruct(views)" in re.sub(r"<[^>]+>", "", example)
