"""`mvgamba view`: what is shown, the region drawn by hand, and a reconstruction from the page."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rendered
from browser import CHROMIUM, chromium

from mvgamba_ros.cli import main
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.io.results import write_results
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import Prompts

viser = pytest.importorskip("viser")

from mvgamba_ros.viewer.read_shape import is_result, read_shape  # noqa: E402
from mvgamba_ros.viewer.shown_scene import Shape  # noqa: E402
from mvgamba_ros.viewer.view_page import ViewPage, start_server  # noqa: E402

VIEWS = rendered.views(4)
HULL = Options(method="hull", segmenter="masks", hull_resolution=48, cloud_points=1000, texture=128)


@pytest.fixture
def server():
    made = start_server("127.0.0.1", 0)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("viewer") / "out"
    options = replace(HULL, origin="box")
    write_results(out, reconstruct(VIEWS, options), views=VIEWS)
    return out


def test_a_results_folder_is_read_back(folder):
    assert is_result(folder) and not is_result(folder / "views")
    shape, views = read_shape(folder)
    assert shape.mesh is not None and shape.mesh.seen is not None and shape.cloud is not None
    assert shape.cloud.points.shape == (1000, 3) and len(views) == 4 and shape.textured[:4] == b"glTF"
    assert np.allclose(shape.T_world_model[:3, 3], rendered.CENTER, atol=0.01)


def test_the_region_drawn_by_hand_is_what_is_searched(server):
    page = ViewPage(server, VIEWS, Shape(), HULL)
    assert page.region.box is None  # none until it is switched on
    page.region._used.value = True
    page.region._size.value = (90.0, 80.0, 60.0)
    page.region._handle.position = page.region._handle.position + np.array([0.0, 0.0, -0.01])
    turn = np.radians(10.0)
    page.region._handle.wxyz = np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])
    box = page.region.box
    assert box is not None and box.size == pytest.approx([0.09, 0.08, 0.06])
    assert box.T_world_box[:2, 0] == pytest.approx([np.cos(turn), np.sin(turn)])
    page.reconstruct()
    assert page.result is not None
    top = box.T_world_box[2, 3] + 0.03
    assert page.result.mesh.vertices[:, 2].max() < top + 2e-3 < rendered.SIZE[2]  # cut off where the region ends
    assert "mm" in page._words.content and page._button.disabled is False


def test_a_failure_is_told_on_the_page_and_leaves_it_usable(server):
    page = ViewPage(server, VIEWS, Shape(), HULL)
    page.region._used.value = True
    page.region._handle.position = np.array([5.0, 5.0, 5.0])
    page.reconstruct()
    assert page.result is None and "ROI_NOT_VISIBLE" in page._words.content
    page.region._used.value = False
    page.reconstruct()
    assert page.result is not None


def test_a_region_that_was_given_is_where_the_box_begins(server):
    roi = axis_parallel_box(rendered.CENTER - 0.06, rendered.CENTER + 0.06)
    page = ViewPage(server, VIEWS, Shape(), replace(HULL, prompts=Prompts(roi=roi)))
    box = page.region.box
    assert box is not None and box.size == pytest.approx(roi.size) and np.allclose(box.T_world_box, roi.T_world_box)


def test_a_recording_is_shown_as_the_capture_that_it_was_made_of(tmp_path, monkeypatch):
    pytest.importorskip("rosbags")
    from mvgamba_ros.ros.bag_writer import numbered, write_recording

    write_recording(tmp_path / "tour.mcap", VIEWS, numbered(len(VIEWS)))
    shown = []

    def keep(page: ViewPage, server, views, *others) -> None:
        shown.append((views, others[0]))

    monkeypatch.setattr(ViewPage, "__init__", keep)
    monkeypatch.setattr(viser.ViserServer, "sleep_forever", lambda server: None)
    assert main(["view", str(tmp_path / "tour.mcap"), "--port", "0"]) == 0
    ((views, shape),) = shown
    assert shape.mesh is None and len(views) == len(VIEWS)
    for view, known in zip(views, VIEWS, strict=True):
        assert (view.image == known.image).all()
        assert view.T_world_camera == pytest.approx(known.T_world_camera, abs=1e-6)


def test_from_where_the_page_looks_first_it_sees_the_cameras(server):
    ViewPage(server, VIEWS, Shape(), HULL)
    eye = np.linalg.norm(server.initial_camera.position)
    assert eye > 1.2 * max(np.linalg.norm(view.T_world_camera[:3, 3] - rendered.CENTER) for view in VIEWS)


def test_a_path_that_is_nothing_ends_in_one_line(tmp_path, capsys):
    assert main(["view", str(tmp_path / "none")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_mesh_and_its_button_reconstructs(server, folder, tmp_path):
    shape, views = read_shape(folder)
    page = ViewPage(server, views, shape, HULL)
    with chromium(tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{server.get_port()}", 900, 600)
        browser.wait("!!document.querySelector('canvas') && document.body.innerText.includes('Reconstruct')")
        deadline = time.monotonic() + 60.0
        while red_share(browser.picture()) < 0.004:
            assert time.monotonic() < deadline, "no red object on the page"
            time.sleep(0.2)
        click = "[...document.querySelectorAll('button')].find(b => b.innerText.trim() === 'Reconstruct').click()"
        browser.evaluate(click)
        browser.wait("document.body.innerText.includes('expected error')")
    assert page.result is not None and page.result.mesh.vertices[:, 2].max() < 0.1


def red_share(picture: np.ndarray) -> float:
    return float((picture[..., 0].astype(int) - picture[..., 1:].max(axis=-1) > 40).mean())
