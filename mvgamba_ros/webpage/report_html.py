"""A result as one HTML file that a browser opens without a network, also from a mail: the mesh to turn by hand, the
views with their silhouettes, the quality in words, sizes, and everything of report.json."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import cv2
import numpy as np

from mvgamba_ros import __version__
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.geometry.world_origin import far_origin, move_result, move_views
from mvgamba_ros.io.model_files import colored_glb, glb
from mvgamba_ros.io.results import report
from mvgamba_ros.preview import SIGHT, SIGHT_NAMES, colormap, outlined, round_up, shaded
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import U8, Camera, View, view_name

MOST_TILES = 24
"""Views that are shown; a page with hundreds of pictures is no mail."""
JPEG_QUALITY = 85
TURN, HEIGHT, FIELD = 30.0, 25.0, 30.0
"""Degrees: where the first look is from, and its field of view."""
GREY = 190
POSTER = Camera(np.array([[840.0, 0.0, 320.0], [0.0, 840.0, 240.0], [0.0, 0.0, 1.0]]), 640, 480)


def report_html(views: Sequence[View], result: Reconstruction, title: str) -> bytes:
    """The page. ``title``: what it calls the object, e.g. the capture's name; escaped, as every text in it is."""
    origin = far_origin(views)
    full = report(result)
    if origin is not None:
        views, result = move_views(views, -origin), move_result(result, -origin)
    models = _models(result)
    low = result.quality.low
    page = Template(_asset("report.html")).substitute(
        title=escape(title),
        style=_asset("report.css"),
        verdict="LOW QUALITY" if low else "Good",
        verdict_class="low" if low else "good",
        orbit=f"{TURN:g}deg {90.0 - HEIGHT:g}deg auto",
        field=f"{FIELD:g}deg",
        poster=_jpeg(_poster(result)),
        choices="".join(
            f'<button type="button" data-model="{name}" aria-pressed="false">{label}</button>'
            for name, (label, _, _) in models.items()
        ),
        legends="".join(
            f'<p class="legend" data-model="{name}">{legend}</p>' for name, (_, _, legend) in models.items()
        ),
        facts="".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _facts(result, full)
        ),
        reasons=_list("reasons", result.quality.reasons),
        views_title=_views_title(views, result),
        tiles="".join(_tiles(views, result)),
        notes=f'<section class="notes"><h2>Notes</h2>{_list("", result.notes)}</section>' if result.notes else "",
        report=escape(json.dumps(full, indent=1)),
        version=__version__,
        models="".join(
            f'<script type="application/octet-stream" id="model-{name}">{base64.b64encode(model).decode()}</script>\n'
            for name, (_, model, _) in models.items()
        ),
        library=_asset("model-viewer.min.js").rpartition("//# sourceMappingURL")[0],
        script=_asset("report.js"),
    )
    return page.encode()


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _models(result: Reconstruction) -> Mapping[str, tuple[str, bytes, str]]:
    """By name: label, GLB and legend of each way to show the mesh, the first one first."""
    mesh, frame = result.mesh, inverse(result.box.T_world_box)
    models = {}
    if result.texture is not None:
        models["texture"] = ("Texture", glb(mesh, result.texture, frame), "")
    else:
        models["colors"] = ("Colours", colored_glb(mesh, mesh.colors, frame), "")
    models["shape"] = ("Shape", colored_glb(mesh, np.full_like(mesh.colors, GREY), frame), "")
    if mesh.seen is not None and mesh.expected_error_mm is not None:
        by_sight = SIGHT[np.minimum(mesh.seen, len(SIGHT) - 1)]
        swatches = "".join(
            f'<span><i style="background:rgb({red},{green},{blue})"></i>{name}</span>'
            for (red, green, blue), name in zip(SIGHT.tolist(), SIGHT_NAMES, strict=True)
        )
        models["seen"] = ("Seen or guessed", colored_glb(mesh, by_sight, frame), swatches)
        top = round_up(float(np.quantile(mesh.expected_error_mm, 0.95)))
        stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in colormap(np.linspace(0.0, 1.0, 9)).tolist())
        bar = f'0 <span class="bar" style="background:linear-gradient(90deg,{stops})"></span> {top:g} or more mm'
        models["error"] = ("Expected error", colored_glb(mesh, colormap(mesh.expected_error_mm / top), frame), bar)
    return models


def poster(views: Sequence[View], result: Reconstruction) -> U8:
    """A picture of the mesh, (480, 640, 3) RGB, as the page shows it first."""
    origin = far_origin(views)
    return _poster(result if origin is None else move_result(result, -origin))


def _poster(result: Reconstruction) -> U8:
    """What is shown until the page's script runs, and where none runs: about the same look at the mesh."""
    T, size = result.box.T_world_box, result.box.size
    turn, height = np.radians([TURN, HEIGHT])
    away = np.array([np.sin(turn) * np.cos(height), -np.cos(turn) * np.cos(height), np.sin(height)])
    eye = T[:3, 3] + T[:3, :3] @ away * 2.0 * float(np.linalg.norm(size))
    return shaded(Raycaster(result.mesh), look_at(eye, T[:3, 3]), POSTER)


def _facts(result: Reconstruction, full: Mapping[str, Any]) -> list[tuple[str, str]]:
    quality, box = result.quality, result.box
    center = ", ".join(f"{x:.4f}" for x in full["box"]["center_m"])
    facts = [
        ("Size", " × ".join(f"{1e3 * side:.1f}" for side in box.size) + " mm"),
        ("Centre", f"({center}) m"),
        ("Expected error", f"{quality.expected_error_mm:.1f} mm"),
        ("Seen", f"{quality.coverage:.0%} of the surface"),
        ("Silhouettes", f"{quality.silhouette_iou:.3f} IoU with the views"),
        ("Colour error", f"{quality.color_error:.3f}"),
        ("Mesh", f"{len(result.mesh.faces)} faces" + ("" if full["mesh"]["closed"] else ", open")),
    ]
    if full["mesh"]["volume_m3"] is not None:
        facts.append(("Volume", f"{1e6 * full['mesh']['volume_m3']:.1f} cm³"))
    if result.texture is not None:
        width, height = full["texture"]["size_px"]
        facts.append(("Texture", f"{width} × {height} px, {result.texture.seen_share:.0%} seen"))
    facts.append(("Method", f"{result.method}, {result.view_count} views"))
    facts.append(("Time", f"{full['seconds']['total']:.1f} s"))
    return facts


def _views_title(views: Sequence[View], result: Reconstruction) -> str:
    title = f"{len(result.masks)} views, with the silhouettes that were used"
    return title + (f"; the first {MOST_TILES} of them" if len(views) > MOST_TILES else "")


def _tiles(views: Sequence[View], result: Reconstruction) -> list[str]:
    left_out = () if result.poses is None else result.poses.left_out
    tiles = []
    for index, (view, mask) in enumerate(zip(views[:MOST_TILES], result.masks, strict=False)):
        name = escape(view_name(view, index)) + (", left out" if index in left_out else "")
        picture = _jpeg(outlined(view, mask))
        tiles.append(
            f'<figure><img src="data:image/jpeg;base64,{picture}" alt="{name}"><figcaption>{name}</figcaption></figure>'
        )
    return tiles


def _list(kind: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def _jpeg(picture: U8) -> str:
    _, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    return base64.b64encode(content.tobytes()).decode()
