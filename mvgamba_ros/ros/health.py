"""What went wrong, how often, and whether it was made good since: the counts behind the diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mvgamba_ros.errors import ErrorCode, ReconstructionError

OF_TRANSFORMS = (ErrorCode.TRANSFORM_UNAVAILABLE, ErrorCode.BAD_POSE)
OF_THE_REQUEST = (ErrorCode.BUSY, ErrorCode.DUPLICATE_VIEW, ErrorCode.TOO_MANY_VIEWS, ErrorCode.CANCELLED)
"""Refusals that say nothing of the node's state."""
KINDS = ("capture", "reconstruct", "warm-up")


@dataclass
class Tally:
    """Failures of one kind. ``now`` is the newest while no success followed; ``last`` stays."""

    count: int = 0
    now: ReconstructionError | None = None
    last: ReconstructionError | None = None

    def note(self, error: ReconstructionError) -> None:
        self.count, self.now, self.last = self.count + 1, error, error

    def values(self) -> dict[str, object]:
        return {"failures": self.count, "last failure": self.last.message if self.last else "none"}


@dataclass
class Health:
    """Counts and the last failures, kept for the diagnostics."""

    failures: Mapping[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    transforms: Mapping[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    """Those of the failures that are of transforms, by what met them."""
    last_seconds: Mapping[str, float] = field(default_factory=dict)
    reconstructions: int = 0
    completed_by: str = ""
    """The generator that made up what no view saw of the last one; empty where none was called."""

    def note(self, what: str, error: ReconstructionError) -> None:
        """Counts a failure of ``what``, of the kind that it begins with; of another kind it is not the node's state."""
        kind = next((kind for kind in KINDS if what.startswith(kind)), None)
        if kind is None or error.code in OF_THE_REQUEST:
            return
        self.failures[kind].note(error)
        if error.code in OF_TRANSFORMS:
            self.transforms[kind].note(error)

    def succeeded(self, kind: str) -> None:
        """Notes that what failed works again. A reconstruction shows what a warm-up would."""
        for mended in (kind, "warm-up") if kind == "reconstruct" else (kind,):
            self.failures[mended].now = self.transforms[mended].now = None

    @property
    def last_error(self) -> ReconstructionError | None:
        """Of the reconstruction, where none succeeded since."""
        return self.failures["reconstruct"].now
