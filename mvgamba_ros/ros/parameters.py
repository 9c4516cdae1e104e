"""The node's parameters: every option of a reconstruction, and those of the node alone. Each is declared once, as a row
of a dataclass (`mvgamba_ros.config.rows`); the declarations, config/reconstruct.yaml and the README's table follow.

``python -m mvgamba_ros.ros.parameters yaml`` and ``... markdown`` print the file and the table; a test compares them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.config.rows import Row, Value, check_choices, option, rows, settings_rows
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.options import Options
from mvgamba_ros.ros.transforms import MOST_NAME
from mvgamba_ros.surface.convex_parts import missing_package


@dataclass(frozen=True)
class Parameters:
    """The values. A parameter that is not read-only can be set at any time and holds from the next capture or request
    on. Raises BAD_OPTION or BAD_PARAMETER where a value is not allowed, or values do not fit each other."""

    # frames and inputs
    target_frame: str = option("base_link", "Frame of the captured views and of the result", read_only=True)
    camera_frame: str = option("", "Optical frame of the images; empty: the frame_id of their header", read_only=True)
    image_transport: str = option(
        "raw", "Subscribe to `image` or to `image/compressed`", choices=("raw", "compressed"), read_only=True
    )
    image_is_rectified: bool = option(False, "Images come from image_proc: use P, undistort nothing", read_only=True)
    use_depth: bool = option(False, "Subscribe to `depth` and keep it with each view", read_only=True)
    use_mask: bool = option(False, "Subscribe to `mask` and use it instead of segmentation", read_only=True)
    sync_tolerance_s: float = option(
        0.01, "Stamps of image, depth and mask may differ by this much", low=0, high=1, unit="s"
    )
    max_image_age_s: float = option(1.0, "An image older than this is stale", low=0.01, high=60, unit="s")
    silent_after_s: float = option(
        2.0, "An input without a message for this long is reported silent", low=0.1, high=60, unit="s"
    )
    # transforms
    tf_timeout_s: float = option(
        0.5, "How long a capture waits for the transform at its image's stamp", low=0, high=10, unit="s"
    )
    tf_cache_s: float = option(10.0, "Length of the history of transforms", low=1, high=600, unit="s", read_only=True)
    # what is a good view
    min_sharpness: float = option(
        5.0, "Least variance of the Laplacian of the grey image, 0 accepts all", low=0, high=10_000
    )
    motion_window_s: float = option(
        0.1, "The camera must have been still for this long before the image", low=0.01, high=2, unit="s"
    )
    max_camera_speed_m_s: float = option(0.02, "A camera that moves faster is not still", low=0, high=10, unit="m/s")
    max_camera_turn_rate_rad_s: float = option(
        0.1, "A camera that turns faster is not still", low=0, high=10, unit="rad/s"
    )
    min_view_distance_m: float = option(
        0.01,
        "A view closer than this to one that is held is refused; a reconstruction's own limit is views.min_distance",
        low=0,
        high=1,
        unit="m",
    )
    suggest_radius_m: list[float] = option(
        [],
        "Least and greatest distance of a suggested camera from the object; empty: that of the held views, or farther "
        "where the object would not fit the picture",
        unit="m",
    )
    suggest_elevation_deg: list[float] = option(
        [15.0, 75.0], "Least and greatest elevation of a suggested camera above the object", unit="degrees"
    )
    auto_capture: bool = option(
        False, "Keep a view by itself wherever the camera stands still at a new place, as `~/capture_view` does"
    )
    auto_capture_coverage: float = option(
        1.0,
        "`auto_capture` is done once the views cover this share of the directions (see CaptureView), or at max_views",
        low=0,
        high=1,
    )
    preliminary: bool = option(
        False,
        "Reconstruct the views so far after each new one, from min_views on, while nothing else is to do, and publish "
        "that; a request comes first",
    )
    max_views: int = option(16, "Most views kept or taken in a request", low=1, high=64)
    # what a peer may ask for at most
    max_view_megapixels: float = option(
        25.0, "A larger picture is refused, by its header, before it is decoded", low=0.01, high=1000, unit="MP"
    )
    max_request_mb: float = option(
        512.0, "Most bytes of pictures that one request may carry", low=1, high=100_000, unit="MB"
    )
    max_prompts: int = option(1000, "Most pixel boxes and points of one request", low=1, high=1_000_000)
    max_waiting: int = option(
        4,
        "Captures that may wait for an image or a transform at once; one more is refused with BUSY",
        low=1,
        high=1000,
    )
    queue_depth: int = option(
        1000,
        "Requests that DDS holds for each service until the node takes them; of more at once the oldest get no answer",
        low=10,
        high=100_000,
        read_only=True,
    )
    max_tf_frames: int = option(
        2000,
        "Most frames kept of TF; those that nothing came of for tf_cache_s make place for new ones",
        low=10,
        high=1_000_000,
        read_only=True,
    )
    # where the object is, for requests without a region or a height
    roi_m: list[float] = option(
        [], "Box around the object in target_frame: centre x, y, z, three full sides; empty: none", unit="m"
    )
    region_margin_m: float = option(
        0.01, "A region of clicked points is larger than these by so much on each side", low=1e-3, high=1, unit="m"
    )
    region_height_m: float = option(
        0.25, "Such a region reaches at least so high above the plane the object stands on", low=1e-3, high=10, unit="m"
    )
    support_height_m: float = option(
        math.nan, "z of the plane the object stands on, in target_frame; nan: not known", unit="m"
    )
    # what the answer to a request carries besides box and quality, where the request does not choose
    answer_cloud: bool = option(True, "An answer carries the cloud; `~/object` does in any case")
    answer_mesh: bool = option(
        True, "An answer carries the mesh, its colours and what is known of its vertices; `~/object` does in any case"
    )
    answer_gaussians: bool = option(False, "An answer and `~/object` carry the Gaussians; `~/splats` does in any case")
    # configuration and outputs
    config_file: str = option(
        "", "YAML file of settings, see `mvgamba config`; empty: the defaults of all settings", read_only=True
    )
    publish_collision_object: bool = option(
        True, "Add the object to MoveIt's planning scene, where moveit_msgs is installed"
    )
    publish_low: bool = option(False, "Give planners, too, a shape of low quality: collision object and frame on TF")
    collision_parts: int = option(
        0, "Convex parts of the collision object at most, by V-HACD; 1: its convex hull, 0: the mesh", low=0, high=256
    )
    object_frame: str = option(
        "{id}", "Name of the object's frame on TF, {id} stands for the object's; empty: it gets none"
    )
    max_objects: int = option(
        32, "Objects that planners are told of at most; for one more the oldest is removed", low=1, high=1000
    )
    max_grasps: int = option(
        0, "Grasps planned of each object at most, before the answer, for `~/grasps`; 0: none", low=0, high=1000
    )
    output_dir: str = option(
        "~/.ros/mvgamba_ros",
        "Where `~/save` writes: each object in a folder of its own, or the one that the request names",
        read_only=True,
    )
    save_outside: bool = option(
        False, "Let whoever calls `~/save` write outside `output_dir`, wherever the node's user may", read_only=True
    )
    load_outside: bool = option(
        False,
        "Let whoever calls `~/load_views` read captures outside `output_dir`, wherever the node's user may",
        read_only=True,
    )
    save_bag: bool = option(
        False, "`~/save` writes the views as a recording too, views.mcap (needs `pip install 'mvgamba_ros[bags]'`)"
    )
    spool_dir: str = option(
        "",
        "Folder that the captured views are kept in too, so that they outlive the node; empty: they end with it",
        read_only=True,
    )

    gripper: Gripper = field(default_factory=Gripper)
    grasps: GraspConfig = field(default_factory=GraspConfig)
    """Each setting of these two is a parameter ``gripper.NAME`` or ``grasps.NAME``."""
    options: Options = field(default_factory=Options)
    """What a request that chooses nothing is reconstructed with; each row of it is a parameter too."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_bounds(self)
        roi = list(self.roi_m)
        if len(roi) not in (0, 6):
            raise bad_parameter(f"roi_m {roi}: give six numbers (centre x, y, z and three side lengths), or none")
        if not all(math.isfinite(v) for v in roi) or any(side <= 0 for side in roi[3:]):
            raise bad_parameter(f"roi_m {roi} must be finite, and each side (the last three) positive")
        for name, low, high in (("suggest_radius_m", 1e-3, 100.0), ("suggest_elevation_deg", -90.0, 90.0)):
            between = list(getattr(self, name))
            if name == "suggest_radius_m" and not between:
                continue
            if len(between) != 2 or not low <= between[0] <= between[1] <= high:
                raise bad_parameter(f"{name} {between}: give the least and the greatest, both from {low:g} to {high:g}")
        if math.isinf(self.support_height_m):
            raise bad_parameter("support_height_m is infinite: give metres, or nan where it is not known")
        if self.options.min_views > self.max_views:
            raise bad_parameter(f"min_views {self.options.min_views} is more than max_views {self.max_views}")
        if missing := missing_package(self.collision_parts):
            raise bad_parameter(f"collision_parts {self.collision_parts}: {missing}, or set it to 0 or 1")
        if self.object_frame and "{id}" not in self.object_frame:
            raise bad_parameter(
                f"object_frame '{self.object_frame}' must hold {{id}}, as each object has a frame of its own"
            )
        if len(self.object_frame) > MOST_NAME or not self.object_frame.isprintable():
            raise bad_parameter(f"object_frame must have at most {MOST_NAME} characters, all of which can be printed")
        if self.object_frame.startswith("/"):
            raise bad_parameter(f"object_frame '{self.object_frame}': a frame's name does not begin with a slash")
        if not self.target_frame:
            raise bad_parameter("target_frame is empty: name the frame of the result, e.g. base_link")


EXAMPLES = {"roi_m": [0.5, 0.0, 0.1, 0.2, 0.2, 0.2], "suggest_radius_m": [0.3, 0.5]}
"""Of the rows whose default is an empty list."""
NODE_ROWS = rows(Parameters)
GRIPPER_ROWS = settings_rows(Gripper, "gripper.")
GRASP_ROWS = settings_rows(GraspConfig, "grasps.")
OPTION_ROWS = rows(Options)
ROWS: tuple[Row, ...] = NODE_ROWS + GRIPPER_ROWS + GRASP_ROWS + OPTION_ROWS


def parameters_from(values: Mapping[str, Any], config: ReconstructionConfig) -> Parameters:
    """The parameters of ``values``, one for each of `ROWS`. Raises BAD_PARAMETER."""
    try:
        options = Options(**{row.name: values[row.name] for row in OPTION_ROWS}, config=config)
        return Parameters(
            **{row.name: values[row.name] for row in NODE_ROWS},
            gripper=Gripper(**{row.name.partition(".")[2]: values[row.name] for row in GRIPPER_ROWS}),
            grasps=GraspConfig(**{row.name.partition(".")[2]: values[row.name] for row in GRASP_ROWS}),
            options=options,
        )
    except ReconstructionError as error:
        raise bad_parameter(error.message) from error


def bad_parameter(message: str) -> ReconstructionError:
    """BAD_PARAMETER with ``message``."""
    return ReconstructionError(ErrorCode.BAD_PARAMETER, message)


def _literal(value: Value) -> str:
    """As YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isnan(value):
        return ".nan"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _choices(row: Row, quote: str) -> str:
    """The choices of a row in words; names that installed packages add are not listed."""
    return ", ".join(f"{quote}{c}{quote}" for c in row.choices) + (" or an installed one" if row.extended_by else "")


def as_yaml(declared: Sequence[Row] = ROWS) -> str:
    """config/reconstruct.yaml."""
    lines = ["# Every parameter of the node with its default. Written by: python -m mvgamba_ros.ros.parameters yaml"]
    lines += ["/**:", "  ros__parameters:"]
    for row in declared:
        allowed = _choices(row, "") if row.choices else row.range
        when = " Read-only." if row.read_only else ""
        lines.append(f"    # {row.text}{f' ({allowed})' if allowed else ''}.{when}")
        # An empty list has no type in YAML and ROS refuses it, so a row that defaults to one is shown commented out.
        shown = f"{row.name}: {_literal(row.default)}"
        lines.append(f"    # {row.name}: {EXAMPLES[row.name]}" if row.default == [] else f"    {shown}")
    return "\n".join(lines) + "\n"


def as_markdown(declared: Sequence[Row] = ROWS) -> str:
    """The README's table."""
    lines = ["| parameter | default | range | meaning |", "|---|---|---|---|"]
    for row in declared:
        allowed = _choices(row, "`") if row.choices else row.range
        when = " *(read-only)*" if row.read_only else ""
        lines.append(f"| `{row.name}` | `{_literal(row.default)}` | {allowed} | {row.text}{when} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_yaml() if sys.argv[1:] == ["yaml"] else as_markdown())
