"""The instance network: of every pixel of several views, whether the wanted object, another thing, or neither is there.

A U-Net (Ronneberger et al. 2015) sees each view; what it finds meets, round after round, in cells over the region that
the views share, as in multi-view stereo (Yao et al. 2018, "MVSNet"): mean, largest and least over the views that show a
cell, 3D convolutions, and back along each pixel's ray, weighted by what those before let pass (Max 1995, "Optical
models for direct volume rendering"). A map seen from above gives the middle of every thing in the region, after
CenterNet (Zhou et al. 2019). From every round's guess colours are learned anew (`color_models`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.io.weights import CheckpointFile, write_weights
from mvgamba_ros.segmentation.multiview.color_models import EXTRA, RATIOS, color_cells, color_ratios, contrast_layers
from mvgamba_ros.segmentation.multiview.region_cells import CELLS, KNOWN, STRIDE, RegionCells
from mvgamba_ros.segmentation.multiview.window_layers import ALLOWED, LAYERS, PICTURE

CLASSES = 3
"""Neither, the wanted object, another thing."""
MIDDLES = 7
"""Channels of the map of middles: its logit; the middle's offset from the column's along the region's x and y axis, and
its place along z; the thing's sides. All in halves of the region's sides."""

REMEDY = "install the package anew"
WIDTHS = 4
"""Of a file: how often it halves its input."""
WIDEST = 1024
"""Of a file: a wider network would be no small one."""
MOST_ROUNDS = 8
"""Of a file."""
SHIPPED = Path(__file__).resolve().parent / "weights" / "instances.safetensors"
SHIPPED_SHA256 = "12eb18bc7808d0880f9c32c4d46ddcafea7ad1ae717cc824ef91b4cf0ae774df"
"""Of the file `SHIPPED`; a new one comes with a new digest (sha256sum)."""


@dataclass(frozen=True)
class InstanceMaps:
    """What the network finds in V views of each of B regions.

    Args:
        logits: (B * V, CLASSES, S, S).
        coarse: For each round, (B * V, CLASSES, S / STRIDE, S / STRIDE): what the cells of the next are given.
        middles: (B, MIDDLES, CELLS[1], CELLS[2]).
    """

    logits: Tensor
    coarse: list[Tensor]
    middles: Tensor


def _block(before: int, width: int, stride: int = 1) -> nn.Sequential:
    first = nn.Conv2d(before, width, 4, 2, 1) if stride == 2 else nn.Conv2d(before, width, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True))


def _larger(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class MiddlesHead(nn.Module):
    """(B, before, rows, columns), seen from above, to (B, MIDDLES, rows, columns): a U-Net, since a thing may fill
    the map. Rows and columns are multiples of 4."""

    def __init__(self, before: int, width: int = 40) -> None:
        super().__init__()
        self.first = _block(before, width)
        self.halved = _block(width, width, 2)
        self.quartered = _block(width, 2 * width, 2)
        self.back_to_half = _block(3 * width, width)
        self.back_to_whole = _block(2 * width, width)
        self.last = nn.Conv2d(width, MIDDLES, 1)
        nn.init.zeros_(self.last.weight)  # middles are rare, as in CenterNet
        self.last.bias = nn.Parameter(torch.tensor([-3.0, *[0.0] * (MIDDLES - 1)]))

    def forward(self, x: Tensor) -> Tensor:
        whole = self.first(x)
        half = self.halved(whole)
        x = self.back_to_half(torch.cat([_larger(self.quartered(half)), half], 1))
        x = self.back_to_whole(torch.cat([_larger(x), whole], 1))
        return self.last(x)


class CellFusion(nn.Module):
    """Features of maps to cells, through 3D convolutions, and back onto the maps."""

    def __init__(self, width: int, seen: int = 12, cell: int = 24, coarse: int = 40, back: int = 16) -> None:
        super().__init__()
        self.back = back
        self.read = nn.Conv2d(width + CLASSES, seen, 1)
        self.pooled = nn.Linear(3 * seen + 1 + KNOWN, cell)
        self.coarser = nn.Sequential(
            nn.Conv3d(cell, coarse, 2, 2),
            nn.ReLU(inplace=True),
            nn.Conv3d(coarse, coarse, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(coarse, coarse, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.whole = nn.Sequential(nn.Conv3d(cell + coarse, cell, 3, padding=1), nn.ReLU(inplace=True))
        self.written = nn.Linear(cell, back + 1)

    def forward(self, maps: Tensor, odds: Tensor, cells: RegionCells) -> tuple[Tensor, Tensor]:
        """``maps`` (B * V, width, s, s) and ``odds`` (B * V, CLASSES, s, s) to what the cells give back,
        (B * V, back + 1, s, s), and the cells' features (B, cell, *CELLS)."""
        count = CELLS[0] * CELLS[1] * CELLS[2]
        regions = len(cells.known) // count
        views = len(maps) // regions
        read = self.read(torch.cat([maps, odds], 1)).flatten(2).transpose(1, 2)  # (B * V, P, seen)
        table = F.pad(read, (0, 1, 0, 0), value=1.0)  # a last channel that says "seen"
        table = F.pad(table, (0, 0, 0, 1)).flatten(0, 1)  # and a last pixel that shows nothing
        found = table.index_select(0, cells.pixels.flatten()).view(regions, views, count, -1)
        features, shown = found[..., :-1], found[..., -1:]
        number = shown.sum(1)
        mean = features.sum(1) / number.clamp(min=1.0)
        most = torch.where(shown > 0, features, -1e4).amax(1)
        least = torch.where(shown > 0, features, 1e4).amin(1)
        none = number == 0
        most, least = most.masked_fill(none, 0.0), least.masked_fill(none, 0.0)
        pooled = torch.cat([mean, most, least, number / views, cells.known.view(regions, count, -1)], -1)
        x = F.relu(self.pooled(pooled)).transpose(1, 2).unflatten(2, CELLS)
        deep = F.interpolate(self.coarser(x), scale_factor=2.0, mode="nearest")
        x = x + self.whole(torch.cat([x, deep], 1))
        written = self.written(x.flatten(2).transpose(1, 2)).flatten(0, 1)  # (B * N, back + 1)
        return self._along_rays(written, cells, maps), x

    def _along_rays(self, written: Tensor, cells: RegionCells, maps: Tensor) -> Tensor:
        """What each pixel's ray meets: features of the cells by the share of light that each stops, and the share that
        all of them stop."""
        rows = written.index_select(0, cells.passed.flatten()).view(*cells.passed.shape, self.back + 1)
        stops = torch.sigmoid(rows[..., -1] - 2.0)  # mostly clear at the start
        through = torch.cumprod(1.0 - stops, 1)
        weights = stops * torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], 1)
        met = torch.cat([(weights[..., None] * rows[..., :-1]).sum(1), 1.0 - through[:, -1:]], 1)
        views, side = len(maps), maps.shape[-1]
        out = torch.zeros(views * side * side, self.back + 1, dtype=met.dtype, device=met.device)
        out = out.index_copy(0, cells.rays, met)
        return out.view(views, side * side, -1).transpose(1, 2).unflatten(2, (side, side))


class InstanceNetwork(nn.Module):
    """(B * V, len(LAYERS), S, S) of `window_layers`, as floats in [0, 255], and the cells of the B regions ->
    `InstanceMaps`. S is a multiple of 16."""

    def __init__(self, widths: tuple[int, ...] = (24, 40, 64, 96), rounds: int = 2) -> None:
        super().__init__()
        self.widths, self.rounds = widths, rounds
        self.down = nn.ModuleList()
        before = len(LAYERS) + EXTRA
        for width in widths:
            self.down.append(_block(before, width, 2))
            before = width
        # the mean over the whole window: global context, such as the background's colours
        self.whole = nn.Linear(before, before)
        self.inner = nn.Sequential(nn.Conv2d(before, before, 3, padding=1), nn.ReLU(inplace=True))
        self.up = nn.ModuleList()
        for width in reversed(widths[1:-1]):
            self.up.append(nn.Sequential(nn.Conv2d(before + width, width, 3, padding=1), nn.ReLU(inplace=True)))
            before = width
        self.fusion = CellFusion(before)
        self.join = _block(before + CLASSES + self.fusion.back + 1 + RATIOS, before)
        self.coarse = nn.Conv2d(before, CLASSES, 1)
        self.fine = _block(before + widths[0] + 4 * RATIOS, widths[0])
        self.pixels = nn.Conv2d(widths[0], 4 * CLASSES, 1)
        cell = self.fusion.pooled.out_features
        self.above = MiddlesHead(2 * cell)

    def forward(self, x: Tensor, cells: RegionCells) -> InstanceMaps:
        views = len(x) * CELLS[0] * CELLS[1] * CELLS[2] // len(cells.known)
        picture, allowed = x[:, PICTURE : PICTURE + 1] / 255, x[:, ALLOWED : ALLOWED + 1] / 255
        contrast = contrast_layers(x[:, :3].float() / 255, picture.float(), allowed.float(), views)
        colors = color_cells(contrast)
        nothing = torch.zeros_like(allowed)
        shares = picture * torch.cat([1.0 - allowed, allowed, nothing], 1)  # the first guess: all of the region
        x = torch.cat([x / 127.5 - 1.0, contrast.to(x.dtype)], 1)
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = self.inner(x + self.whole(x.mean((2, 3)))[..., None, None])
        for layer, skip in zip(self.up, reversed(skips[1:-1]), strict=True):
            x = layer(torch.cat([_larger(x), skip], 1))
        odds = x.new_zeros(len(x), CLASSES, *x.shape[2:])
        coarse = []
        for _ in range(self.rounds):
            back, inside = self.fusion(x, torch.softmax(odds, 1), cells)
            ratios = color_ratios(shares, colors, views)
            x = x + self.join(torch.cat([x, odds.tanh(), back, F.avg_pool2d(ratios, STRIDE)], 1))
            odds = self.coarse(x)
            coarse.append(odds)
            found = F.interpolate(odds.float(), scale_factor=float(STRIDE), mode="bilinear", align_corners=False)
            shares = picture * torch.softmax(found, 1)
        ratios = color_ratios(shares, colors, views)
        fine = self.fine(torch.cat([_larger(x), skips[0], F.pixel_unshuffle(ratios, 2)], 1))
        logits = F.pixel_shuffle(self.pixels(fine), 2)
        logits = logits + found
        middles = self.above(torch.cat([inside.amax(2), inside.mean(2)], 1))
        return InstanceMaps(logits, coarse, middles)


def save(path: Path, network: InstanceNetwork, recipe: dict[str, Any]) -> None:
    """``recipe``: how these weights were trained; JSON-serialisable."""
    header = {"widths": json.dumps(network.widths), "rounds": json.dumps(network.rounds), "recipe": json.dumps(recipe)}
    write_weights(path, network, header)


def load(path: Path = SHIPPED) -> InstanceNetwork:
    """The network in evaluation mode. Raises BAD_CHECKPOINT naming the file and what is wrong."""
    file = CheckpointFile(path, REMEDY)
    with file.reading():
        tensors, header = file.read(SHIPPED_SHA256 if path.resolve() == SHIPPED else "")
        widths, rounds = json.loads(header["widths"]), json.loads(header["rounds"])
        if not (len(widths) == WIDTHS and all(type(w) is int and 0 < w <= WIDEST for w in widths)):
            raise file.bad(f"widths {widths} are not {WIDTHS} whole numbers up to {WIDEST}")
        if not (type(rounds) is int and 0 < rounds <= MOST_ROUNDS):
            raise file.bad(f"rounds {rounds} is not a whole number from 1 to {MOST_ROUNDS}")
        return file.fill(lambda: InstanceNetwork(tuple(widths), rounds), tensors)
