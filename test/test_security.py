"""What docs/security.md promises: the policy is the node's, and what is installed is locked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
POLICY = ROOT / "config" / "security" / "policy.xml"
ONLY_BESIDE_MOVEIT, CALLED_BESIDE_MOVEIT = {"/collision_object"}, {"/apply_planning_scene"}
OF_OTHER_VERSIONS = {"/reconstructor/get_type_description", "/tf2_frames"}
"""Services of the client library, and of tf2_ros where that is installed."""
OTHER_TRANSPORT = {"/image/compressed", "/clock"}
"""Inputs with other parameters: image_transport compressed, use_sim_time."""


def granted(enclave: str, kind: str, right: str) -> set[str]:
    """Full names that an enclave of the policy has ``right`` to."""
    tree = ElementTree.parse(POLICY).getroot()
    (profile,) = tree.findall(f"./enclaves/enclave[@path='/{enclave}']/profiles/profile")
    assert (profile.get("ns"), profile.get("node")) == ("/", enclave)
    named = [x.text or "" for group in profile.findall(f"{kind}[@{right}='ALLOW']") for x in group]
    return {re.sub("^~", f"/{enclave}", name) if name[0] in "~/" else f"/{name}" for name in named}


NAMES_OF_THE_NODE = """
    import json, os
    import rclpy
    from rclpy.action import get_action_server_names_and_types_by_node
    from mvgamba_ros.ros.node import Reconstructor

    rclpy.init(args=["--ros-args", "-p", "use_depth:=true", "-p", "use_mask:=true"])
    node = Reconstructor()
    names = {
        "publish": sorted({p.topic_name for p in node.publishers}),
        "subscribe": sorted({s.topic_name for n in (node, node._transforms._node) for s in n.subscriptions}),
        "reply": sorted({s.service_name for s in node.services}),
        "request": sorted({c.service_name for c in node.clients}),
    }
    print(json.dumps(names), flush=True)
    os._exit(0)
"""


@pytest.mark.ros
def test_the_policy_grants_the_node_its_own_topics_and_services_and_nothing_else() -> None:
    pytest.importorskip("rclpy")
    environment = os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}
    command = [sys.executable, "-c", textwrap.dedent(NAMES_OF_THE_NODE)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    names = {right: set(found) for right, found in json.loads(done.stdout.splitlines()[-1]).items()}
    assert granted("reconstructor", "services", "reply") - names["reply"] <= OF_OTHER_VERSIONS
    assert names["reply"] <= granted("reconstructor", "services", "reply")
    requested = granted("reconstructor", "services", "request")
    assert names["request"] == requested - (CALLED_BESIDE_MOVEIT - names["request"])
    # rosout and the events of parameters are published by the client library, not by the node's own publishers
    by_library = {"/rosout", "/parameter_events"}
    published = granted("reconstructor", "topics", "publish")
    assert names["publish"] - by_library == published - by_library - (ONLY_BESIDE_MOVEIT - names["publish"])
    assert (
        names["subscribe"] - by_library
        == granted("reconstructor", "topics", "subscribe") - by_library - OTHER_TRANSPORT
    )
    actions = {f"/reconstructor/reconstruct_{what}" for what in ("object", "scene")}
    assert granted("reconstructor", "actions", "execute") == actions


def test_the_operator_may_call_what_the_node_serves_but_neither_save_nor_set_parameters() -> None:
    served = granted("reconstructor", "services", "reply")
    called = granted("operator", "services", "request")
    assert called < served
    about_views = {"capture_view", "list_views", "remove_view", "clear_views", "suggest_views"}
    about_objects = {"clear_objects", "reconstruct", "reconstruct_scene", "calibration"}
    assert {name.split("/")[-1] for name in called} == about_views | about_objects
    assert granted("operator", "actions", "call") == granted("reconstructor", "actions", "execute")
    seen = granted("operator", "topics", "subscribe") - {"/clock", "/parameter_events"}
    assert seen < granted("reconstructor", "topics", "publish")


def blocks(name: str) -> dict[str, str]:
    """Of a lock: distribution and version -> all of its lines."""
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    return {block.split(maxsplit=1)[0]: block for block in re.findall(r"(?m)^[a-zA-Z0-9].*(?:\n .*)*", text)}


@pytest.mark.parametrize("name", ["environment", "ros-kilted", "ros-jazzy", "torch-cpu", "torch-default", "audit"])
def test_every_distribution_of_a_lock_has_a_version_and_hashes_and_no_index_is_named(name: str) -> None:
    locked = blocks(name)
    assert locked
    for distribution, block in locked.items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z]+\])?==\S+", distribution), distribution
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), distribution
        assert "://" not in block


@pytest.mark.parametrize("ros", ["kilted", "jazzy"])
def test_the_locks_hold_every_pinned_requirement(ros: str) -> None:
    names = [*blocks("environment"), *blocks(f"ros-{ros}")]
    locked = {re.sub(r"\[.*\]", "", name).lower().replace("_", "-") for name in names}
    for name in ("requirements.txt", "requirements-dev.txt", f"requirements-ros-{ros}.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if not line or line.startswith("#") or "platform_machine !=" in line:  # the lock is for x86-64
                continue
            pinned = re.sub(r"\[.*\]", "", line.split(";")[0].strip()).lower().replace("_", "-")
            assert pinned in locked, f"{name}: {line}: run tools/lock.sh"


def test_the_lock_of_torch_is_of_the_version_that_is_installed_by() -> None:
    (version,) = re.findall(r"(?m)^version=(.*)$", (ROOT / "tools" / "install_torch.sh").read_text())
    assert set(blocks("torch-cpu")) == {f"torch=={version}+cpu"}
    assert f"torch=={version}" in blocks("torch-default")
