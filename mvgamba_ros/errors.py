"""Errors a user can act on: one code, one message that names the value and the remedy.

The numbers are the wire format: `srv/Reconstruct.srv` and `action/ReconstructObject.action` declare the same
constants, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvgamba_ros.types import Box

LONGEST = 300


class ErrorCode(IntEnum):
    """Why a capture or a reconstruction failed. Grouped by who can mend it.

    Args:
        value: The number that services and actions return as ``error_code``.

    Raises:
        ValueError: For a number that no code has.

    Example:
        >>> from mvgamba_ros import ErrorCode
        >>> ErrorCode(32).name
        'BAD_ROI'
    """

    SUCCESS = 0
    # the inputs of one view
    NO_IMAGE = 10
    NO_CAMERA_INFO = 11
    BAD_CAMERA_INFO = 12
    BAD_ENCODING = 13
    BAD_IMAGE = 14
    STALE_IMAGE = 15
    BLURRED_IMAGE = 16
    CAMERA_MOVING = 17
    TRANSFORM_UNAVAILABLE = 18
    BAD_POSE = 19
    BAD_DEPTH = 20
    BAD_MASK = 21
    DUPLICATE_VIEW = 22
    # the set of views and the request
    TOO_FEW_VIEWS = 30
    TOO_MANY_VIEWS = 31
    BAD_ROI = 32
    ROI_NOT_VISIBLE = 33
    BAD_OPTION = 34
    BAD_PARAMETER = 35
    # what the work found
    EMPTY_SILHOUETTE = 40
    SILHOUETTES_DISAGREE = 41
    EMPTY_SURFACE = 42
    AMBIGUOUS = 43
    # files and packages
    BAD_CAPTURE = 50
    CANNOT_WRITE = 51
    MISSING_PACKAGE = 52
    BAD_CHECKPOINT = 53
    # the node
    BUSY = 60
    CANCELLED = 61
    SHUTTING_DOWN = 62
    NOTHING_TO_SAVE = 63
    NO_ESTIMATE = 64
    INTERNAL = 99


class ReconstructionError(Exception):
    """A failure with a code for programs and a message for people.

    Args:
        code: Which failure it is; the attribute ``code``.
        message: The offending value and what to do about it, e.g.
            ``"region of interest size (0.2, 0.0, 0.1) m: each side must be positive"``; the attribute ``message``.
        boxes: Of AMBIGUOUS: around each thing that could be meant, world, metres, the likeliest first; the attribute
            ``boxes``.

    Example:
        >>> from mvgamba_ros import ErrorCode, Options, ReconstructionError
        >>> try:
        ...     Options(max_faces=2)
        ... except ReconstructionError as error:
        ...     assert error.code is ErrorCode.BAD_OPTION
        ...     print(error.message)
        max_faces 2 must be a whole number, 16 to 1000000
    """

    def __init__(self, code: ErrorCode, message: str, boxes: Sequence[Box] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.boxes = tuple(boxes)

    def __reduce__(self) -> tuple[type, tuple[ErrorCode, str, tuple[Box, ...]]]:
        return type(self), (self.code, self.message, self.boxes)  # so that it comes home from another process

    @property
    def message(self) -> str:
        return str(self.args[0])


@contextmanager
def boundary(code: ErrorCode, file: object, remedy: str) -> Iterator[None]:
    """Around all that a reader does with ``file``: what that raises becomes ``code`` with the file, the cause in one
    line and the ``remedy``. A `ReconstructionError` and MemoryError pass as they are."""
    try:
        yield
    except (ReconstructionError, MemoryError):
        raise
    except Exception as error:
        raise ReconstructionError(code, f"{file}: {cause(error)}: {remedy}") from error


def cause(error: BaseException) -> str:
    """What an exception of a library tells, as `short`."""
    text = short(getattr(error, "strerror", None) or error)
    return f"it lacks {text}" if isinstance(error, KeyError) else text or type(error).__name__


def short(value: object) -> str:
    """``value`` as text in one line of at most `LONGEST` characters, for a message: what it shows may come from
    anywhere."""
    text = str(value)[: LONGEST + 1]
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text[:LONGEST] + " ..." if len(text) > LONGEST else " ".join(text.split())


def shown(value: object) -> str:
    """``repr(value)``, as `short`."""
    try:
        return short(repr(value))
    except ValueError:  # a whole number of more digits than Python writes
        return f"a {type(value).__name__}"


def stop_if(cancelled: Callable[[], bool] | None) -> None:
    """Raises CANCELLED once ``cancelled()`` is True; called between pieces of work. None cancels nothing."""
    if cancelled is not None and cancelled():
        raise ReconstructionError(ErrorCode.CANCELLED, "cancelled; the captured views are kept")
