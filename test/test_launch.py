"""The launch files, run by ROS's own launch with nodes that only write down how they were started.

Skipped where launch and launch_ros are not installed (the ROS wheels lack them).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mvgamba_ros.ros.fastdds import profile_environment
from mvgamba_ros.ros.rviz_config import filled_in, target_frame

REPOSITORY = Path(__file__).parents[1]
SITE = "/site/profile.xml"
RECORDER = f"""#!{sys.executable}
import json, os, pathlib, sys, time
name = pathlib.Path(sys.argv[0]).name
files = [f for f in sys.argv if os.path.isfile(f) and ("params" in f or f.endswith((".yaml", ".rviz")))]
if "SEVERAL" in os.environ:
    name += str(os.getpid())
out = pathlib.Path(os.environ["RECORDED"]) / name
again = out.exists()
out.write_text(json.dumps(dict(
    argv=sys.argv[1:], files=[open(f).read() for f in files], profile=os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE")
)))
if again:
    (out.parent / "again").touch()
    time.sleep(60)
sys.exit(int(os.environ.get("RECORDER_RC", "0")))
"""
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

source = PythonLaunchDescriptionSource(sys.argv[1])
pairs = [tuple(a.split(":=", 1)) for a in sys.argv[2:]]
service = LaunchService(noninteractive=True)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=pairs)]))
sys.exit(service.run())
"""


@pytest.mark.parametrize(
    ("chosen", "environment", "profile"),
    [
        ("", {}, "ours"),
        ("", {"FASTDDS_DEFAULT_PROFILES_FILE": SITE}, None),
        ("", {"FASTRTPS_DEFAULT_PROFILES_FILE": SITE}, None),
        ("", {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, None),
        ("", {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}, "ours"),
        ("mine", {"FASTDDS_DEFAULT_PROFILES_FILE": SITE}, "mine"),
    ],
)
def test_our_profile_never_replaces_the_sites(chosen, environment, profile):
    found = profile_environment(chosen, "ours", environment)
    assert found == ({} if profile is None else {"FASTDDS_DEFAULT_PROFILES_FILE": profile})


def test_the_demos_own_network_leaves_a_sites_middleware_as_it_is(monkeypatch):
    pytest.importorskip("rclpy")
    from mvgamba_ros.ros.demo.processes import use_own_network

    for site in ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, {"FASTRTPS_DEFAULT_PROFILES_FILE": SITE}, {}):
        monkeypatch.setattr(os, "environ", dict(site))
        use_own_network()
        assert ("FASTDDS_DEFAULT_PROFILES_FILE" in os.environ) is (not site)
        assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An installed package whose programs only write down how they were started."""
    pytest.importorskip("launch_ros.actions", reason="launch is not among the ROS wheels")
    share, programs = tmp_path / "share", tmp_path / "lib" / "mvgamba_ros"
    (share / "ament_index" / "resource_index" / "packages").mkdir(parents=True)
    (share / "ament_index" / "resource_index" / "packages" / "mvgamba_ros").touch()
    (share / "mvgamba_ros").mkdir()
    for folder in ("config", "launch"):
        (share / "mvgamba_ros" / folder).symlink_to(REPOSITORY / folder)
    programs.mkdir(parents=True)
    for name in ("reconstructor", "simulated_arm"):
        (programs / name).write_text(RECORDER)
        (programs / name).chmod(0o755)
    return tmp_path


def run(prefix: Path, name: str, *arguments: str, environment: dict[str, str] | None = None) -> tuple[dict, str]:
    """What each node was started with, by its program, and what launch printed."""
    recorded = prefix / "recorded"
    recorded.mkdir()
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("FASTDDS", "FASTRTPS", "RMW"))}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, str(REPOSITORY / "launch" / name), *arguments],
        env=plain | {"AMENT_PREFIX_PATH": str(prefix), "RECORDED": str(recorded)} | (environment or {}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = {path.name: json.loads(path.read_text()) for path in recorded.iterdir()}
    return found, done.stdout + done.stderr


def parameters(node: dict) -> dict:
    """As the node would read them: later files win."""
    merged: dict = {}
    for text in node["files"]:
        for section in (yaml.safe_load(text) or {}).values():
            merged |= section["ros__parameters"]
    return merged


def test_an_argument_left_alone_changes_nothing(prefix):
    mine = prefix / "my_params.yaml"
    mine.write_text("/**:\n  ros__parameters: {target_frame: panda_link0, use_sim_time: true}\n")
    nodes, printed = run(prefix, "reconstruct.launch.py", f"params_file:={mine}", environment={
        "FASTDDS_DEFAULT_PROFILES_FILE": SITE
    })  # fmt: skip
    assert parameters(nodes["reconstructor"]) == {"target_frame": "panda_link0", "use_sim_time": True}, printed
    assert nodes["reconstructor"]["profile"] == SITE
    assert "--log-level" not in nodes["reconstructor"]["argv"]


def test_an_argument_that_is_given_wins_and_our_profile_is_the_nodes_alone(prefix):
    nodes, printed = run(
        prefix, "reconstruct.launch.py", "target_frame:=tool0", "use_sim_time:=false", "log_level:=debug",
        "namespace:=left", "image:=/cam/image",
    )  # fmt: skip
    node = nodes["reconstructor"]
    assert parameters(node)["target_frame"] == "tool0" and parameters(node)["use_sim_time"] is False, printed
    words = " ".join(node["argv"])
    for expected in (
        "--log-level debug",
        "__ns:=/left",
        "image:=/cam/image",
        "image/compressed:=/cam/image/compressed",
    ):
        assert expected in words
    assert node["profile"].endswith("config/fastdds.xml")


def test_without_rviz2_one_line_tells_so_and_the_node_runs(prefix):
    nodes, printed = run(prefix, "reconstruct.launch.py", "rviz:=true")
    assert set(nodes) == {"reconstructor"}
    assert printed.count("rviz2 is not installed") == 1 and "Traceback" not in printed


def test_a_recording_is_played_beside_the_node_which_takes_its_time_from_it(prefix, tmp_path):
    bag = tmp_path / "tour.mcap"
    bag.touch()
    (prefix / "share" / "ament_index" / "resource_index" / "packages" / "ros2bag").touch()
    (prefix / "bin").mkdir()
    (prefix / "bin" / "ros2").write_text(RECORDER)
    (prefix / "bin" / "ros2").chmod(0o755)
    path = os.pathsep.join([str(prefix / "bin"), os.environ["PATH"]])
    nodes, printed = run(prefix, "reconstruct.launch.py", f"rosbag:={bag}", environment={"PATH": path})
    assert set(nodes) == {"reconstructor", "ros2"}, printed
    assert nodes["ros2"]["argv"][:4] == ["bag", "play", str(bag), "--clock"]
    assert nodes["ros2"]["profile"] == nodes["reconstructor"]["profile"]  # it writes large pictures
    assert parameters(nodes["reconstructor"])["use_sim_time"] is True


def test_without_ros2_bag_one_line_tells_so_and_the_node_runs(prefix, tmp_path):
    bag = tmp_path / "tour.mcap"
    bag.touch()
    nodes, printed = run(prefix, "reconstruct.launch.py", f"rosbag:={bag}")
    assert set(nodes) == {"reconstructor"} and parameters(nodes["reconstructor"])["use_sim_time"] is True
    assert printed.count("ros2 bag is not installed") == 1 and "Traceback" not in printed


def test_a_recording_that_is_not_there_is_named(prefix):
    nodes, printed = run(prefix, "reconstruct.launch.py", "rosbag:=/nowhere/tour.mcap")
    assert not nodes and "rosbag:=/nowhere/tour.mcap is not there" in printed


def test_rviz_shows_the_nodes_topics_in_its_frame(prefix):
    (prefix / "share" / "ament_index" / "resource_index" / "packages" / "rviz2").touch()
    (prefix / "lib" / "rviz2").mkdir()
    shutil.copy(prefix / "lib" / "mvgamba_ros" / "reconstructor", prefix / "lib" / "rviz2" / "rviz2")
    mine = prefix / "my_params.yaml"
    mine.write_text("/**:\n  ros__parameters: {target_frame: panda_link0}\n")
    arguments = "visualization:=rviz", "namespace:=left", "image:=cam/image", f"params_file:={mine}"
    nodes, printed = run(prefix, "reconstruct.launch.py", *arguments)
    assert set(nodes) == {"reconstructor", "rviz2"}, printed
    shown = yaml.safe_load(nodes["rviz2"]["files"][0])["Visualization Manager"]
    assert shown["Global Options"]["Fixed Frame"] == "panda_link0"
    topics = {display["Name"]: display["Topic"]["Value"] for display in shown["Displays"] if "Topic" in display}
    assert topics["Meshes"] == "/left/reconstructor/mesh_markers" and topics["Camera"] == "/left/cam/image"


def test_without_rerun_one_line_tells_so_and_the_node_runs(prefix):
    if importlib.util.find_spec("rerun"):
        pytest.skip("rerun-sdk is installed")
    nodes, printed = run(prefix, "reconstruct.launch.py", "visualization:=rerun")
    assert set(nodes) == {"reconstructor"} and printed.count("pip install 'mvgamba_ros[rerun]'") == 1, printed
    assert "Traceback" not in printed


def test_rviz_gets_absolute_topics_and_the_frame_of_the_nodes_own_parameters(tmp_path):
    text = (REPOSITORY / "config" / "reconstruct.rviz").read_text(encoding="utf-8")
    displays = yaml.safe_load(filled_in(text, "", {"image": "/wrist/image"}, "tool0"))["Visualization Manager"][
        "Displays"
    ]
    topics = {display["Topic"]["Value"] for display in displays if "Topic" in display}
    assert {"/wrist/image", "/reconstructor/points", "/reconstructor/markers"} <= topics
    file = tmp_path / "params.yaml"
    file.write_text(
        "other: {ros__parameters: {target_frame: no}}\n/**: {ros__parameters: {target_frame: all}}\n"
        "/left/reconstructor: {ros__parameters: {target_frame: left}}\n"
    )
    assert (target_frame(str(file)), target_frame(str(file), "left")) == ("all", "left")
    file.write_text("")
    assert target_frame(str(file)) == "base_link"


def test_a_word_that_is_no_truth_value_is_named(prefix):
    nodes, printed = run(prefix, "reconstruct.launch.py", "rviz:=maybe")
    assert not nodes and "rviz:=maybe is neither true nor false" in printed


def test_a_node_that_ends_is_started_again_where_wanted(prefix):
    command = [sys.executable, "-c", LAUNCH, str(REPOSITORY / "launch" / "reconstruct.launch.py"), "respawn:=true"]
    (prefix / "recorded").mkdir()
    environment = {"AMENT_PREFIX_PATH": str(prefix), "RECORDED": str(prefix / "recorded"), "RECORDER_RC": "1"}
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL) as launched:
        deadline = time.monotonic() + 60  # launch loses a process that ends before it is quite started
        while not (prefix / "recorded" / "again").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        launched.send_signal(2)
        try:
            assert launched.wait(10) is not None and (prefix / "recorded" / "again").exists()
        finally:
            launched.kill()


def test_the_launch_file_of_the_page_starts_two_arms_that_share_one_move_group(prefix):
    page = (REPOSITORY / "docs" / "ros.md").read_text(encoding="utf-8")
    for name in ("arms.yaml", "two_arms.launch.py"):
        (prefix / name).write_text(page.split(f'title="{name}"\n')[1].split("```")[0])
    nodes, printed = run(prefix, str(prefix / "two_arms.launch.py"), environment={"SEVERAL": "1"})
    assert len(nodes) == 2, printed
    for node in nodes.values():
        words = " ".join(node["argv"])
        arm = "left" if "__ns:=/left" in words else "right"
        assert f"__ns:=/{arm}" in words and f"depth:=/{arm}/camera/aligned_depth_to_color/image_raw" in words
        assert "apply_planning_scene:=/apply_planning_scene" in words
        mine = yaml.safe_load(node["files"][0])[f"/{arm}/reconstructor"]["ros__parameters"]
        assert mine["target_frame"] == f"{arm}_base_link"


def test_the_demo_starts_both_nodes_alike(prefix):
    pytest.importorskip("mujoco")
    nodes, printed = run(prefix, "demo.launch.py", "namespace:=left", "object:=milk", "log_level:=warn")
    assert set(nodes) == {"reconstructor", "simulated_arm"}, printed
    for node in nodes.values():
        assert "__ns:=/left" in " ".join(node["argv"]) and "--log-level warn" in " ".join(node["argv"])
        assert node["profile"].endswith("config/fastdds.xml")
    assert parameters(nodes["simulated_arm"]) == {"object": "milk", "view_count": 6, "publish_depth": False}
    assert parameters(nodes["reconstructor"])["target_frame"] == "base_link"


def test_the_demo_without_the_simulator_tells_so_and_keeps_the_node(prefix):
    hidden = prefix / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'mujoco' else find(name, *a)\n"
    )
    path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    nodes, printed = run(prefix, "demo.launch.py", environment={"PYTHONPATH": path})
    assert set(nodes) == {"reconstructor"} and printed.count("it needs MuJoCo") == 1, printed
