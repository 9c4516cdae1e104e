"""A contact sheet of tabletop scenes, every object outlined in a colour of its own."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.synthesis.tabletop import TabletopScene
from mvgamba_ros.synthesis.tabletop_shards import TabletopScenes
from mvgamba_ros.types import U8

COLORS = ((0, 255, 0), (255, 40, 40), (40, 140, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255), (255, 140, 0))


def scene_strip(scene: TabletopScene, caption: str, views: int = 4) -> U8:
    """RGB strip (H, W, 3) of a scene's first views at half their size, with outlines, what is special in it below."""
    pictures = []
    for view, label in zip(scene.views[:views], scene.instances, strict=False):
        picture = view.image.copy()
        for number in range(1, int(label.max()) + 1):
            lines, _ = cv2.findContours((label == number).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, lines, -1, COLORS[(number - 1) % len(COLORS)], 1)
        half = (max(picture.shape[1] // 2, 1), max(picture.shape[0] // 2, 1))
        pictures.append(cv2.resize(picture, half, interpolation=cv2.INTER_AREA))
    strip = np.hstack(pictures)
    foot = np.full((14, strip.shape[1], 3), 255, np.uint8)
    text = f"{caption} {len(scene.bounds)}: {', '.join(scene.kinds)}"
    cv2.putText(foot, text, (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (60, 60, 60), 1, cv2.LINE_AA)
    return np.vstack([strip, foot])


def tabletop_sheet(scenes: TabletopScenes, first: int = 0, count: int = 32, views: int = 4) -> U8:
    """RGB picture (H, W, 3) of ``count`` scenes from index ``first``, two in a row."""
    strips = [scene_strip(scenes[k], str(k), views) for k in range(first, min(first + count, len(scenes)))]
    strips += [np.full_like(strips[0], 255)] * (len(strips) % 2)
    return np.vstack([np.hstack(strips[k : k + 2]) for k in range(0, len(strips), 2)])
