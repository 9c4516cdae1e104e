"""Extensions found by name: a package that is installed beside this one brings its own, and says so when it fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import rendered
import trimesh
from installed_package import found_here, pip_install

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.factories import load_method, load_segmenter
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.options import Options
from mvgamba_ros.registry import BUILT_IN, available, load
from mvgamba_ros.types import Prompts

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the toy package is installed into, by pip."""
    source, target = tmp_path_factory.mktemp("source") / "toy", tmp_path_factory.mktemp("site")
    shutil.copytree(REPOSITORY / "test" / "toy_package", source)
    pip_install(source, target)
    return target


@pytest.fixture
def here(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy package is installed in this process, too."""
    with found_here(toy, monkeypatch):
        yield


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path that `installed` puts packages into."""
    with found_here(tmp_path, monkeypatch):
        yield tmp_path


def installed(site: Path, package: str, group: str, entry: str, module: str = "") -> None:
    """As pip leaves a package: its metadata with one entry point, and one module."""
    metadata = site / f"{package}-0.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.3\n")
    (metadata / "entry_points.txt").write_text(f"[mvgamba_ros.{group}]\n{entry}\n")
    (site / f"{package}.py").write_text(module)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in BUILT_IN.items() for name in names])
def test_what_is_built_in_is_there(kind, name):
    assert name in available(kind)
    assert callable(load(kind, name))


def test_a_package_may_bring_a_generator_that_this_one_refuses(site):
    installed(site, "licensed", "generators", "hunyuan3d = licensed:make", "def make(options): ...")
    assert Options(generator="hunyuan3d").generator in available("generators")
    assert load("generators", "hunyuan3d").__module__ == "licensed"


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ReconstructionError, match=r"method 'magic' is not one of .*hull, mvgamba") as caught:
        load("methods", "magic")
    assert caught.value.code == ErrorCode.BAD_OPTION


def test_a_package_with_the_name_of_what_is_built_in_is_an_error_that_names_it(site):
    installed(site, "usurper", "methods", "hull = usurper:Hull")
    assert available("methods").count("hull") == 1
    with pytest.raises(ReconstructionError, match=r"method 'hull' is built in, and package usurper 0\.3") as caught:
        load("methods", "hull")
    assert caught.value.code == ErrorCode.BAD_OPTION
    assert load("methods", "mvgamba")  # the others stay usable


def test_two_packages_with_one_name_are_an_error_that_names_both(site):
    installed(site, "first", "segmenters", "mine = first:Mine", "class Mine: pass")
    installed(site, "second", "segmenters", "mine = second:Mine", "class Mine: pass")
    assert available("segmenters") == ("classical", "multiview", "sam", "masks", "mine")
    with pytest.raises(ReconstructionError, match=r"2 times.*(first 0\.3.*second|second 0\.3.*first)") as caught:
        load("segmenters", "mine")
    assert caught.value.code == ErrorCode.BAD_OPTION


@pytest.mark.parametrize(
    ("module", "code", "cause"),
    [
        ("import a_package_that_is_not_there", ErrorCode.MISSING_PACKAGE, "a_package_that_is_not_there"),
        ("1 / 0", ErrorCode.BAD_OPTION, "ZeroDivisionError"),
        ("", ErrorCode.BAD_OPTION, "has no attribute 'Mine'"),
    ],
)
def test_a_broken_package_is_an_error_only_where_its_extension_is_wanted(site, module, code, cause):
    installed(site, "broken", "methods", "mine = broken:Mine", module)
    assert "mine" in available("methods")
    assert load("methods", "hull")
    with pytest.raises(ReconstructionError, match=rf"method 'mine' of package broken 0\.3.*{cause}") as caught:
        load("methods", "mine")
    assert caught.value.code == code


def test_a_package_whose_metadata_is_damaged_is_named(site):
    installed(site, "damaged", "methods", "no equals sign here")
    with pytest.raises(ReconstructionError, match=r"damaged-0\.3\.dist-info.*install that package anew") as caught:
        available("methods")
    assert caught.value.code == ErrorCode.MISSING_PACKAGE


def test_a_module_that_ends_the_process_is_an_error_of_its_package(site):
    installed(site, "quitter", "methods", "mine = quitter:Mine", "raise SystemExit(2)")
    with pytest.raises(ReconstructionError, match=r"package quitter 0\.3 cannot be loaded .*SystemExit: 2"):
        load("methods", "mine")


def test_listing_imports_nothing(site):
    installed(site, "unlucky", "methods", "mine = unlucky:Mine", "raise SystemExit")
    assert "mine" in available("methods")
    assert "unlucky" not in sys.modules


def test_a_broken_reader_does_not_keep_others_from_reading_and_is_named_where_none_can(site):
    installed(site, "broken", "capture_readers", "mine = broken:Mine", "import a_package_that_is_not_there")
    write_capture(site / "capture", rendered.views(1))
    assert len(read_capture(site / "capture")) == 1
    with pytest.raises(ReconstructionError, match=r"does not exist; .*package broken 0\.3") as caught:
        read_capture(site / "nothing")
    assert caught.value.code == ErrorCode.BAD_CAPTURE


GREEDY = """
import numpy as np
from mvgamba_ros.types import Camera, View
class Greedy:
    layout = "anything"
    def recognises(self, path, views_file): return True
    def read(self, path, views_file): 
        image = np.zeros((2, 2, 3), np.uint8)
        return [View(image, Camera(np.eye(3), 2, 2), np.eye(4), name=f"read by Greedy from {path.name} {views_file}")]
"""


def test_a_capture_that_two_readers_recognise_is_read_by_the_one_that_is_named(site):
    installed(site, "greedy", "capture_readers", "greedy = greedy:Greedy", GREEDY)
    write_capture(site / "capture", rendered.views(1))
    with pytest.raises(ReconstructionError, match=r"transforms_json of mvgamba_ros and greedy of package greedy 0\.3"):
        read_capture(site / "capture")
    assert len(read_capture(site / "capture", reader="transforms_json")) == 1
    (view,) = read_capture(site / "capture", "a.json", reader="greedy")
    assert view.name == "read by Greedy from capture a.json"


def test_a_factory_is_called_once_for_options_that_differ_only_in_the_request():
    options = Options(method="hull", segmenter="masks", max_faces=900)
    other = Options(method="hull", segmenter="masks", prompts=Prompts(points={0: np.ones((1, 3))}), max_faces=800)
    assert load_method(options) is load_method(other)
    assert load_segmenter(options) is load_segmenter(other)
    assert load_method(Options(method="hull", checkpoint="another")) is not load_method(options)
    assert load_segmenter(Options(segmenter="masks", sam_checkpoint="another")) is not load_segmenter(options)


def command(toy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(toy)])}
    return subprocess.run(
        [sys.executable, "-m", "mvgamba_ros.cli", *arguments], env=environment, capture_output=True, text=True
    )


def save_npz(path: Path) -> Path:
    views = rendered.views(4)
    poses = [view.T_world_camera for view in views]
    np.savez(path, images=[view.image for view in views], K=views[0].camera.K, T_world_camera=poses)
    return path


@pytest.mark.slow
def test_the_command_uses_method_segmenter_and_reader_of_an_installed_package(toy, here, tmp_path, capsys):
    capture, out = save_npz(tmp_path / "capture.npz"), tmp_path / "out"
    arguments = ["reconstruct", str(capture), "-o", str(out), "--segmenter", "red"]
    done = command(toy, *arguments, "--method", "bounding-box")
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "report.json").read_text())["method"] == "bounding-box"
    mesh = trimesh.load(out / "mesh.ply")
    assert mesh.is_watertight and mesh.volume > 0 and len(mesh.faces) == 12
    np.testing.assert_allclose(mesh.bounds.mean(axis=0)[:2], rendered.CENTER[:2], atol=0.01)
    np.testing.assert_allclose(mesh.extents, rendered.SIZE, atol=0.02)

    assert main([*arguments, "--method", "bounding-box", "--checkpoint", "weights"]) == 1
    assert "BAD_CHECKPOINT: weights: a box has no weights" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["reconstruct", "--help"])
    assert re.search(r"hull.*mvgamba.*bounding-box", capsys.readouterr().out, re.DOTALL)


@pytest.mark.slow
def test_the_command_renders_objects_of_an_installed_package(toy, here, tmp_path, capsys):
    size = ["--count", "2", "--views", "2", "--size", "32"]
    done = command(toy, "data", "render", str(tmp_path / "shards"), "--source", "cuboids", *size)
    assert done.returncode == 0, done.stderr
    assert main(["data", "render", str(tmp_path / "no"), "--source", "spheres", *size]) == 1
    assert "robosuite, sweethome3d-train, sweethome3d-test, cuboids or a folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.timeout(600)
def test_the_node_uses_method_and_segmenter_of_an_installed_package(toy, tmp_path, monkeypatch):
    pytest.importorskip("rclpy")
    from ros_world import World

    folder = tmp_path / "rendered"
    write_capture(folder, rendered.views(3))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(toy), os.environ.get("PYTHONPATH", "")]))

    def triangles(world: World, **fields: object) -> Sequence[object]:
        answer = world.reconstruct(use_support_height=True, **fields)
        assert answer.error_code == 0, answer.error_msg
        return answer.object.mesh.triangles

    with World(tmp_path) as world:
        world.start_node(method="bounding-box", segmenter="red")
        world.start_player(folder)
        world.capture_all(3)
        assert len(triangles(world)) == 12
        assert world.log("node").count("red: embedded a view of 320 x 240") == 3  # ahead of the request
        assert len(triangles(world, method="hull")) > 12
        world.set_parameter("reconstructor", "method", "hull")
        assert len(triangles(world)) > 12
        assert len(triangles(world, method="bounding-box")) == 12
