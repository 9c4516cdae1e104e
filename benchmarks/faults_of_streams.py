"""Faults of cameras, TF and folders: a code that names them, and the captured views kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.faults import Report

CODES = {
    "no_image": "STALE_IMAGE",
    "no_camera_info": "DUPLICATE_VIEW",
    "zero_camera_info": "BAD_CAMERA_INFO",
    "small_camera_info": "BAD_CAMERA_INFO",
    "encoding": "BAD_ENCODING",
    "step": "BAD_IMAGE",
    "short": "BAD_IMAGE",
    "stale": "STALE_IMAGE",
    "blurred": "BLURRED_IMAGE",
    "moving": "CAMERA_MOVING",
    "no_tf": "TRANSFORM_UNAVAILABLE",
    "late_tf": "TRANSFORM_UNAVAILABLE",
    "nan_tf": "BAD_POSE",
    "other_frame": "TRANSFORM_UNAVAILABLE",
}
"""By the faults of test/ros_player.py. Without camera_info the last one serves: only the place is that of a view."""


def rendered_folder(folder: Path, count: int) -> Path:
    """A capture of the tests' rendered object."""
    import rendered

    from mvgamba_ros.io.transforms_json import write_capture

    write_capture(folder / "rendered", rendered.views(count))
    return folder / "rendered"


def name_of(answer: Any) -> str:
    from mvgamba_ros.errors import ErrorCode

    return ErrorCode(answer.error_code).name


def broken_streams(report: Report, folder: Path) -> None:
    """Each fault of the player for a second; then the stream is whole again."""
    from ros_world import World

    capture = rendered_folder(folder, 4)
    with World(folder) as world:
        world.start_node(tf_timeout_s=0.3, silent_after_s=0.5)
        world.start_player(capture)
        assert world.capture_until_good().error_code == 0
        for fault, code in CODES.items():
            with report.case(
                f"the camera's stream: {fault}", f"{code}, the view kept; taken again when mended"
            ) as case:
                world.set_parameter("player", "fault", fault)
                world.spin(1.3)
                answer = world.capture()
                case.did = f"{name_of(answer)}, {answer.view_count} view"
                assert name_of(answer) == code and answer.view_count == 1, answer.error_msg
                world.set_parameter("player", "fault", "none")
                world.spin(0.6)
                assert name_of(world.capture()) == "DUPLICATE_VIEW"
        with report.case("the camera's process is killed", "STALE_IMAGE, the view kept") as case:
            world.processes[1].kill()
            world.spin(1.5)
            answer = world.capture()
            case.did = f"{name_of(answer)}, {answer.view_count} view"
            assert name_of(answer) == "STALE_IMAGE" and answer.view_count == 1


def compressed_streams(report: Report, folder: Path) -> None:
    """A picture of 20 kB that would take 0.75 GB."""
    import psutil
    from rclpy.qos import qos_profile_sensor_data
    from ros_messages import at, info, pose
    from ros_world import World
    from sensor_msgs.msg import CameraInfo, CompressedImage
    from test_ros_limits import png
    from tf2_msgs.msg import TFMessage

    from mvgamba_ros.ros.conversions.geometry import matrix_to_transform

    with World(folder) as world:
        node = world.start_node(image_transport="compressed", tf_timeout_s=0.3, max_image_age_s=60.0)
        world.wait_for_log("node", "warmed up")
        kinds = (CompressedImage, "image/compressed"), (CameraInfo, "camera_info"), (TFMessage, "/tf")
        image, camera_info, tf = (
            world.client.create_publisher(kind, name, qos_profile_sensor_data if kind is not TFMessage else 10)
            for kind, name in kinds
        )
        world.spin(1.0)
        process, data = psutil.Process(node.pid), png(16_000, 16_000)
        with report.case("a PNG of 250 kB with 256 million pixels", "BAD_IMAGE by its header, no memory") as case:
            from geometry_msgs.msg import TransformStamped

            now = world.client.get_clock().now().nanoseconds / 1e9
            for seconds in (now - 1, now):
                moved = TransformStamped(child_frame_id="camera", transform=matrix_to_transform(pose(0.3)))
                tf.publish(TFMessage(transforms=[at(moved, seconds, "base_link")]))
            camera_info.publish(info(now))
            image.publish(at(CompressedImage(format="png", data=data), now))
            world.spin(0.5)
            before = process.memory_info().rss
            answer = world.capture()
            grown = (process.memory_info().rss - before) / 1e6
            case.did = f"{name_of(answer)}, {grown:.0f} MB more"
            assert name_of(answer) == "BAD_IMAGE" and grown < 20, answer.error_msg


def folders(report: Report, folder: Path) -> None:
    """The folders of views and results, before and while the node runs."""
    from ros_world import World
    from std_srvs.srv import Trigger

    capture, spool, out = rendered_folder(folder, 4), folder / "spool", folder / "out"
    with report.case("kill -9 with views held, then a restart", "the views of spool_dir again") as case:
        with World(folder) as world:
            node = world.start_node(spool_dir=spool, output_dir=out)
            world.start_player(capture)
            world.capture_all(3)
            node.kill()
            case.did = "3 views captured; "
        with World(folder) as world:
            world.start_node(spool_dir=spool, output_dir=out)
            answer = world.capture()
            case.did += f"{answer.view_count} after the restart"
            assert answer.view_count == 3
    next(spool.glob("view-000002*")).write_bytes(b"cut")
    with World(folder) as world:
        with report.case("a cut file in spool_dir", "set aside with a warning, the others there") as case:
            world.start_node(spool_dir=spool, output_dir=out)
            answer = world.capture()
            case.did = f"{answer.view_count} views, {len(list(spool.glob('*.broken')))} file set aside"
            assert answer.view_count == 2 and "view-000002.npz" in world.log("node")
        with report.case("spool_dir is deleted while it runs", "the view kept in memory, a warning") as case:
            world.call(Trigger, "/reconstructor/clear_views")
            world.start_player(capture)
            shutil.rmtree(spool)
            answer = world.capture_until_good()
            case.did = f"{name_of(answer)}, {answer.view_count} view"
            assert answer.view_count == 1 and "spool_dir: " in world.log("node")
        with report.case("output_dir is deleted while it runs", "made again by ~/save") as case:
            for _ in range(2):
                world.next_view()
                world.spin(0.3)
                world.capture_until_good()
            assert world.reconstruct().error_code == 0
            shutil.rmtree(out)
            answer = world.save("")
            case.did = f"{name_of(answer)}, {len(answer.files)} files"
            assert answer.error_code == 0 and all(Path(file).exists() for file in answer.files), answer.error_msg
        with report.case("output_dir becomes a file", "CANNOT_WRITE, the object kept") as case:
            shutil.rmtree(out)
            out.write_text("")
            answer = world.save("")
            case.did = name_of(answer)
            assert name_of(answer) == "CANNOT_WRITE", answer.error_msg
            out.unlink()
            assert world.save("").error_code == 0
