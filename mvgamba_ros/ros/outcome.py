"""What a piece of work answers, whichever service or action asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.msg import ReconstructedObject, StageTime


@dataclass
class Outcome:
    """What a piece of work answers: an error, or what it made."""

    error: ReconstructionError | None = None
    answer: ReconstructedObject = field(default_factory=ReconstructedObject)
    stages: list[StageTime] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def fill(self, response: Any) -> Any:
        """Sets the fields that the responses share."""
        response.error_code = int(self.error.code if self.error else ErrorCode.SUCCESS)
        response.error_msg = self.error.message if self.error else ""
        return response

    def fill_object(self, response: Any) -> Any:
        response.object, response.stages = self.answer, self.stages
        return self.fill(response)
