"""Hooks of mkdocs: examples and linked files become pages of the site, links to functions lead to their lines."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))  # mkdocs loads this file by its path

from tools import doc_links  # noqa: E402

LANGUAGES = {".py": "python", ".cpp": "cpp", ".h": "cpp", ".yaml": "yaml", ".xml": "xml", ".sh": "sh"}
PROJECT = ("README.md", "CONTRIBUTING.md", "MODEL_CARD.md", "CHANGELOG.md")


def on_files(files: Files, config: Any) -> Files:
    """Adds what the pages lead to: project/ (the pages beside docs/), examples/, source/ (any other file)."""
    docs = Path(config["docs_dir"])
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(docs.rglob("*.md"))}
    texts |= {REPOSITORY / name: (REPOSITORY / name).read_text(encoding="utf-8") for name in PROJECT}
    for name in PROJECT:
        files.append(File.generated(config, f"project/{name}", content=texts[REPOSITORY / name]))
    for path in sorted((REPOSITORY / "examples").glob("*.py")):
        files.append(File.generated(config, f"examples/{path.stem}.md", content=example_page(path)))
    linked = {target(page, link) for page, text in texts.items() for _, link in doc_links.links(text)}
    for path in sorted(path for path in linked if path is not None):
        place = site_place(path)
        if place.startswith("source/") and path.is_file():
            files.append(File.generated(config, place, content=source_page(path)))
        elif path.suffix in (".png", ".jpg", ".svg") and not path.is_relative_to(docs):
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turns links out of docs/ into links within the site, to the line of the function that is their text."""
    place = page.file.src_uri
    origin = origin_of(place, Path(config["docs_dir"]))

    def led(match: re.Match[str]) -> str:
        path = target(origin, match["target"])
        if path is None:
            return match[0]
        if path.is_dir():
            return match["text"]  # a folder has no page
        anchor = match["target"].partition("#")[2]
        symbol = doc_links.NAME.fullmatch(match["text"])
        if symbol and path.suffix == ".py" and (line := doc_links.definitions(path).get(symbol["name"])):
            anchor = f"L-0-{line}"
        there = os.path.relpath(site_place(path), Path(place).parent).replace(os.sep, "/")
        return f"{match[0][: match[0].rindex('(')]}({there}{'#' if anchor else ''}{anchor})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else doc_links.LINK.sub(led, part) for part in parts)


def target(page: Path, link: str) -> Path | None:
    """The file that a page's link leads to; None where that is not in the repository."""
    name = link.partition("#")[0]
    if not name or re.match(r"[a-z]+:", link):
        return None
    path = Path(os.path.normpath(page.parent / name))
    return path if path.exists() and path.is_relative_to(REPOSITORY) else None


def site_place(path: Path) -> str:
    """Where a file of the repository stands in the site."""
    name = path.relative_to(REPOSITORY).as_posix()
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    if name in PROJECT:
        return f"project/{name}"
    if re.fullmatch(r"examples/\w+\.py", name):
        return f"{name.removesuffix('.py')}.md"
    return f"source/{name}.md"


def origin_of(place: str, docs: Path) -> Path:
    """The file that a page of the site is made from."""
    if place.startswith("project/"):
        return REPOSITORY / place.removeprefix("project/")
    return docs / place


def example_page(path: Path) -> str:
    """An example's docstring as a page, its code below."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")
    rest = re.sub(r"^usage: (.*)$", r"```sh\n\1\n```", rest, flags=re.MULTILINE)
    code = text[text.index('"""', 3) + 3 :].strip()
    title = path.stem.partition("_")[2].replace("_", " ").capitalize()
    return f"# {title}\n\n{head}\n\n{rest}\n\n```python\n{code}\n```\n"


def source_page(path: Path) -> str:
    """A file of the repository, to read."""
    name = path.relative_to(REPOSITORY).as_posix()
    text, language = path.read_text(encoding="utf-8").rstrip(), LANGUAGES.get(path.suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n``````{language}\n{text}\n``````\n"
