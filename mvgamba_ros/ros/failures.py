"""What becomes of an exception at the node's boundary: a code and words, a line in the log, a count; nothing else.

An exception keeps the frames that it passed through, and they keep the pictures of the work that failed. So what is
returned and kept is a new error with the same words.
"""

from __future__ import annotations

import traceback
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.health import Health

MOST_CHARACTERS = 2000
"""Of a message: it repeats what a request holds, and a request's texts may be of any length."""


class Failures:
    """Logs and counts them. ``logger`` is the node's."""

    def __init__(self, logger: Any, health: Health) -> None:
        self._logger, self._health = logger, health

    def note(self, what: str, error: Exception) -> ReconstructionError:
        """The error to return: without frames, its message clipped; an unforeseen one is logged with its traceback and
        becomes INTERNAL. ``what`` failed, for the log."""
        if isinstance(error, ReconstructionError):
            noted = ReconstructionError(error.code, clipped(error.message), error.boxes)
        elif isinstance(error, MemoryError):
            noted = ReconstructionError(
                ErrorCode.INTERNAL,
                f"out of memory ({clipped(str(error)) or 'no size given'}): send fewer or smaller views, lower "
                "hull_resolution, or give this process more",
            )
        else:
            self._logger.error(clipped("".join(traceback.format_exception(error)), 10 * MOST_CHARACTERS))
            noted = ReconstructionError(
                ErrorCode.INTERNAL,
                f"{type(error).__name__}: {clipped(str(error))} (a bug: the node's log has the traceback)",
            )
        traceback.clear_frames(error.__traceback__)
        self._logger.warning(f"{what}: {noted.code.name}: {one_line(noted.message)}")
        self._health.note(what, noted)
        return noted


def clipped(text: str, most: int = MOST_CHARACTERS) -> str:
    """``text``, as UTF-8 can carry it, without its middle where it is longer than ``most`` characters."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def one_line(text: str) -> str:
    """``text`` without control characters: a request must not write lines of its own into the log."""
    return "".join(character if character.isprintable() else " " for character in text)
