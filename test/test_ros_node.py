"""The node as its users meet it: processes of its own, images over DDS, answers to services and actions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rendered
from geometry_msgs.msg import PoseArray, Vector3
from ros_world import World
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose, pose_to_matrix
from mvgamba_ros.ros.conversions.shapes import cloud_to_columns, mesh_from_message

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(600)]

VIEWS = 8
ROI = {"use_roi": True, "roi_size": Vector3(**dict(zip("xyz", (1.4 * rendered.SIZE).tolist(), strict=True)))}
_T = np.eye(4)
_T[:3, 3] = rendered.CENTER
ROI["roi_pose"] = matrix_to_pose(_T)
TABLE = {"use_support_height": True, "support_height": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rendered")
    write_capture(path, rendered.views(VIEWS))
    return path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def box_of(answer: ReconstructedObject) -> tuple[np.ndarray, np.ndarray]:
    """The axis-aligned box of the answered mesh."""
    vertices = mesh_from_message(answer.mesh, answer.mesh_vertex_colors).vertices
    return vertices.min(axis=0), vertices.max(axis=0)


def test_images_over_dds_become_a_mesh_of_the_right_size_in_the_right_place(world, folder, tmp_path):
    world.start_node(save_bag=True)
    world.start_player(folder)
    captured = world.capture_all(VIEWS)
    assert [c.view_count for c in captured] == list(range(1, VIEWS + 1))
    assert captured[-1].coverage > captured[0].coverage
    assert captured[-1].largest_gap == pytest.approx(2 * np.pi / VIEWS, abs=0.2)

    answer = world.reconstruct(object_id="egg", **ROI, **TABLE)
    assert answer.error_code == 0, answer.error_msg
    lowest, highest = box_of(answer.object)
    np.testing.assert_allclose(lowest, rendered.CENTER - rendered.SIZE / 2, atol=0.005)
    np.testing.assert_allclose(highest, rendered.CENTER + rendered.SIZE / 2, atol=0.005)
    box = answer.object
    np.testing.assert_allclose(pose_to_matrix(box.box_pose)[:3, 3], rendered.CENTER, atol=0.005)
    sides = sorted([box.box_size.x, box.box_size.y, box.box_size.z])
    np.testing.assert_allclose(sides, sorted(rendered.SIZE), rtol=0.1)  # a nearly round thing's box may stand askew

    assert (box.id, box.header.frame_id, box.view_count) == ("egg", "base_link", VIEWS)
    assert len(box.mesh.triangles) <= 5000
    assert not box.quality.low and box.quality.silhouette_iou > 0.9
    assert answer.stages[-1].name == "total" and answer.stages[-1].seconds > 0

    # Whoever joins late still sees the result.
    topics = {"points": PointCloud2, "mesh_marker": Marker, "object": ReconstructedObject, "view_poses": PoseArray}
    received = {t: world.listen(kind, f"/reconstructor/{t}") for t, kind in {**topics, "debug/mask": Image}.items()}
    late = {topic: world.await_message(messages) for topic, messages in received.items()}
    assert all(message.header.frame_id == "base_link" for message in late.values())
    columns = cloud_to_columns(late["points"])
    assert columns["z"].max() == pytest.approx(rendered.CENTER[2] + rendered.SIZE[2] / 2, abs=0.005)
    assert len(late["mesh_marker"].points) == 3 * len(box.mesh.triangles)
    assert len(late["view_poses"].poses) == VIEWS

    saved = world.save(str(tmp_path / "out"))
    assert saved.error_code == 0, saved.error_msg
    assert {Path(f).name for f in saved.files} >= {"mesh.ply", "cloud.ply", "report.json"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["id"], report["frame"], report["views"]) == ("egg", "base_link", VIEWS)
    saved_views = read_capture(tmp_path / "out" / "views")
    recorded = read_capture(tmp_path / "out" / "views.mcap", "@base_link")
    assert len(saved_views) == len(recorded) == VIEWS
    for view, again, answer in zip(saved_views, recorded, captured, strict=True):
        np.testing.assert_array_equal(view.image, again.image)
        np.testing.assert_allclose(view.T_world_camera, again.T_world_camera, atol=1e-6)
        np.testing.assert_allclose(pose_to_matrix(answer.pose.pose), again.T_world_camera, atol=1e-6)
    stamp = box.header.stamp
    own = Path(world.save("").files[0]).parent
    assert own == world.logs / f"egg-{stamp.sec}.{stamp.nanosec:09d}" and own != tmp_path / "out"

    assert world.call(Trigger, "/reconstructor/clear_views").message == f"{VIEWS} views cleared"
    assert world.reconstruct().error_code == ErrorCode.TOO_FEW_VIEWS
