"""The contents of /diagnostics: each input, time, the transforms, captures, the last reconstruction.

Levels as in diagnostic_msgs: ERROR where the node cannot do its work, WARN where it did not or may not, OK where it
works, also after a failure that a success followed; the values then keep the count and the last failure.
"""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.ros.health import Health
from mvgamba_ros.ros.inputs import Inputs
from mvgamba_ros.ros.node_time import NodeTime
from mvgamba_ros.ros.transform_listener import TransformListener

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Diagnostics:
    """Publishes /diagnostics once a second, the rate that diagnostic aggregators expect."""

    def __init__(
        self, node: Node, inputs: Inputs, transforms: TransformListener, node_time: NodeTime, health: Health
    ) -> None:
        self._node, self._inputs, self._transforms = node, inputs, transforms
        self._time, self._health = node_time, health
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def publish(self, silent_after_s: float, views: int, busy: bool) -> None:
        array = DiagnosticArray(status=self.statuses(silent_after_s, views, busy))
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def statuses(self, silent_after_s: float, views: int, busy: bool) -> list[DiagnosticStatus]:
        """One of each input, of time, transforms, captures and reconstruction."""
        clock = self._time.silence(silent_after_s)
        return [
            *(self._input(key, silent_after_s, clock) for key in self._inputs.by_name),
            self._clock(clock),
            self._tf(),
            self._captures(views),
            self._work(views, busy),
        ]

    def _status(
        self, name: str, level: bytes, message: str, values: Mapping[str, object], hardware_id: str = ""
    ) -> DiagnosticStatus:
        return DiagnosticStatus(
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: {name}",
            level=level,
            message=message,
            hardware_id=hardware_id,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )

    def _input(self, key: str, silent_after_s: float, clock: str) -> DiagnosticStatus:
        topic = self._inputs[key].topic
        publishers = self._inputs.publishers(key)
        level, message = OK, "arriving"
        if silence := self._inputs.explain_silence(key, silent_after_s):
            level, message = ERROR, f"{silence}; {clock}" if clock else silence
        elif not publishers:
            level, message = ERROR, f"nobody publishes {topic} any more: start the camera, or remap `{key}`"
        elif len(publishers) > 1:
            several = f"{len(publishers)} publishers on {topic}: {', '.join(publishers)}"
            level, message = WARN, f"{several}; their messages are mixed: stop all but one, or remap `{key}`"
        values = {"topic": topic, "publishers": len(publishers), "published by": ", ".join(publishers)}
        return self._status(key, level, message, values, topic)

    def _clock(self, silence: str) -> DiagnosticStatus:
        time = self._time
        source = "simulated (/clock)" if time.simulated else "system"
        values = {"time": source, "jumps": time.jumps, "last jump": time.last_jump or "none"}
        return self._status("clock", ERROR if silence else OK, silence or f"{source} time runs", values)

    def _tf(self) -> DiagnosticStatus:
        tf, tallies = self._transforms, self._health.transforms.values()
        publishers = {topic: self._others(name) for topic, name in tf.topics.items()}
        failing = next((tally.now for tally in tallies if tally.now), None)
        level, message = OK, "no failure"
        if not any(publishers.values()):
            level, message = ERROR, f"nobody publishes {' or '.join(tf.topics.values())}: start the robot's driver"
        elif failing:
            level, message = WARN, failing.message
        elif tf.behind:
            level, message = WARN, tf.explain_lag()
        elif refusal := tf.refusal():
            level, message = WARN, refusal
        last = next((tally.last.message for tally in tallies if tally.last), "none")
        values = {
            "failures": sum(tally.count for tally in tallies),
            "last failure": last,
            "buffer": tf.name,
            **{f"publishers of {topic}": count for topic, count in publishers.items()},
            "messages": tf.messages,
            "malformed messages": tf.malformed,
            "waited s": f"{tf.lag_s:.4f}",
            "refused, stamped ahead": tf.gate.refused,
            "last refusal": tf.gate.last_refusal or "none",
        }
        return self._status("transforms", level, message, values)

    def _others(self, topic: str) -> int:
        """The publishers of a topic but for this node's own: the frames of objects are on /tf too."""
        own = self._node.get_name(), self._node.get_namespace()
        ends = self._node.get_publishers_info_by_topic(topic)
        return sum((end.node_name, end.node_namespace) != own for end in ends)

    def _captures(self, views: int) -> DiagnosticStatus:
        tally = self._health.failures["capture"]
        message = f"{tally.now.code.name}: {tally.now.message}" if tally.now else "no failure"
        return self._status("captures", WARN if tally.now else OK, message, {"views": views, **tally.values()})

    def _work(self, views: int, busy: bool) -> DiagnosticStatus:
        health = self._health
        error, cold = health.last_error, health.failures["warm-up"].now
        level, message = OK, "working" if busy else "ready"
        if cold:
            level, message = ERROR, f"the warm-up failed: {cold.code.name}: {cold.message}"
        elif error:
            level, message = ERROR if error.code is ErrorCode.INTERNAL else WARN, f"{error.code.name}: {error.message}"
        counts = {"views": views, "reconstructions": health.reconstructions, **health.failures["reconstruct"].values()}
        counts["completed by"] = health.completed_by or "none"
        times = {f"seconds {stage}": f"{seconds:.3f}" for stage, seconds in health.last_seconds.items()}
        return self._status("reconstruction", level, message, {**counts, **times})
