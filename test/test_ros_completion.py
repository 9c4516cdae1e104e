"""Few views completed by a generator, as a request chooses it and as the answer tells of it: without a node."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest

pytest.importorskip("rclpy")

from generated_objects import bottle, photograph
from oracle import Oracle, canonical
from patience import PATIENCE
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from mvgamba_ros import registry
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.msg import Completion, ReconstructedObject
from mvgamba_ros.msg import View as ViewMessage
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros import object_summary
from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_pose
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.conversions.markers import quality_text
from mvgamba_ros.ros.conversions.shapes import reconstruction_to_object
from mvgamba_ros.ros.demo.processes import running_rviz
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.requests import Task, chosen_options, views_and_options
from mvgamba_ros.ros.save import save
from mvgamba_ros.srv import Reconstruct
from mvgamba_ros.types import View

pytestmark = pytest.mark.ros


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN["generators"], "oracle", "oracle:from_options")


def looks(*azimuths: float) -> list[ViewMessage]:
    """As a request carries them, with depth and mask."""
    messages = []
    for view in (photograph(bottle(), azimuth) for azimuth in azimuths):
        assert view.mask is not None and view.depth is not None
        messages.append(
            ViewMessage(
                image=array_to_image(view.image, "rgb8"),
                camera_info=camera_to_camera_info(view.camera),
                pose=matrix_to_pose(view.T_world_camera),
                mask=array_to_image(view.mask.astype(np.uint8) * 255, "mono8"),
                depth=array_to_image(view.depth, "32FC1"),
            )
        )
    return messages


def made(
    weights: str, azimuths: tuple[float, ...], **fields: Any
) -> tuple[list[View], Reconstruction, ReconstructedObject]:
    """The views of a request, what the node makes of it, and its answer as it arrives."""
    known = Oracle(canonical(bottle(), photograph(bottle(), azimuths[0]).T_world_camera), as_mesh=True)
    oracle.KNOWN[weights] = known
    request = Reconstruct.Request(
        views=looks(*azimuths), method="hull", generator="oracle", use_support_height=True, **fields
    )
    node = Parameters(options=Options(generator_weights=weights, refine=False))
    views, options = views_and_options(Task(request, node, (), "base_link", np.eye(4), 0))
    result = reconstruct(views, options)
    sent = reconstruction_to_object(result, "bottle", Header(frame_id="base_link"))
    return views, result, deserialize_message(serialize_message(sent), ReconstructedObject)


def test_one_look_is_completed_as_the_request_says_and_the_answer_marks_what_was_made_up(tmp_path: Path) -> None:
    views, result, found = made("one", (30.0,), generator_seed=7)
    assert oracle.KNOWN["one"].calls == [7]
    completion = found.completion
    assert (completion.generator, completion.seed) == ("oracle", 7)
    assert list(completion.scale_from) == ["depth", "the support plane"]
    assert completion.guessed_share == pytest.approx(1.0 - found.quality.coverage, abs=1e-5)
    assert completion.scale_sigma > 0 and completion.position_sigma_mm > 0 and completion.silhouette_iou > 0.9
    seen, behind = np.array(found.mesh_vertex_seen), np.array([[v.x, v.y] for v in found.mesh.vertices])
    away = (behind - bottle().vertices.mean(axis=0)[:2]) @ np.array([np.cos(np.radians(30)), np.sin(np.radians(30))])
    assert len(seen) == len(away) and (seen[away < -0.02] == 0).all() and (seen[away > 0.02] > 0).mean() > 0.8
    assert found.quality.low and any("made up by the generator oracle" in why for why in found.quality.reasons)

    share = f"{completion.guessed_share:.0%}"
    assert dict(object_summary.rows(found))["completion"].startswith(
        f"{share} of the surface made up by oracle (seed 7)"
    )
    assert object_summary.line(found).endswith(f"1 views, {share} of the surface made up by oracle")
    assert f"{share} made up by oracle" in quality_text(found)
    values = json.loads(json.dumps(object_summary.values(found), allow_nan=False))
    assert values["completion"]["generator"] == "oracle" and values["completion"]["seed"] == 7

    save("out", str(tmp_path), False, result, views, found)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["completion"]["guessed_share"] == pytest.approx(completion.guessed_share)
    assert (report["options"]["generator"], report["options"]["generator_seed"]) == ("oracle", 7)


def test_many_looks_leave_a_small_part_to_the_generator_and_the_answer_is_not_low() -> None:
    around = tuple(np.arange(0.0, 360.0, 60.0))
    *_, found = made("many", around, complete="always")
    assert found.completion.generator == "oracle" and found.completion.guessed_share < 0.25
    assert not found.quality.low, found.quality.reasons
    *_, found = made("uncalled", around)  # complete: few, the node's own
    assert found.completion == Completion() and oracle.KNOWN["uncalled"].calls == []
    assert object_summary.values(found)["completion"] is None and "completion" not in dict(object_summary.rows(found))


def test_a_look_that_is_not_to_be_completed_stays_the_methods_own_guess() -> None:
    *_, found = made("off", (30.0,), complete="off")
    assert found.completion == Completion() and oracle.KNOWN["off"].calls == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("generator", "clay", "generator 'clay' is not one of .*triposr"),
        ("complete", "sometimes", "complete 'sometimes' is not one of few, always, off"),
        ("generator_seed", 2**31, f"generator_seed {2**31} .* 1 to {2**31 - 1}"),
    ],
)
def test_a_value_that_is_none_is_refused_with_the_choices(field: str, value: Any, words: str) -> None:
    request = Reconstruct.Request(views=looks(30.0), **{field: value})
    with pytest.raises(ReconstructionError, match=words) as refused:
        views_and_options(Task(request, Parameters(), (), "base_link", np.eye(4), 0))
    assert refused.value.code is ErrorCode.BAD_OPTION


def test_rviz_opens_on_the_nodes_outputs_until_enter_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with running_rviz(tmp_path):
        assert "rviz2 is not installed" in capsys.readouterr().err
    program = tmp_path / "rviz2"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/started\nexec /bin/sleep 60\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with running_rviz(tmp_path):
        deadline = time.monotonic() + PATIENCE
        while not (started := tmp_path / "started").exists() or not started.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    option, config = started.read_text().split()
    assert option == "-d" and "Seen or guessed" in Path(config).read_text()
    assert "Enter ends it" in capsys.readouterr().err


def test_what_a_request_leaves_open_of_a_generator_the_parameters_say() -> None:
    node = Options(generator="triposr", complete="always", generator_seed=3, generator_weights="TripoSR")
    assert chosen_options(Reconstruct.Request(), node) == {}
    assert chosen_options(Reconstruct.Request(generator="triposr", generator_seed=9), node) == {
        "generator": "triposr",
        "generator_seed": 9,
    }


def test_the_weights_of_the_nodes_generator_go_to_no_other() -> None:
    other = Reconstruct.Request(generator="trellis")
    node = Options(generator="triposr", generator_weights="TripoSR")
    assert chosen_options(other, node) == {"generator": "trellis", "generator_weights": ""}
    node = Options(generator_weights="TRELLIS")  # of whichever a request names
    assert chosen_options(other, node) == {"generator": "trellis"}
