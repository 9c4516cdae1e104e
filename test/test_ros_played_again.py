"""A recording that is played twice to a node in simulated time, over DDS: captures go on, and the views stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

import rendered
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from patience import PATIENCE
from rclpy.qos import qos_profile_sensor_data
from ros_messages import SECOND, at
from ros_world import World
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_transform
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.srv import CaptureView
from mvgamba_ros.types import View

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(600)]

TICK = 0.05


class Recording:
    """Pictures of a camera that stands, their transforms, and one frame whose sender is an hour ahead."""

    def __init__(self, world: World) -> None:
        self.world = world
        create = world.client.create_publisher
        self.clock, self.tf = create(Clock, "/clock", 10), create(TFMessage, "/tf", 100)
        self.images = create(Image, "image", qos_profile_sensor_data)
        self.infos = create(CameraInfo, "camera_info", qos_profile_sensor_data)

    def tick(self, view: View, seconds: float) -> None:
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(round(seconds * SECOND), SECOND)
        self.clock.publish(clock)
        transform = TransformStamped(child_frame_id="camera", transform=matrix_to_transform(view.T_world_camera))
        ahead = TransformStamped(child_frame_id="camera")
        ahead.transform.rotation.w = 1.0
        self.tf.publish(
            TFMessage(transforms=[at(transform, seconds, "base_link"), at(ahead, seconds + 3600.0, "base_link")])
        )
        self.infos.publish(at(camera_to_camera_info(view.camera), seconds))
        self.images.publish(at(array_to_image(view.image, "rgb8"), seconds))

    def play(self, view: View, ticks: int) -> Any:
        """Plays from second 100 on; returns the first good capture of its last half, or the last answer."""
        answer, call, deadline = None, None, PATIENCE / TICK
        while ticks > 0 or ((answer is None or answer.error_code) and deadline > 0):
            ticks, deadline = ticks - 1, deadline - 1
            self.tick(view, self.seconds)
            self.seconds += TICK
            self.world.spin(TICK / 2)
            if call is not None and call.done():
                answer, call = call.result(), None
            if call is None and ticks < 20 and (answer is None or answer.error_code):
                call = self.world.begin(CaptureView, "/reconstructor/capture_view")
        return answer

    def start(self) -> None:
        self.seconds = 100.0


def test_a_recording_played_twice_to_a_node_that_captures_both_times(tmp_path: Path) -> None:
    views = rendered.views(4)
    with World(tmp_path) as world:
        world.start_node(use_sim_time=True, tf_cache_s=1.0, silent_after_s=0.5)
        recording = Recording(world)
        statuses = world.listen(DiagnosticArray, "/diagnostics", 10)
        for turn in range(2):
            recording.start()
            answer = recording.play(views[2 * turn], ticks=40)
            assert (answer.error_code, answer.view_count) == (0, turn + 1), answer.error_msg
        lines = world.log("node").splitlines()
        for words, count in (("time jumped: ", 1), ("ahead of the node's clock", 1)):
            assert sum(words in line for line in lines) == count, lines
        by_name = {status.name.split(": ")[1]: status for status in statuses[-1].status}
        assert [by_name[name].level for name in ("image", "clock", "captures")] == [b"\x00"] * 3, by_name
        tf = {value.key: value.value for value in by_name["transforms"].values}
        assert by_name["transforms"].level == b"\x01" and int(tf["refused, stamped ahead"]) > 40

        statuses.clear()
        world.spin(2.6)  # the recording is over: no message, and no time
        by_name = {status.name.split(": ")[1]: status for status in statuses[-1].status}
        assert by_name["image"].level == b"\x02" and "/clock stands at 10" in by_name["image"].message
        assert by_name["clock"].level == b"\x02"
