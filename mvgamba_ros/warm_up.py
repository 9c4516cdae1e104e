"""A process's first reconstruction, made before anyone waits for one: it loads weights and libraries, and finds memory.

What it reconstructs is made up: a ball on a table with a pattern.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mvgamba_ros.factories import load_segmenter
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import Camera, Cancelled, Prompts, View

RADIUS = 0.05
"""Of the ball, metres."""
CENTER = np.array([0.0, 0.0, RADIUS])
VIEWS, DISTANCE, ELEVATION = 4, 0.4, np.deg2rad(40.0)
CAMERA = Camera(K=np.array([[300.0, 0.0, 160.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]]), width=320, height=240)


def warm_up(options: Options, cancelled: Cancelled | None = None) -> None:
    """Reconstructs the ball with ``options``, so that the next reconstruction takes no longer than a later one.

    Any segmenter but the classical one is loaded and not run: Segment Anything's first image takes as long as its
    second, and what an installed package brings need not find the ball. Raises what `reconstruct` raises:
    BAD_CHECKPOINT and MISSING_PACKAGE of weights and packages that are not there.
    """
    segmented = options.segmenter == "classical"
    if not segmented:
        load_segmenter(options)
    roi = scaled_box(CENTER - RADIUS, CENTER + RADIUS)
    chosen = replace(options, prompts=Prompts(roi=roi), use_masks=not segmented, refine=True, min_views=1)
    reconstruct(ball_views(), chosen, cancelled=cancelled)


def ball_views() -> list[View]:
    """The ball from all sides, in world coordinates of the table: z up, the table at z = 0. With its silhouettes."""
    views = []
    for azimuth in 2.0 * np.pi * np.arange(VIEWS) / VIEWS:
        out = np.array([np.cos(azimuth) * np.cos(ELEVATION), np.sin(azimuth) * np.cos(ELEVATION), np.sin(ELEVATION)])
        T = look_at(CENTER + DISTANCE * out, CENTER)
        eye, directions = rays(CAMERA, T)  # unit directions
        x, y, _ = np.moveaxis(eye + directions * (-eye[2] / np.minimum(directions[..., 2:], -1e-6)), -1, 0)
        pattern = np.sin(90.0 * x) * np.sin(70.0 * y) + np.sin(400.0 * y)
        image = 150.0 + 30.0 * pattern[..., None] * [0.6, 1.0, 0.8]
        # squared distance of each ray from the ball's centre, by its radius
        away = (DISTANCE**2 - (directions @ (CENTER - eye)) ** 2) / RADIUS**2
        ball = away < 1.0
        image[ball] = (40.0 + 170.0 * np.sqrt(1.0 - away[ball]))[:, None] * [1.0, 0.35, 0.2]
        views.append(View(image.clip(0, 255).astype(np.uint8), CAMERA, T, mask=ball))
    return views
