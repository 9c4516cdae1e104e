"""Detections of another program (vision_msgs, of any version) to the prompts of srv/ReconstructScene.

Reads the fields of a message without importing vision_msgs, which the ROS wheels lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.msg import ObjectPrompts, PixelBox


def prompts_of_boxes(detections: Any, frame: str) -> list[ObjectPrompts]:
    """One entry for each detection of a Detection3DArray.

    Args:
        detections: Its boxes are the regions of interest; its ``id``, where there is one, is the ``object_id``.
        frame: The target frame of the request, which the detections must be in.

    Raises:
        ReconstructionError: BAD_ROI for detections in another frame.
    """
    given = detections.header.frame_id.lstrip("/")
    if given != frame.lstrip("/"):
        raise ReconstructionError(
            ErrorCode.BAD_ROI, f"the detections are in '{given}', the request is in '{frame}': transform them first"
        )
    return [
        ObjectPrompts(
            object_id=detection.id, use_roi=True, roi_pose=detection.bbox.center, roi_size=detection.bbox.size
        )
        for detection in detections.detections
    ]


def prompts_of_pixels(by_view: Mapping[int, Any]) -> list[ObjectPrompts]:
    """One entry for each object of Detection2DArray messages.

    Args:
        by_view: Of a view, by its number, what was detected in its picture. Detections of one ``id`` are one object's,
            whichever views they are in; each without an ``id`` is an object of its own.
    """
    found: dict[str, ObjectPrompts] = {}
    for view, detections in by_view.items():
        for index, detection in enumerate(detections.detections):
            key = detection.id or f"\n{view} {index}"
            prompts = found.setdefault(key, ObjectPrompts(object_id=detection.id))
            prompts.pixel_boxes = [*prompts.pixel_boxes, _pixel_box(detection.bbox, view)]
    return list(found.values())


def _pixel_box(box: Any, view: int) -> PixelBox:
    centre = getattr(box.center, "position", box.center)  # vision_msgs 3, of ROS 2 Foxy to Galactic, has x and y there
    half_x, half_y = box.size_x / 2.0, box.size_y / 2.0
    return PixelBox(
        view=view,
        x_min=centre.x - half_x,
        y_min=centre.y - half_y,
        x_max=centre.x + half_x,
        y_max=centre.y + half_y,
    )
