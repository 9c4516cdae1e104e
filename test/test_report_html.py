"""The page of a result: whole in itself, safe to open, and right in a real browser."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rendered
import trimesh
from browser import CHROMIUM, chromium

from mvgamba_ros.cli import main
from mvgamba_ros.geometry.world_origin import move_result, move_views
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.preview import SIGHT
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.webpage.report_html import _poster, report_html

VIEWS = rendered.views(4)


@pytest.fixture(scope="module")
def result() -> Reconstruction:
    options = Options(method="hull", segmenter="masks", hull_resolution=48, cloud_points=1000, texture=256)
    return reconstruct(VIEWS, options)


@pytest.fixture(scope="module")
def page(result: Reconstruction) -> str:
    return report_html(VIEWS, result, "mug").decode()


def models(page: str) -> dict[str, bytes]:
    found = re.findall(r'id="model-(\w+)">([^<]+)</script>', page)
    return {name: base64.b64decode(text) for name, text in found}


def test_the_page_loads_nothing_from_a_network(page):
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"', markup) and "url(" not in markup
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy and "default-src 'none'" in policy[1] and "http" not in policy[1] and "*" not in policy[1]


def test_the_page_is_small(page):
    assert len(page) - sum(len(base64.b64encode(model)) for model in models(page).values()) < 2_000_000


def test_size_verdict_and_reasons_are_in_words(page, result):
    size = " × ".join(f"{1e3 * side:.1f}" for side in result.box.size)
    assert f"{size} mm" in page and "4 views, with the silhouettes" in page
    low = replace(result, quality=replace(result.quality, low=True, reasons=("a reason < 3",)), notes=("one & two",))
    doubtful = report_html(VIEWS, low, "mug").decode()
    assert "LOW QUALITY" in doubtful and "a reason &lt; 3" in doubtful and "one &amp; two" in doubtful
    assert "LOW QUALITY" not in page


def test_names_from_a_capture_cannot_become_markup(result):
    evil = "<script>alert(1)</script>\"'"
    named = [replace(view, name=evil) for view in VIEWS]
    page = report_html(named, replace(result, notes=(evil,), method=evil), evil).decode()
    assert "alert(1)" in page and "<script>alert" not in page


def test_each_way_to_show_the_mesh_is_a_model_around_its_box(page, result, tmp_path):
    found = models(page)
    assert list(found) == ["texture", "shape", "seen", "error"]
    for name, content in found.items():
        (tmp_path / f"{name}.glb").write_bytes(content)
        shape = trimesh.load(tmp_path / f"{name}.glb", force="mesh")
        x, y, z = result.box.size
        assert np.ptp(shape.bounds, axis=0) == pytest.approx([x, z, y], abs=1e-5), name
        assert shape.bounds.sum(axis=0) == pytest.approx(0.0, abs=1e-5)
    plain = models(report_html(VIEWS, replace(result, texture=None), "mug").decode())
    assert list(plain) == ["colors", "shape", "seen", "error"]


def test_far_from_the_worlds_origin_the_page_shows_the_same_and_names_the_place(page, result):
    by = np.array([500_000.0, 4_000_000.0, 100.0])
    far = report_html(move_views(VIEWS, by), move_result(result, by), "mug").decode()
    assert "4000000" in far
    near, moved = models(page)["shape"], models(far)["shape"]
    assert abs(len(near) - len(moved)) < 50


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_mesh_as_our_own_renderer_does(page, result, tmp_path):
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        browser.open(f"file://{tmp_path}/report.html#texture,still")
        browser.wait("!!document.body && document.body.hasAttribute('data-shown')")
        textured = browser.picture()
        browser.evaluate("document.querySelector('button[data-model=seen]').click()")
        browser.wait("document.body.getAttribute('data-shown') === document.getElementById('viewer').src")
        seen = browser.picture()
        legend = browser.evaluate("document.querySelector('.legend.on').innerText")
    assert [url for url in browser.requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert "guessed" in legend and "3 or more" in legend
    ours, theirs = cropped(_poster(result)), cropped(stage(textured))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.8
    middle = stage(seen).reshape(-1, 3).astype(int)
    blue = np.abs(middle - SIGHT[2:].mean(axis=0)).max(axis=1) < 70
    assert blue.mean() > 0.02 and (middle[blue][:, 2] - middle[blue][:, 0]).mean() > 30  # seen, in the legend's blue


def stage(shot: np.ndarray) -> np.ndarray:
    """The part of a narrow page where the mesh turns."""
    return shot[60:355, 30:-30]


def cropped(picture: np.ndarray) -> np.ndarray:
    """The reddish object, (48, 48, 3)."""
    red = picture[..., 0].astype(int) - picture[..., 1] > 25
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert len(rows) > 40, "no object"
    part = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cv2.resize(part, (48, 48), interpolation=cv2.INTER_AREA).astype(float)


def test_the_command_writes_the_page_and_leaves_it_out_where_told(tmp_path):
    write_capture(tmp_path / "my mug", VIEWS)
    given = ["reconstruct", str(tmp_path / "my mug"), "--method", "hull", "--masks", "--hull-resolution", "32"]
    assert main([*given, "-o", str(tmp_path / "out"), "--texture", "0"]) == 0
    assert "<h1>my mug</h1>" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert main([*given, "-o", str(tmp_path / "out"), "--texture", "0", "--no-report"]) == 0
    assert not Path(tmp_path / "out" / "report.html").exists()
