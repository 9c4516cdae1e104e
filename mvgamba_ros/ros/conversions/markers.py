"""What RViz shows of an object beside its mesh: the box, and the quality in words."""

from __future__ import annotations

from visualization_msgs.msg import Marker, MarkerArray

from mvgamba_ros.msg import ReconstructedObject

GOOD, LOW = (0.2, 0.8, 0.3), (0.9, 0.3, 0.2)
"""Colours of the box."""
BOX_ALPHA = 0.25
TEXT_M = 0.02
"""Height of the text, and its distance above the box."""


def object_markers(found: ReconstructedObject) -> MarkerArray:
    """The box, green where the quality is good and red where it is low, and above it the id and the quality."""
    box = Marker(header=found.header, ns=found.id, id=0, type=Marker.CUBE, action=Marker.ADD, frame_locked=True)
    box.pose, box.scale = found.box_pose, found.box_size
    box.color.r, box.color.g, box.color.b = LOW if found.quality.low else GOOD
    box.color.a = BOX_ALPHA
    text = Marker(header=found.header, ns=found.id, id=1, type=Marker.TEXT_VIEW_FACING, frame_locked=True)
    text.action, text.text, text.scale.z = Marker.ADD, quality_text(found), TEXT_M
    text.pose.position.x, text.pose.position.y = found.box_pose.position.x, found.box_pose.position.y
    text.pose.position.z = found.box_pose.position.z + found.box_size.z / 2.0 + 2.0 * TEXT_M
    text.pose.orientation.w = 1.0
    text.color.r = text.color.g = text.color.b = text.color.a = 1.0
    return MarkerArray(markers=[box, text])


def quality_text(found: ReconstructedObject) -> str:
    """A few lines: id, size, quality and its reasons, and how much of it a generator made up."""
    sides = " x ".join(f"{1e3 * side:.0f}" for side in (found.box_size.x, found.box_size.y, found.box_size.z))
    word = "low quality" if found.quality.low else f"expected error {found.quality.expected_error_mm:.1f} mm"
    made = found.completion
    guessed = [f"{made.guessed_share:.0%} made up by {made.generator}"] if made.generator else []
    return "\n".join([f"{found.id}, {sides} mm", word, *guessed, *found.quality.reasons])


def no_markers(frame: str) -> Marker:
    """Removes whatever was shown on its topic."""
    gone = Marker(action=Marker.DELETEALL)
    gone.header.frame_id = frame
    return gone
