"""A recording of the simulated arm: `make sample-bag`, or ``python -m mvgamba_ros.ros.demo.record_drive --help``.

The arm runs as a process of its own; this one drives it to its view poses and meanwhile writes down what its topics
carry over DDS, the moves between the stops too. The pictures become JPEGs, so that the file is small.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.ros.bag_messages import CAMERA_INFO, COMPRESSED, TF, typestore
from mvgamba_ros.ros.bag_writer import Recorder, check_recording
from mvgamba_ros.ros.conversions.images import image_to_rgb
from mvgamba_ros.ros.demo.arm_calls import ARM, ArmCalls
from mvgamba_ros.ros.demo.processes import check_alive, interrupt, running, use_own_network
from mvgamba_ros.ros.qos import latched
from mvgamba_ros.ros.service_calls import MOST_WAITING, CallError

START_S, MOVE_S = 120.0, 90.0
"""Seconds after which a stage has failed."""
STOP_S = 0.8
"""The arm stays so long at each pose, seconds: some pictures of a still camera."""
JPEG_QUALITY = 90
TRUTH = f"{ARM}/object_truth"


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 where it failed, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m mvgamba_ros.ros.demo.record_drive",
        description="Records what a simulated arm sees on its way around an object.",
        epilog="then: mvgamba reconstruct sample.mcap -o out --support-height 0",
    )
    parser.add_argument("-o", "--output", metavar="OUT.mcap", default="sample.mcap", help="(default: %(default)s)")
    parser.add_argument("--object", default="cereal", help="as in the demo (default: %(default)s)")
    parser.add_argument("--views", type=int, default=6, choices=range(3, 9), help="stops (default: %(default)s)")
    args = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    output = Path(args.output).expanduser().absolute()
    try:
        check_recording(output)
        use_own_network()
        counts = record(output, args.object, args.views)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return 130
    except (CallError, OSError, ReconstructionError) as error:
        print(f"not recorded: {error}", file=sys.stderr)
        return 1
    listed = ", ".join(f"{count} on {topic}" for topic, count in sorted(counts.items()))
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB): {listed}")
    return 0


def record(output: Path, name: str, views: int) -> dict[str, int]:
    """Drives to ``views`` poses around the object ``name`` and writes the recording; returns the number of messages of
    each topic. Raises CallError where the arm fails, and what `Recorder` raises."""
    store = typestore(output)
    counts: dict[str, int] = {}
    parameters = {"object": name, "view_count": views}
    with (
        tempfile.TemporaryDirectory() as logs,
        running("simulated_arm", ["mvgamba_ros.ros.demo.arm_node"], parameters, Path(logs)) as arm,
        ArmCalls(check=lambda: check_alive([arm])) as calls,
        Recorder(output, store).open() as put,
    ):

        def keep(topic: str, kind: str, change: Callable[[bytes], bytes] = bytes) -> Callable[[bytes], None]:
            def write(message: bytes) -> None:
                put(topic, kind, time.time_ns(), change(message))
                counts[topic] = counts.get(topic, 0) + 1

            return write

        poses, _ = calls.wait_for_arm(START_S)
        calls.record(Marker, TRUTH, keep(TRUTH, "visualization_msgs/msg/Marker"), latched(MOST_WAITING))
        calls.record(TFMessage, "/tf_static", keep("/tf_static", TF), latched(MOST_WAITING))
        calls.record(TFMessage, "/tf", keep("/tf", TF))
        calls.record(CameraInfo, "/camera_info", keep("/camera_info", CAMERA_INFO))
        calls.record(Image, "/image", keep("/image/compressed", COMPRESSED, _to_jpeg))
        for index, pose in enumerate(poses):
            calls.move_camera(pose, MOVE_S)
            calls.spin(STOP_S)
            print(f"stop {index + 1} of {len(poses)}", flush=True)
    return counts


def _to_jpeg(message: bytes) -> bytes:
    """A serialized Image as a serialized CompressedImage of the same header."""
    image: Any = deserialize_message(message, Image)
    pixels = cv2.cvtColor(image_to_rgb(image), cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return serialize_message(
        CompressedImage(header=image.header, format="rgb8; jpeg compressed bgr8", data=content.tobytes())
    )


if __name__ == "__main__":
    sys.exit(main())
