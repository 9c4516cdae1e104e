"""The node's parameters: one table of type, default, range, description. Declared, in config/, in the README: the same.

``python -m mvgamba_ros.ros.parameters yaml`` and ``... markdown`` print the file and the table; a test compares them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.options import DEFAULT_METHOD, DEVICES, METHODS

if TYPE_CHECKING:
    from rclpy.node import Node

Value = bool | int | float | str | list[float]


@dataclass(frozen=True)
class Parameter:
    """One parameter. ``low`` and ``high`` bound a number, both included; ``choices`` lists the texts allowed.

    ``read_only``: taken at the start of the node only. A parameter that is not can be set at any time and holds from
    the next capture or request on.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False


TABLE: tuple[Parameter, ...] = (
    # frames and inputs
    Parameter("target_frame", "base_link", "Frame of the captured views and of the answer", read_only=True),
    Parameter("camera_frame", "", "Optical frame of the images; empty: the frame_id of their header", read_only=True),
    Parameter(
        "image_transport",
        "raw",
        "Subscribe to `image` or to `image/compressed`",
        choices=("raw", "compressed"),
        read_only=True,
    ),
    Parameter("image_is_rectified", False, "Images come from image_proc: use P, undistort nothing", read_only=True),
    Parameter("use_depth", False, "Subscribe to `depth` and keep it with each view", read_only=True),
    Parameter("use_mask", False, "Subscribe to `mask` and use it instead of segmentation", read_only=True),
    Parameter("sync_tolerance_s", 0.01, "Stamps of image, depth and mask may differ by this much", 0.0, 1.0),
    Parameter("max_image_age_s", 1.0, "An image older than this is stale", 0.01, 60.0),
    Parameter("silent_after_s", 2.0, "An input that brought nothing for this long is reported silent", 0.1, 60.0),
    # transforms
    Parameter("tf_timeout_s", 0.5, "How long a capture waits for the transform at its image's stamp", 0.0, 10.0),
    Parameter("tf_cache_s", 10.0, "Seconds of transforms kept", 1.0, 600.0, read_only=True),
    # what is a good view
    Parameter("min_sharpness", 5.0, "Least variance of the Laplacian of the grey image, 0 accepts all", 0.0, 10000.0),
    Parameter("motion_window_s", 0.1, "The camera must have been still for this long before the image", 0.01, 2.0),
    Parameter("max_camera_speed_m_s", 0.02, "Faster is not still", 0.0, 10.0),
    Parameter("max_camera_turn_rate_rad_s", 0.1, "Turning faster is not still", 0.0, 10.0),
    Parameter("min_view_distance_m", 0.01, "Views closer together than this are the same view", 0.0, 1.0),
    Parameter("min_views", 3, "Fewest views a reconstruction is made from", 2, 64),
    Parameter("max_views", 16, "Most views kept or taken in a request", 2, 64),
    # where the object is, for requests that do not say
    Parameter("roi_m", [], "Box around the object in target_frame: centre x, y, z, three full sides; empty: none"),
    Parameter("support_height_m", math.nan, "z of the plane the object stands on, in target_frame; nan: not known"),
    # how it is reconstructed
    Parameter("method", DEFAULT_METHOD, "Reconstructor, where the request names none", choices=METHODS),
    Parameter("checkpoint", "", "Weights for method mvgamba; empty: the ones that ship"),
    Parameter("device", "auto", "Where the network runs; auto: the GPU if mamba-ssm is there too", choices=DEVICES),
    Parameter("segmenter", "classical", "Finds the object in the images", choices=("classical", "sam")),
    Parameter("sam_checkpoint", "", "Path of a segment-anything checkpoint (ViT-B, L or H), for segmenter sam"),
    Parameter("max_faces", 5000, "Faces of the answered mesh at most", 100, 1000000),
    Parameter("cloud_points", 20000, "Points of the answered cloud", 100, 1000000),
    # outputs
    Parameter("publish_collision_object", True, "Publish `collision_object` where moveit_msgs is installed"),
    Parameter("output_dir", "~/.ros/mvgamba_ros", "Where `~/save` writes when the request names no folder"),
)


@dataclass(frozen=True)
class Parameters:
    """The values, one attribute per row of `TABLE`."""

    target_frame: str
    camera_frame: str
    image_transport: str
    image_is_rectified: bool
    use_depth: bool
    use_mask: bool
    sync_tolerance_s: float
    max_image_age_s: float
    silent_after_s: float
    tf_timeout_s: float
    tf_cache_s: float
    min_sharpness: float
    motion_window_s: float
    max_camera_speed_m_s: float
    max_camera_turn_rate_rad_s: float
    min_view_distance_m: float
    min_views: int
    max_views: int
    roi_m: list[float]
    support_height_m: float
    method: str
    checkpoint: str
    device: str
    segmenter: str
    sam_checkpoint: str
    max_faces: int
    cloud_points: int
    publish_collision_object: bool
    output_dir: str


def check(values: dict[str, Any]) -> None:
    """Raises BAD_PARAMETER where a value is not a choice, or values do not fit each other.

    Ranges and types are ROS's own check, from the descriptors.
    """
    for parameter in TABLE:
        value = values[parameter.name]
        if parameter.choices and value not in parameter.choices:
            raise _bad(f"{parameter.name} '{value}' is not one of {', '.join(parameter.choices)}")
    roi = list(values["roi_m"])
    if len(roi) not in (0, 6):
        raise _bad(f"roi_m {roi}: give six numbers (centre x, y, z and three side lengths), or none")
    if not all(math.isfinite(v) for v in roi) or any(side <= 0 for side in roi[3:]):
        raise _bad(f"roi_m {roi} must be finite, and each side (the last three) positive")
    if math.isinf(values["support_height_m"]):
        raise _bad("support_height_m is infinite: give metres, or nan where it is not known")
    if values["min_views"] > values["max_views"]:
        raise _bad(f"min_views {values['min_views']} is more than max_views {values['max_views']}")
    if not values["target_frame"]:
        raise _bad("target_frame is empty: name the frame of the answer, e.g. base_link")


def _bad(message: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_PARAMETER, message)


def declare(node: Node) -> Callable[[], Parameters]:
    """Declares every row on ``node`` and answers a function that reads the present values.

    A wrong value at the start raises BAD_PARAMETER (or rclpy's error for a range); later ones are refused by the
    node with the reason.
    """
    from rcl_interfaces.msg import SetParametersResult
    from rclpy.exceptions import ParameterUninitializedException
    from rclpy.parameter import Parameter as RosParameter

    for parameter in TABLE:
        # An empty list has no type that ROS can infer: such a row is declared by type, without a value.
        default = RosParameter.Type.DOUBLE_ARRAY if parameter.default == [] else parameter.default
        node.declare_parameter(parameter.name, default, _descriptor(parameter))

    def value(parameter: Parameter) -> Any:
        try:
            found = node.get_parameter(parameter.name).value
        except ParameterUninitializedException:
            return []
        return list(found) if isinstance(parameter.default, list) else found

    def values() -> dict[str, Any]:
        return {parameter.name: value(parameter) for parameter in TABLE}

    def on_set(changed: Sequence[Any]) -> SetParametersResult:
        try:
            check(values() | {p.name: p.value for p in changed if p.name in names})
        except ReconstructionError as error:
            return SetParametersResult(successful=False, reason=error.message)
        return SetParametersResult(successful=True)

    names = {parameter.name for parameter in TABLE}
    check(values())
    node.add_on_set_parameters_callback(on_set)
    return lambda: Parameters(**values())


def _descriptor(parameter: Parameter) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    descriptor = ParameterDescriptor(
        name=parameter.name, description=parameter.description, read_only=parameter.read_only
    )
    if parameter.choices:
        descriptor.additional_constraints = "one of: " + ", ".join(parameter.choices)
    if parameter.low is not None and parameter.high is not None:
        if isinstance(parameter.default, int):
            bounds = IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high), step=0)
            descriptor.integer_range = [bounds]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=parameter.low, to_value=parameter.high)]
    return descriptor


def _literal(value: Value) -> str:
    """As YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isnan(value):
        return ".nan"
    return f'"{value}"' if isinstance(value, str) else str(value)


def as_yaml() -> str:
    """config/reconstruct.yaml."""
    lines = ["# Every parameter of the node with its default. Written by: python -m mvgamba_ros.ros.parameters yaml"]
    lines += ["/**:", "  ros__parameters:"]
    for parameter in TABLE:
        bounds = f" [{parameter.low:g}, {parameter.high:g}]" if parameter.low is not None else ""
        choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
        when = " Read-only." if parameter.read_only else ""
        lines.append(f"    # {parameter.description}{bounds}{choices}.{when}")
        # An empty list has no type in YAML and ROS refuses it, so a row that defaults to one is shown commented out.
        shown = f"{parameter.name}: {_literal(parameter.default)}"
        lines.append(
            f"    # {parameter.name}: [0.5, 0.0, 0.1, 0.2, 0.2, 0.2]" if parameter.default == [] else f"    {shown}"
        )
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The README's table."""
    lines = ["| parameter | default | range | meaning |", "|---|---|---|---|"]
    for parameter in TABLE:
        bounds = f"{parameter.low:g} to {parameter.high:g}" if parameter.low is not None else ""
        bounds = ", ".join(f"`{choice}`" for choice in parameter.choices) or bounds
        when = "" if not parameter.read_only else " *(read-only)*"
        default = _literal(parameter.default)
        lines.append(f"| `{parameter.name}` | `{default}` | {bounds} | {parameter.description}{when} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_yaml() if sys.argv[1:] == ["yaml"] else as_markdown())
