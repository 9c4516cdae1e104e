"""The examples run as their pages say, from a clone with nothing given, and print what they promise."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[1]
ROS_ENVIRONMENT = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE")
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))


def run(number: str, *arguments: str, **environment: str) -> str:
    """What the example prints; its working folder is not the clone's, as a user's may not be."""
    (path,) = (REPOSITORY / "examples").glob(f"{number}_*.py")
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
        env={
            **os.environ,
            "OMP_WAIT_POLICY": "PASSIVE",  # beside other processes threads that spin cost minutes
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
            **environment,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_are_numbered_without_a_gap():
    assert [path.name[:3] for path in EXAMPLES] == [f"{i:02d}_" for i in range(1, len(EXAMPLES) + 1)]
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_page_and_short(path):
    text = path.read_text(encoding="utf-8")
    page = ast.get_docstring(ast.parse(text))
    assert page and f"python examples/{path.name}" in page, "its docstring names its purpose and its command"
    assert len(text.splitlines()) <= 40


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_folder_becomes_files_of_the_balls_size(tmp_path):
    printed = run("01", "", str(tmp_path / "out"))
    assert re.search(r"^(9\d|10\d) x (9\d|10\d) x (9\d|10\d) mm, \d+ faces from 4 views$", printed, re.MULTILINE)
    assert ", good" in printed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"mesh.ply", "cloud.ply", "report.json", "gaussians.ply", "preview.png"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_arrays_become_a_box_and_the_stages_are_printed_in_order():
    from mvgamba_ros.pipeline import STAGES

    printed = run("02")
    stages = [line.split()[1] for line in printed.splitlines() if re.match(r" *\d+% ", line)]
    assert list(dict.fromkeys(stages)) == list(STAGES)
    numbers = re.search(r"centre \[(.*)\] m, sides \[(.*)\] m", printed)
    assert numbers, printed
    assert [float(x) for x in numbers[1].split()] == pytest.approx([0.0, 0.0, 0.05], abs=0.003)
    assert [float(x) for x in numbers[2].split()] == pytest.approx([0.1, 0.1, 0.1], abs=0.006)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_piece_of_knowledge_gives_the_ball_within_two_millimetres():
    rows = re.findall(r"^(.+?) +(\d+\.\d+) mm in", run("03"), re.MULTILINE)
    assert [name for name, _ in rows] == [
        "colour only",
        "a region of interest",
        "and the table's height",
        "depth images",
        "masks of another program",
    ]
    assert all(float(away) < 2.0 for _, away in rows), rows


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_node_answers_a_planner():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from ros_world import free_domain

    printed = run("04", ROS_DOMAIN_ID=str(free_domain()), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    assert re.search(r"^ball: \d{3,} triangles around \(-?0\.00\d, -?0\.00\d, 0\.0[45]\d\) m$", printed, re.MULTILINE)
    assert "good enough to grasp" in printed


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_node_that_runs_answers_a_planner_and_no_other_is_started(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from ros_world import World

    with World(tmp_path) as world:
        world.start_node()
        printed = run("04", **{name: world.environment[name] for name in ROS_ENVIRONMENT})
        assert "ball: " in printed and "ready:" not in printed
        assert "'ball' from 4 views" in world.log("node")


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_table_is_cleared_from_the_top_and_what_fails_is_named():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from ros_world import free_domain

    printed = run("09", ROS_DOMAIN_ID=str(free_domain()), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    assert "1/2 method" in printed
    assert re.search(r"^object_1 at \(-?0\.00\d, -?0\.00\d, 0\.0[45]\d\) m: pick it$", printed, re.MULTILINE), printed
    assert re.search(r"^object_2 failed with 4\d: ", printed, re.MULTILINE), printed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_segmenter_and_a_reconstructor_are_found_by_name():
    printed = run("05")
    found = re.search(r"^method sphere: 1280 faces, \[(.*)\] mm$", printed, re.MULTILINE)
    assert found, printed
    assert [float(side) for side in found[1].split()] == pytest.approx([100.0, 100.0, 100.0], abs=6.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_picture_with_depth_becomes_a_whole_can_that_is_called_low():
    printed = run("07")
    numbers = re.search(r"^sides \[(.*)\] mm", printed, re.MULTILINE)
    assert numbers, printed
    assert [float(side) for side in numbers[1].split()] == pytest.approx([80.0, 80.0, 120.0], abs=40.0)
    assert re.search(r"^guessed [3-8]\d% of the surface; low$", printed, re.MULTILINE)


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_look_of_the_simulated_arm_is_completed_by_the_network_and_by_a_generator(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    pytest.importorskip("mvgamba_ros.sim.engine", reason="the simulation is not installed")
    import oracle

    from mvgamba_ros.io.mesh_files import write_mesh
    from mvgamba_ros.sim.robot_arm import SimulatedArm
    from mvgamba_ros.sim.scene import Scene

    truth = oracle.canonical(SimulatedArm(Scene(object_name="can")).object_mesh(), np.eye(4))
    write_mesh(tmp_path / "can.ply", truth)
    path = oracle.installed(tmp_path / "site")
    printed = run("08", "generator:=oracle", f"weights:={tmp_path / 'can.ply'}", PYTHONPATH=f"{REPOSITORY}:{path}")
    alone, completed = printed.split("\n\n")
    assert "completion" not in alone and "quality         LOW: 1 view(s)" in alone
    share = re.search(r"^completion +([4-8]\d)% of the surface made up by oracle \(seed 1\); its size", completed, re.M)
    assert share and f"LOW: {share[1]}% of the surface was seen by no view" in completed, printed
    for answer, tolerance in ((alone, 8.0), (completed, 4.0)):
        guessed = re.search(r"^guessed +(\d+) of (\d+) vertices", answer, re.MULTILINE)
        assert guessed and 0 < int(guessed[1]) < int(guessed[2])
        sides = re.search(r"^box +(\d+) x (\d+) x (\d+) mm", answer, re.MULTILINE)
        assert sides and sorted(map(float, sides.groups())) == pytest.approx([49.7, 49.7, 80.0], abs=tolerance)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_shape_is_rendered_measured_and_exported(tmp_path):
    from mvgamba_ros.io.mesh_files import read_mesh
    from mvgamba_ros.io.ply import read_gaussians

    printed = run("06", str(tmp_path))
    assert float(re.search(r"^chamfer_mm +(\S+)", printed, re.MULTILINE)[1]) < 2.0  # type: ignore[index]
    for name in ("mesh.glb", "mesh.obj", "mesh.stl"):
        vertices = read_mesh(tmp_path / name).vertices
        assert vertices.max(axis=0) - vertices.min(axis=0) == pytest.approx([0.1, 0.1, 0.1], abs=0.006)
    assert len(read_gaussians(tmp_path / "gaussians.ply").means) > 1000
    assert (tmp_path / "new_view.png").stat().st_size > 10_000
