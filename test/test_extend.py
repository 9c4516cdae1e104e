"""What docs/extend.md shows works, installed from the page itself."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rendered
import torch
import yaml
from installed_package import found_here, pip_install

from mvgamba_ros.cli import main
from mvgamba_ros.io.mesh_files import read_mesh

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "extend.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page's package is installed into, by pip."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (source / name).write_text(text)
    pip_install(source, target)
    return target


@pytest.fixture
def here(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is installed in this process, too."""
    with found_here(site, monkeypatch):
        yield


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command, with the page's package installed."""
    path = os.pathsep.join(filter(None, [str(site), str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "mvgamba_ros.cli", *command],
        env=os.environ | {"PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=False,
    )


def write_npz(file: Path, view_count: int = 4, gray: bool = False) -> None:
    views = rendered.views(view_count)
    images = [np.repeat(v.image[..., :1], 3, axis=2) if gray else v.image for v in views]
    np.savez(
        file,
        images=images,
        depths=[v.depth for v in views],
        K=views[0].camera.K,
        T_world_camera=[v.T_world_camera for v in views],
    )


def test_the_page_holds_every_module_that_its_package_names():
    modules = re.search(r"py-modules = \[(.*)\]", FILES["pyproject.toml"])
    assert modules
    assert {f"{name}.py" for name in re.findall(r'"(\w+)"', modules[1])} < set(FILES)


def test_the_segmenter_is_of_30_lines():
    text = FILES["my_segmenter.py"]
    start = ast.parse(text).body[-1].lineno
    assert len(text.splitlines()) - start < 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_capture_is_read_segmented_and_reconstructed_by_the_pages_code(site, tmp_path):
    write_npz(tmp_path / "scan.npz")
    done = run(
        site,
        *("reconstruct", str(tmp_path / "scan.npz"), "-o", str(tmp_path / "out")),
        *("--segmenter", "saturated", "--method", "depth-carving"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["method"] == "depth-carving"
    assert not report["quality"]["low"], report["quality"]
    vertices = read_mesh(tmp_path / "out" / "mesh.ply").vertices
    assert vertices.min(axis=0) == pytest.approx(rendered.CENTER - rendered.SIZE / 2, abs=0.006)
    assert vertices.max(axis=0) == pytest.approx(rendered.CENTER + rendered.SIZE / 2, abs=0.006)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_error_of_the_pages_code_is_the_commands(here, tmp_path, capsys):
    write_npz(tmp_path / "scan.npz", gray=True)
    assert main(["reconstruct", str(tmp_path / "scan.npz"), "-o", str(tmp_path / "o"), "--segmenter", "saturated"]) == 1
    assert "EMPTY_SILHOUETTE: view 0: nothing is of a strong colour" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_pages_objects_are_rendered(site, tmp_path):
    command = ["data", "render", str(tmp_path / "pipes"), "--source", "pipes", "--count", "2", "--views", "4"]
    done = run(site, *command, "--size", "48")
    assert done.returncode == 0, done.stdout + done.stderr
    families = np.load(next((tmp_path / "pipes").glob("shard_*/family.npy")))
    assert list(families) == ["pipe", "pipe"]
    points = np.load(next((tmp_path / "pipes").glob("shard_*/points.npy")))
    extent = np.ptp(points.astype(np.float64), axis=1)
    assert (extent.max(axis=1) > 0.02).all() and (extent.max(axis=1) < 0.3).all()


def test_the_objects_and_the_segmenter_do_as_their_contracts_say(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    from my_objects import Pipes  # type: ignore[import-not-found]
    from my_segmenter import Saturated  # type: ignore[import-not-found]

    from mvgamba_ros import Prompts

    pipes = Pipes(3, 5)
    assert len(pipes) == 5
    np.testing.assert_array_equal(pipes[2].vertices, Pipes(3, 5)[2].vertices)
    assert not np.array_equal(pipes[2].textures, pipes[3].textures)
    views = [replace(view, mask=None) for view in rendered.views(2)]
    (first, second) = Saturated(None)(views, Prompts()).masks
    assert (first & rendered.views(2)[0].mask).sum() > 0.5 * first.sum() > 100
    prompts = Prompts(points={1: np.array([[10.0, 12.0, 1.0]])})
    assert Saturated(None)(views, prompts).masks[1][12, 10] and not second[12, 10]


@pytest.mark.ros
def test_the_parameter_file_is_taken_by_the_node():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from mvgamba_ros.config import ReconstructionConfig
    from mvgamba_ros.ros.parameters import ROWS, parameters_from

    given = yaml.safe_load(FILES["my_robot.yaml"])["/**"]["ros__parameters"]
    defaults = {row.name: row.default for row in ROWS}
    assert set(given) <= set(defaults)
    parameters = parameters_from(defaults | given, ReconstructionConfig())
    assert parameters.target_frame == "panda_link0" and parameters.use_depth


def test_the_launch_file_gives_arguments_that_there_are():
    def arguments(text: str) -> dict[str, ast.expr]:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ARGUMENTS":
                assert isinstance(node.value, ast.Dict)
                return {ast.literal_eval(k): v for k, v in zip(node.value.keys, node.value.values, strict=True) if k}
        raise AssertionError("no ARGUMENTS")

    declared = arguments((REPOSITORY / "launch" / "reconstruct.launch.py").read_text())
    given = arguments(FILES["my_robot.launch.py"])
    assert given and set(given) <= set(declared)
    assert ast.unparse(given["params_file"]).count("my_robot.yaml") == 1


def test_the_recipe_goes_on_from_the_weights_that_ship(tmp_path):
    from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
    from mvgamba_ros.model.raygamba import RayGamba
    from mvgamba_ros.training.recipe import load_plan
    from mvgamba_ros.training.warm_start import warm_start

    (tmp_path / "pipes.recipe.yaml").write_text(FILES["pipes.recipe.yaml"])
    plan = load_plan(tmp_path / "pipes.recipe.yaml")
    assert {data.source for data in plan.render.values()} == {"pipes=0.5,procedural=0.5", "pipes"}
    (config,) = plan.configs
    assert REPOSITORY / (config.start or "") == SHIPPED
    network = RayGamba(config.model)
    warm_start(network, SHIPPED)
    shipped = load_checkpoint()[0].state_dict()
    assert all(torch.equal(value, shipped[name]) for name, value in network.state_dict().items())


def test_the_depth_carver_takes_depth_for_what_it_is(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    from my_reconstructor import DepthCarving  # type: ignore[import-not-found]

    from mvgamba_ros import ErrorCode, Options, ReconstructionError
    from mvgamba_ros.geometry.visual_hull import carve

    views = rendered.views(2)
    hull = carve(views, None, 48, 0.0)
    none = [replace(view, depth=None) for view in views]
    with pytest.raises(ReconstructionError) as caught:
        DepthCarving(None)(none, hull, Options(), lambda *_: None, lambda: False)
    assert caught.value.code is ErrorCode.BAD_DEPTH
    shape = DepthCarving(None)(views, hull, Options(max_faces=2000), lambda *_: None, lambda: False)
    assert cv2.convexHull(shape.mesh.vertices[:, :2].astype(np.float32)).shape[0] > 8
    assert np.ptp(shape.mesh.vertices, axis=0).prod() < np.ptp(hull.bounds(), axis=0).prod()
