"""A contact sheet: a picture of what a data folder holds, to check before training on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.synthesis.data_format import DEPTH_UNIT
from mvgamba_ros.synthesis.shards import Shards


def contact_sheet(
    shards: Shards, first: int = 0, objects: int = 32, views: int = 4, depth: bool = False
) -> NDArray[np.uint8]:
    """RGB picture (H, W, 3) of ``objects`` objects from index ``first``, ``views`` views each with the family's name
    under them; with ``depth``, the thickness seen in the first view beside them, dark is thick."""
    cells = []
    for index in range(first, min(first + objects, len(shards))):
        item = shards[index]
        strip = [np.asarray(v) for v in item["rgb"][:views]]
        if depth:
            thick = (item["depth_back"][0].astype(float) - item["depth_front"][0]) * DEPTH_UNIT
            shade = 255 * (1 - thick / max(thick.max(), 1e-9))
            strip.append(np.repeat(shade[..., None], 3, 2).astype(np.uint8))
        row = np.concatenate(strip, 1)
        caption = np.full((14, row.shape[1], 3), 255, np.uint8)
        largest = np.ptp(item["points"], axis=0).max() * 100
        text = f"{index} {item['family']} {largest:.0f} cm"
        cv2.putText(caption, text, (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (90, 90, 90), 1, cv2.LINE_AA)
        cells.append(np.concatenate([row, caption]))
    columns = max(1, round(np.sqrt(len(cells) * cells[0].shape[0] / cells[0].shape[1] * 1.6)))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[k : k + columns], 1) for k in range(0, len(cells), columns)]
    return np.concatenate(rows)
