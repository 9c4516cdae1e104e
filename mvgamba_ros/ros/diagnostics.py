"""The contents of /diagnostics: each input, the transforms, the views, the last reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.inputs import Inputs


@dataclass
class Health:
    """Counts and the last failures, kept for the diagnostics."""

    transform_failures: int = 0
    last_transform_failure: str = ""
    last_error: ReconstructionError | None = None
    last_seconds: Mapping[str, float] = field(default_factory=dict)
    reconstructions: int = 0

    def note(self, error: ReconstructionError) -> None:
        """Counts a failed capture or reconstruction."""
        if error.code in (ErrorCode.TRANSFORM_UNAVAILABLE, ErrorCode.BAD_POSE):
            self.transform_failures += 1
            self.last_transform_failure = error.message


class Diagnostics:
    """Publishes /diagnostics once a second, the rate that diagnostic aggregators expect."""

    def __init__(self, node: Node, inputs: Inputs, health: Health) -> None:
        self._node, self._inputs, self._health = node, inputs, health
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def publish(self, silent_after_s: float, views: int, busy: bool) -> None:
        name = self._node.get_fully_qualified_name().lstrip("/")
        status = [self._input(f"{name}: {key}", key, silent_after_s) for key in self._inputs.by_name]
        status += [self._transforms(f"{name}: transforms"), self._work(f"{name}: reconstruction", views, busy)]
        array = DiagnosticArray(status=status)
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _input(self, name: str, key: str, silent_after_s: float) -> DiagnosticStatus:
        silence = self._inputs.explain_silence(key, silent_after_s)
        topic = self._inputs[key].topic
        publishers = self._node.count_publishers(topic)
        return DiagnosticStatus(
            name=name,
            level=DiagnosticStatus.ERROR if silence else DiagnosticStatus.OK,
            message=silence or "arriving",
            hardware_id=topic,
            values=_values({"topic": topic, "publishers": publishers}),
        )

    def _transforms(self, name: str) -> DiagnosticStatus:
        health = self._health
        failed = bool(health.last_transform_failure)
        return DiagnosticStatus(
            name=name,
            level=DiagnosticStatus.WARN if failed else DiagnosticStatus.OK,
            message=health.last_transform_failure or "no failure",
            values=_values({"failures": health.transform_failures}),
        )

    def _work(self, name: str, views: int, busy: bool) -> DiagnosticStatus:
        health = self._health
        error = health.last_error
        values = {"views": views, "reconstructions": health.reconstructions}
        times = {f"seconds {stage}": f"{seconds:.3f}" for stage, seconds in health.last_seconds.items()}
        return DiagnosticStatus(
            name=name,
            level=DiagnosticStatus.WARN if error else DiagnosticStatus.OK,
            message=f"{error.code.name}: {error.message}" if error else "working" if busy else "ready",
            values=_values({**values, **times}),
        )


def _values(values: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=str(value)) for key, value in values.items()]
