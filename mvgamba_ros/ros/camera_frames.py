"""Whether an image and the messages beside it come from one camera, by their frames."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError

FRAME_ERRORS = {
    "camera_info": ErrorCode.BAD_CAMERA_INFO,
    "depth": ErrorCode.BAD_DEPTH,
    "mask": ErrorCode.BAD_MASK,
}
"""What belongs to an image, and the code of an error where it is another camera's."""


def other_frames(
    image: Any, belonging: Mapping[str, Any], topic: Callable[[str], str], same: Collection[str] = ()
) -> dict[str, ReconstructionError]:
    """For each message of ``belonging`` (None where there is none) whose frame_id is neither the image's nor among
    ``same``, the error to raise: its data belong to another camera. An empty frame_id says nothing and passes.
    ``topic`` names the topic or field of an input in messages."""
    frame = image.header.frame_id.lstrip("/")
    remedies = {
        "camera_info": "remap camera_info to the one that this image's driver publishes beside it",
        "depth": "publish depth registered to the image (in its frame)",
        "mask": "make the mask from this image and copy its header",
    }
    errors = {}
    for name, message in belonging.items():
        other = "" if message is None else message.header.frame_id.lstrip("/")
        if frame and other and other != frame and other not in same:
            errors[name] = ReconstructionError(
                FRAME_ERRORS[name],
                f"{topic('image')} is in frame '{frame}' but {topic(name)} in '{other}', another camera's: "
                + remedies[name],
            )
    return errors
