"""What a stored training example is: its arrays, their unit of depth and which of its views may be inputs."""

from __future__ import annotations

ARRAYS = (
    "rgb",
    "alpha",
    "depth_front",
    "depth_back",
    "K",
    "T_world_camera",
    "points",
    "normals",
    "support_height",
    "ring",
)
"""The arrays of an example, as `render` makes them and a shard stores them; docs/data.md has shapes and types."""
DEPTH_UNIT = 5e-5
"""Metres per count of a stored depth (uint16): 0.05 mm, 3.27 m at most."""
INPUT_VIEWS = 8
"""The first views of an example are taken as an arm's camera would take them and may be inputs of the network; the
others only supervise it."""
SURFACE_POINTS = 4096
"""Points of the true surface in an example."""
