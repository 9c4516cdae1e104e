"""Objectness: a small network's log-odds that a pixel is on the object, window by window.

Colour alone fails where an object is as grey as its table; shading, outlines and the shadow beside it still separate
them. The network is a U-Net (Ronneberger et al. 2015) a hundredth the size of a segmenter for everything, trained on
procedural objects on procedural tables (`synthesis.backgrounds`). Its log-odds are one cue of several in
`window_segmentation`, which adds colour, plane and silhouette consistency.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.config.cues_config import ObjectnessConfig
from mvgamba_ros.io.weights import CheckpointFile, write_weights
from mvgamba_ros.segmentation.classical.window_state import Learned
from mvgamba_ros.segmentation.network_pictures import fit_layers, unfitted
from mvgamba_ros.segmentation.plane_matching import PlanePair
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, U8

SIDE = 128
"""Longer side of a window at the network's input; the weights are trained for it."""
CHANNELS = 8
"""Colour (3), where the object may be, where there is a picture at all, and of the comparisons through the support
plane: how many other views show the plane there, how many match, and how many would by chance."""
REMEDY = "install the package anew"
MOST_WIDTHS = 6
"""Of a file: SIDE halves no more often."""
WIDEST = 1024
"""Of a file: a wider network would be no small one."""
SHIPPED = Path(__file__).resolve().parent / "weights" / "objectness.safetensors"
SHIPPED_SHA256 = "e7ee04b1fb30fa3637144607a778de0aaa87057771324d84b353db31f77a620f"
"""Of the file `SHIPPED`; a new one comes with a new digest (sha256sum)."""


def inputs(windows: Sequence[Window], pairs: Sequence[Sequence[PlanePair]]) -> U8:
    """(V, CHANNELS, SIDE, SIDE): windows shrunk or stretched to SIDE, in the upper left corner of zeros."""
    out = np.zeros((len(windows), CHANNELS, SIDE, SIDE), np.uint8)
    for picture, window, compared in zip(out, windows, pairs, strict=True):
        fit_layers(picture, window, compared)
    return out


class Objectness(nn.Module):
    """(N, CHANNELS, SIDE, SIDE) of `inputs`, as floats in [0, 255] -> log-odds (N, SIDE, SIDE)."""

    def __init__(self, widths: tuple[int, ...] = (24, 40, 64, 96)) -> None:
        super().__init__()
        self.widths = widths
        self.down = nn.ModuleList()
        before = CHANNELS
        for width in widths:
            self.down.append(
                nn.Sequential(
                    nn.Conv2d(before, width, 4, 2, 1),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.ReLU(inplace=True),
                )
            )
            before = width
        # the mean over the whole window: global context, such as the background's colours
        self.whole = nn.Linear(before, before)
        self.inner = nn.Sequential(nn.Conv2d(before, before, 3, padding=1), nn.ReLU(inplace=True))
        self.up = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up.append(nn.Sequential(nn.Conv2d(before + width, width, 3, padding=1), nn.ReLU(inplace=True)))
            before = width
        self.head = nn.Sequential(nn.Conv2d(before, before, 3, padding=1), nn.ReLU(inplace=True))
        self.pixels = nn.Conv2d(before, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x / 127.5 - 1.0
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = self.inner(x + self.whole(x.mean((2, 3)))[..., None, None])
        for layer, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        return F.pixel_shuffle(self.pixels(self.head(x)), 2)[:, 0]


def save(path: Path, network: Objectness, recipe: dict[str, Any]) -> None:
    """``recipe``: how these weights were trained; JSON-serialisable."""
    write_weights(path, network, {"widths": json.dumps(network.widths), "recipe": json.dumps(recipe)})


def load(path: Path = SHIPPED) -> Objectness:
    """The network in evaluation mode. Raises BAD_CHECKPOINT naming the file and what is wrong."""
    file = CheckpointFile(path, REMEDY)
    with file.reading():
        tensors, header = file.read(SHIPPED_SHA256 if path.resolve() == SHIPPED else "")
        widths = json.loads(header["widths"])
        if not (2 <= len(widths) <= MOST_WIDTHS and all(type(w) is int and 0 < w <= WIDEST for w in widths)):
            raise file.bad(f"widths {widths} are not 2 to {MOST_WIDTHS} whole numbers up to {WIDEST}")
        return file.fill(lambda: Objectness(tuple(widths)), tensors)


@torch.no_grad()
def log_odds(network: Objectness, windows: Sequence[Window], pairs: Sequence[Sequence[PlanePair]]) -> list[F32]:
    """(h, w) for each window, found on the device of ``network``. Raises BAD_CHECKPOINT where it gives values that are
    not finite."""
    pictures = torch.from_numpy(inputs(windows, pairs)).to(network.pixels.weight.device).float()
    pictures = pictures.contiguous(memory_format=torch.channels_last)  # convolutions of few channels are faster so
    found = network(pictures).cpu().numpy()
    if not np.isfinite(found).all():
        raise CheckpointFile(SHIPPED, REMEDY).bad("its network gives log-odds that are not finite")
    return [unfitted(odds, window) for odds, window in zip(found, windows, strict=True)]


def learned(network: Objectness, config: ObjectnessConfig) -> Learned:
    """`log_odds` as a cue of `window_segmentation`, clipped and weighted."""

    def cue(windows: Sequence[Window], pairs: Sequence[Sequence[PlanePair]]) -> list[F32]:
        limit = config.max_log_odds
        return [config.weight * np.clip(odds, -limit, limit) for odds in log_odds(network, windows, pairs)]

    return cue
