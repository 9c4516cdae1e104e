"""A reconstructed object for a person at a terminal: a table, a line, or JSON; whether to trust it comes first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from mvgamba_ros.msg import ReconstructedObject, StageTime
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of
from mvgamba_ros.srv import CaptureView


def rows(found: ReconstructedObject, stages: Iterable[StageTime] = ()) -> list[tuple[str, str]]:
    """Names and values; mesh and cloud where the message has them."""
    quality = found.quality
    seconds = ", ".join(f"{stage.name} {stage.seconds:.2f}" for stage in stages)
    made = [
        ("quality", _trust(found)),
        (
            "expected error",
            f"{_millimetres(quality.expected_error_mm)} mean, {quality.coverage:.0%} of the surface seen",
        ),
        ("silhouettes", f"{quality.silhouette_iou:.3f} IoU, colour error {quality.color_error:.3f}"),
        ("object", f"{found.id} by {found.method} from {found.view_count} views"),
        ("box", _box(found)),
    ]
    if found.completion.generator:
        made.append(("completion", _completion(found)))
    if found.mesh.triangles:
        made.append(("mesh", f"{len(found.mesh.triangles)} faces"))
    if found.cloud.width:
        made.append(("cloud", f"{found.cloud.width * found.cloud.height} points"))
    return [*made, ("in the node", f"{seconds} s")] if seconds else made


def table(named: Sequence[tuple[str, str]]) -> list[str]:
    """One line for each row, the values below each other."""
    width = max(len(name) for name, _ in named)
    return [f"{name:<{width}}  {value}" for name, value in named]


def line(found: ReconstructedObject) -> str:
    """All that fits a line."""
    error = _millimetres(found.quality.expected_error_mm)
    completion = f", {_made_up(found)}" if found.completion.generator else ""
    return f"{_trust(found)}; '{found.id}' {_box(found)}, expected error {error}, {found.view_count} views{completion}"


def values(found: ReconstructedObject, stages: Iterable[StageTime] = ()) -> dict[str, Any]:
    """For JSON; metres, quaternions xyzw, null for what was not measured."""
    pose, size = found.box_pose, found.box_size
    p, q = pose.position, pose.orientation
    names = [name for name in found.quality.get_fields_and_field_types() if name != "reasons"]
    quality = {name: _plain(getattr(found.quality, name)) for name in names}
    made = found.completion
    completion = {name: _plain(getattr(made, name)) for name in made.get_fields_and_field_types()}
    return {
        "low": found.quality.low,
        "reasons": list(found.quality.reasons),
        "id": found.id,
        "frame": found.header.frame_id,
        "stamp": stamp_of(found) / NANOSECONDS,
        "method": found.method,
        "views": found.view_count,
        "box": {"center": [p.x, p.y, p.z], "orientation": [q.x, q.y, q.z, q.w], "size": [size.x, size.y, size.z]},
        "quality": quality,
        "completion": {**completion, "scale_from": list(made.scale_from)} if made.generator else None,
        "seconds": {stage.name: stage.seconds for stage in stages},
    }


def view_line(answer: CaptureView.Response) -> str:
    """About a view that was captured."""
    p = answer.pose.pose.position
    return (
        f"camera at ({p.x:.3f}, {p.y:.3f}, {p.z:.3f}) m; {answer.view_count} views cover "
        f"{100 * answer.coverage:.0f} % of the directions from above"
    )


def _trust(found: ReconstructedObject) -> str:
    quality = found.quality
    return "LOW: " + "; ".join(quality.reasons) if quality.low else "good"


def _completion(found: ReconstructedObject) -> str:
    made = found.completion
    return (
        f"{_made_up(found)} (seed {made.seed}); its size, from {' and '.join(made.scale_from)}, known to "
        f"{made.scale_sigma:.1%}, its place to {_millimetres(made.position_sigma_mm)}"
    )


def _made_up(found: ReconstructedObject) -> str:
    return f"{found.completion.guessed_share:.0%} of the surface made up by {found.completion.generator}"


def _box(found: ReconstructedObject) -> str:
    size, at = found.box_size, found.box_pose.position
    sides = " x ".join(f"{1e3 * side:.0f}" for side in (size.x, size.y, size.z))
    center = ", ".join(f"{1e3 * x:.0f}" for x in (at.x, at.y, at.z))
    return f"{sides} mm at ({center}) mm in {found.header.frame_id}"


def _millimetres(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.1f} mm"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
