"""What RViz shows of an object beside its mesh: the box, and the quality in words; and where objects were sought."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.types import Box

GOOD, LOW = (0.2, 0.8, 0.3), (0.9, 0.3, 0.2)
"""Colours of the box."""
BOX_ALPHA = 0.25
TEXT_M = 0.02
"""Height of the text, and its distance above the box."""
LINE_M = 0.002
"""Thickness of a region's edges."""


def object_markers(found: ReconstructedObject) -> MarkerArray:
    """The box, green where the quality is good and red where it is low, and above it the id and the quality."""
    box = Marker(header=found.header, ns=found.id, id=0, type=Marker.CUBE, action=Marker.ADD, frame_locked=True)
    box.pose, box.scale = found.box_pose, found.box_size
    box.color.r, box.color.g, box.color.b = LOW if found.quality.low else GOOD
    box.color.a = BOX_ALPHA
    x, y, z = (getattr(found.box_pose.position, axis) for axis in "xyz")
    text = _text(found.header, found.id, 1, quality_text(found), (x, y, z + found.box_size.z / 2.0))
    return MarkerArray(markers=[box, text])


def region_markers(regions: Iterable[tuple[str, Box, bool]], header: Header) -> MarkerArray:
    """In place of what was shown on their topic: of each box, in ``header``'s frame, the edges, green where it is good
    and else red, and above it its text."""
    markers = [no_markers(header.frame_id)]
    for number, (text, box, good) in enumerate(regions):
        edges = Marker(header=header, ns="regions", id=2 * number, type=Marker.LINE_LIST, frame_locked=True)
        edges.action, edges.pose, edges.scale.x = Marker.ADD, matrix_to_pose(box.T_world_box), LINE_M
        corners = transform(inverse(box.T_world_box), box_corners(box))
        ends = [(a, b) for a in range(8) for b in range(a) if (a ^ b).bit_count() == 1]
        edges.points = [Point(x=x, y=y, z=z) for x, y, z in corners[np.array(ends).ravel()].tolist()]
        edges.color.r, edges.color.g, edges.color.b = GOOD if good else LOW
        edges.color.a = 1.0
        markers += [edges, _text(header, "regions", 2 * number + 1, text, _top(box))]
    return MarkerArray(markers=markers)


def quality_text(found: ReconstructedObject) -> str:
    """A few lines: id, size, quality and its reasons, and how much of it a generator made up."""
    sides = " x ".join(f"{1e3 * side:.0f}" for side in (found.box_size.x, found.box_size.y, found.box_size.z))
    word = "low quality" if found.quality.low else f"expected error {found.quality.expected_error_mm:.1f} mm"
    made = found.completion
    guessed = [f"{made.guessed_share:.0%} made up by {made.generator}"] if made.generator else []
    return "\n".join([f"{found.id}, {sides} mm", word, *guessed, *found.quality.reasons])


def _text(header: Header, name: str, number: int, text: str, top: tuple[float, float, float]) -> Marker:
    """White, above ``top``."""
    marker = Marker(header=header, ns=name, id=number, type=Marker.TEXT_VIEW_FACING, frame_locked=True)
    marker.action, marker.text, marker.scale.z = Marker.ADD, text, TEXT_M
    position = marker.pose.position
    position.x, position.y, position.z = top[0], top[1], top[2] + 2.0 * TEXT_M
    marker.pose.orientation.w = 1.0
    marker.color.r = marker.color.g = marker.color.b = marker.color.a = 1.0
    return marker


def _top(box: Box) -> tuple[float, float, float]:
    x, y, _ = box.T_world_box[:3, 3].tolist()
    return x, y, float(box_corners(box)[:, 2].max())


def no_markers(frame: str) -> Marker:
    """Removes whatever was shown on its topic."""
    gone = Marker(action=Marker.DELETEALL)
    gone.header.frame_id = frame
    return gone
