"""Which of several things in a region is meant."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.segmentation.multiview.region_labels import Thing, apart
from mvgamba_ros.types import F64, Box, Prompts, View


def meant(
    things: Sequence[Thing], views: Sequence[View], prompts: Prompts, aim: F64, rival: float | None = None
) -> Thing:
    """The thing that the prompts name, or the one nearest to ``aim`` (3,), where the views look.

    Raises EMPTY_SILHOUETTE where nothing stands in the region, and AMBIGUOUS where no prompt names the thing and
    another one is at least ``rival`` times as likely to be meant.
    """
    if len(things) == 0:
        raise ReconstructionError(
            ErrorCode.EMPTY_SILHOUETTE,
            "nothing that stands out from its background was found in the middle of the views: give a region of "
            "interest, a pixel box or a point on the object, or change light or background",
        )
    likely = [thing.score * _closeness(thing, views, prompts, aim) for thing in things]
    best = int(np.argmax(likely))
    chosen = things[best]
    if rival is None or prompts.pixel_boxes or any(np.asarray(rows)[:, 2].any() for rows in prompts.points.values()):
        return chosen
    others = [k for k, thing in enumerate(things) if likely[k] >= rival * likely[best] and apart(thing, chosen)]
    if others:
        second = max(others, key=likely.__getitem__)
        boxes = [chosen.box, things[second].box]
        first, other = map(_described, boxes)
        raise ReconstructionError(
            ErrorCode.AMBIGUOUS,
            f"two things could be meant: {first} and {other}. Give a region of interest around one, or a pixel box or "
            "a point on it; or have all of them: `mvgamba reconstruct --all`, ~/reconstruct_scene",
            boxes,
        )
    return chosen


def _described(box: Box) -> str:
    size = " x ".join(f"{side:.3f}" for side in box.size)
    return f"one of {size} m at ({', '.join(f'{x:.3f}' for x in box.T_world_box[:3, 3])}) m"


def _closeness(thing: Thing, views: Sequence[View], prompts: Prompts, aim: F64) -> float:
    """How likely a thing is meant by its place, (0, 1]: its middle's distance from ``aim`` in halves of its own size
    and a centimetre; next to 0 where its middle is off a prompted box, or a point on the object is off its own box."""
    middle = thing.box.T_world_box[:3, 3]
    for index, view in enumerate(views):
        if index in prompts.pixel_boxes:
            pixel = project(view.camera, view.T_world_camera, middle[None])[0][0]
            x0, y0, x1, y1 = prompts.pixel_boxes[index]
            if not (x0 <= pixel[0] <= x1 and y0 <= pixel[1] <= y1):
                return 1e-6
        points = prompts.points.get(index, np.zeros((0, 3)))
        corners, depth = project(view.camera, view.T_world_camera, box_corners(thing.box))
        if (depth > 0.0).all():
            outline = cv2.convexHull(corners.astype(np.float32))
            if any(cv2.pointPolygonTest(outline, (x, y), False) < 0.0 for x, y, on in points if on):
                return 1e-6
    away = transform(inverse(thing.box.T_world_box), aim[None])[0]
    reach = thing.box.size / 2.0 + 0.01
    return float(np.exp(-0.5 * np.square(away[:2] / reach[:2]).sum()))
