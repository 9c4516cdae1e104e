"""The result of a request, for whichever service or action it came by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.msg import ObjectFailure, ReconstructedObject, StageTime


@dataclass
class Outcome:
    """The result of a request: an error, or what was made."""

    error: ReconstructionError | None = None
    message: ReconstructedObject = field(default_factory=ReconstructedObject)
    messages: list[ReconstructedObject] = field(default_factory=list)
    """Of several objects."""
    failures: list[ObjectFailure] = field(default_factory=list)
    stages: list[StageTime] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    value: Any = None
    """What other work made."""

    def fill(self, response: Any) -> Any:
        """Sets the fields that the responses share."""
        response.error_code = int(self.error.code if self.error else ErrorCode.SUCCESS)
        response.error_msg = self.error.message if self.error else ""
        return response

    def fill_object(self, response: Any) -> Any:
        response.object, response.stages = self.message, self.stages
        return self.fill(response)

    def fill_scene(self, response: Any) -> Any:
        response.objects, response.failures, response.stages = self.messages, self.failures, self.stages
        return self.fill(response)
