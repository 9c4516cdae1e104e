"""Faults of load and time: more than can be taken at once, more than should be, and clocks that jump."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults import Report
from benchmarks.faults_of_streams import name_of, rendered_folder


def bursts(report: Report, folder: Path) -> None:
    """Calls without waiting for answers."""
    from ros_world import World

    from mvgamba_ros.action import ReconstructObject
    from mvgamba_ros.srv import CaptureView

    with World(folder) as world:
        world.start_node()
        world.wait_for_log("node", "warmed up")
        with report.case("500 captures at once", "each answered, most BUSY (max_waiting)") as case:
            calls = [world.begin(CaptureView, "/reconstructor/capture_view") for _ in range(500)]
            case.did = str(dict(Counter(name_of(world.finish(call)) for call in calls)))
        with report.case("100 goals at once", "each has a result") as case:
            handles = [world.finish(world.action().send_goal_async(ReconstructObject.Goal())) for _ in range(100)]
            results = [world.finish(handle.get_result_async()).result for handle in handles]
            case.did = str(dict(Counter(map(name_of, results))))


def limits(report: Report, folder: Path) -> None:
    """Requests, names and frames without end."""
    import numpy as np
    from geometry_msgs.msg import TransformStamped
    from ros_world import LATCHED, World
    from test_ros_work import views_with_masks
    from tf2_msgs.msg import TFMessage

    from mvgamba_ros.msg import PointPrompt
    from mvgamba_ros.ros.conversions.images import array_to_image

    few = views_with_masks(4)
    with World(folder) as world:
        node = world.start_node(max_tf_frames=100)
        world.wait_for_log("node", "warmed up")
        process = psutil.Process(node.pid)

        def refused(kind: str, code: str, **fields: Any) -> None:
            with report.case(kind, f"{code}, with the limit") as case:
                before = process.memory_info().rss
                answer = world.reconstruct(**fields)
                grown = (process.memory_info().rss - before) / 1e6
                case.did = f"{name_of(answer)}: {answer.error_msg[:80]}, {grown:.0f} MB more"
                assert name_of(answer) == code and len(answer.error_msg) < 5000

        refused("a request of 300 views", "TOO_MANY_VIEWS", views=few[:1] * 300)
        large = views_with_masks(1)[0]
        large.image = array_to_image(np.zeros((6000, 6000, 1), np.uint8), "mono8")
        refused("a picture of 36 megapixels", "BAD_IMAGE", views=[large])
        refused("100,000 points", "BAD_ROI", views=few, point_prompts=[PointPrompt()] * 100_000)
        refused("an object_id of 10 MB", "BAD_OPTION", views=few, object_id="x" * 10_000_000)
        refused("an encoding of 1 MB", "BAD_ENCODING", views=[with_encoding("y" * 1_000_000)] * 4)
        for topic, qos in (("/tf", 100), ("/tf_static", LATCHED)):
            with report.case(f"20,000 frame names on {topic}", "memory stays, the node serves") as case:
                publisher = world.client.create_publisher(TFMessage, topic, qos)
                world.spin(0.5)
                before = process.memory_info().rss
                for part in range(200):
                    frames = [TransformStamped(child_frame_id=f"{topic}{part}-{k}") for k in range(100)]
                    for frame in frames:
                        frame.header.frame_id = "base_link"
                        frame.transform.rotation.w = 1.0
                    publisher.publish(TFMessage(transforms=frames))
                    world.spin(0.01)
                world.spin(1.0)
                grown = (process.memory_info().rss - before) / 1e6
                answer = world.reconstruct(views=few)
                case.did = f"{grown:.0f} MB more; {name_of(answer)}"
                assert grown < 30 and answer.error_code == 0
        with report.case("a parameter set out of its range", "refused, the former value holds") as case:
            try:
                world.set_parameter("reconstructor", "max_views", 900)
            except AssertionError as error:
                case.did = str(error)[:100]
            assert "out of range" in case.did and world.reconstruct(views=few).error_code == 0


def with_encoding(encoding: str) -> Any:
    from test_ros_work import views_with_masks

    view = views_with_masks(1)[0]
    view.image.encoding = encoding
    return view


def clocks(report: Report, folder: Path) -> None:
    """Simulated time that does not come, that jumps, and that starts again."""
    from ros_world import World
    from rosgraph_msgs.msg import Clock

    capture = rendered_folder(folder, 3)
    with World(folder) as world:
        world.start_node(use_sim_time=True, tf_timeout_s=0.3)
        world.start_player(capture)
        publisher = world.client.create_publisher(Clock, "/clock", 10)

        def at(seconds: float) -> Any:
            for _ in range(5):
                message = Clock()
                message.clock.sec = int(seconds)
                message.clock.nanosec = int(1e9 * (seconds % 1.0))
                publisher.publish(message)
                world.spin(0.1)
            return world.capture()

        with report.case("use_sim_time and no /clock", "STALE_IMAGE: no age is known") as case:
            deadline = time.monotonic() + 60
            while name_of(answer := world.capture()) in ("NO_IMAGE", "NO_CAMERA_INFO", "TRANSFORM_UNAVAILABLE"):
                assert time.monotonic() < deadline, answer.error_msg
                world.spin(0.2)
            case.did = name_of(answer)
            assert case.did == "STALE_IMAGE", answer.error_msg
        for kind, offset, code in (
            ("/clock as it should be", 0.0, "SUCCESS"),
            ("/clock jumps an hour ahead", 3600.0, "STALE_IMAGE"),
            ("/clock jumps back and goes on", 0.0, "DUPLICATE_VIEW"),
        ):
            with report.case(kind, f"{code}, the view kept") as case:
                answer = at(time.time() + offset)
                case.did = f"{name_of(answer)}, {answer.view_count} view"
                assert name_of(answer) == code, answer.error_msg
