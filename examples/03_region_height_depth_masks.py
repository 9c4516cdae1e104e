"""State what is known: a region of interest, the table's height, depth, masks. Each makes the shape surer or is faster.

usage: python examples/03_region_height_depth_masks.py
"""

from dataclasses import replace

import numpy as np

from mvgamba_ros import Options, Prompts, View, reconstruct
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.warm_up import CENTER, RADIUS, ball_views


def with_depth(view: View) -> View:
    """The view as an RGB-D camera takes it: depth in metres along the optical axis, 0 or NaN where not known."""
    eye, directions = rays(view.camera, view.T_world_camera)
    nearest = directions @ (CENTER - eye)  # along each ray, to where it passes the ball's centre
    ball = nearest - np.sqrt(np.maximum(RADIUS**2 + nearest**2 - np.sum((CENTER - eye) ** 2), 0.0))
    along = np.where(view.mask, ball, -eye[2] / directions[..., 2])
    return replace(view, depth=(along * (directions @ view.T_world_camera[:3, 2])).astype(np.float32))


def main() -> None:
    """Prints how far the cloud lies from the true ball, for each piece of knowledge."""
    views, region = ball_views(), scaled_box(CENTER - RADIUS, CENTER + RADIUS)
    for name, given, options in (
        ("colour only", views, Options()),
        ("a region of interest", views, Options(prompts=Prompts(roi=region))),
        ("and the table's height", views, Options(prompts=Prompts(roi=region, support_height=0.0))),
        ("depth images", [with_depth(view) for view in views], Options()),
        ("masks of another program", views, Options(segmenter="masks")),
    ):
        result = reconstruct(given, replace(options, refine=False))
        away = np.abs(np.linalg.norm(result.cloud.points - CENTER, axis=1) - RADIUS).mean()
        print(f"{name:25s} {1e3 * away:.2f} mm in {sum(result.seconds.values()):.2f} s")


main()
