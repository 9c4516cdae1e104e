"""The results of a batch as one HTML file: a thumbnail of each, how good it is or why it failed, a link to its page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

import cv2
import numpy as np

from mvgamba_ros import __version__
from mvgamba_ros.batch.batch_summary import FAILED, PENDING, Row
from mvgamba_ros.types import U8

THUMBNAIL = "thumbnail.jpg"
SIDE, JPEG_QUALITY = 320, 80
"""Longer side of a thumbnail in pixels, and its quality: 10 kB each, so that hundreds make a page of megabytes."""
PAGES = ("report.html", "scene.png", "preview.png")
"""What a thumbnail leads to: the first of these in the result's folder."""


def thumbnail(picture: U8) -> bytes:
    """A JPEG of ``picture`` (H, W, 3) RGB, `SIDE` pixels on its longer side."""
    scale = SIDE / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return content.tobytes()


def gallery_html(folder: Path, rows: Sequence[Row], title: str) -> bytes:
    """The page. ``folder``: that of the batch, where the page will lie; thumbnails are read from the results in it."""
    failed = sum(row.state == FAILED for row in rows)
    low = sum(row.quality == "low" for row in rows)
    counts = [f"{len(rows)} captures", f"{low} of low quality", f"{failed} failed"]
    page = Template(_asset("gallery.html")).substitute(
        title=escape(title),
        style=_asset("gallery.css"),
        counts=", ".join(counts),
        cards="".join(_card(folder, row) for row in rows),
        version=__version__,
    )
    return page.encode(errors="backslashreplace")  # what is no text in a path that a message names


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _card(folder: Path, row: Row) -> str:
    kind = row.state if row.state in (FAILED, PENDING) else row.quality
    facts = []
    if row.expected_error_mm is not None:
        facts.append(f"expected error {row.expected_error_mm:.1f} mm")
    if row.seen is not None:
        facts.append(f"{row.seen:.0%} seen")
    if row.objects > 1:
        facts.append(f"{row.objects} objects")
    if row.seconds is not None:
        facts.append(f"{row.seconds:.1f} s")
    lines = [f"{row.error_code}: {row.error}"] if row.error_code else []
    texts = "".join(f"<li>{escape(line)}</li>" for line in (*lines, *row.reasons, *row.notes))
    return (
        f'<article class="{kind}">{_picture(folder, row)}<h2>{escape(row.name)}</h2>'
        f'<p><span class="verdict">{kind.upper() if kind != "good" else "good"}</span> {escape(", ".join(facts))}</p>'
        f"{f'<ul>{texts}</ul>' if texts else ''}</article>\n"
    )


def _picture(folder: Path, row: Row) -> str:
    result = folder / row.folder
    page = next((name for name in PAGES if row.folder and (result / name).is_file()), None)
    if page is None:
        return '<div class="nothing">no result</div>'
    content = b""
    if (result / THUMBNAIL).is_file():
        content = (result / THUMBNAIL).read_bytes()
    link = quote(f"{row.folder}/{page}")
    picture = base64.b64encode(content).decode()
    return f'<a href="{link}"><img src="data:image/jpeg;base64,{picture}" alt="{escape(row.name)}"></a>'
