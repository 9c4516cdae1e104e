"""The instance network on the windows of a region: log-odds for every pixel, and the things in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import in_box
from mvgamba_ros.geometry.se3 import rigid, transform
from mvgamba_ros.geometry.torch_rays import to_device
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.segmentation import plane_matching
from mvgamba_ros.segmentation.multiview.instance_network import InstanceNetwork
from mvgamba_ros.segmentation.multiview.region_cells import region_cells
from mvgamba_ros.segmentation.multiview.window_layers import SIDE, fitted_camera, window_layers
from mvgamba_ros.segmentation.network_pictures import unfitted
from mvgamba_ros.segmentation.support_plane import support_height
from mvgamba_ros.segmentation.windows import Window, make_windows
from mvgamba_ros.types import F32, Box, Prompts, View


@dataclass(frozen=True)
class Thing:
    """Something in a region.

    Attributes:
        box: About it, world, metres.
        score: How sure the network is of it, [0, 1].
        parts: Where the network sees several middles in it: it may be several things, or a long one.
    """

    box: Box
    score: float
    parts: tuple[Thing, ...] = ()


def apart(one: Thing, other: Thing) -> bool:
    """Whether neither's middle lies in the other's box: two peaks of one thing are not."""
    middles = one.box.T_world_box[:3, 3], other.box.T_world_box[:3, 3]
    return not in_box(one.box, middles[1]) and not in_box(other.box, middles[0])


@dataclass(frozen=True)
class RegionLabels:
    """What the network finds in a region.

    Attributes:
        region: World, metres.
        windows: Of V views.
        wanted: (h, w) of each window: log-odds that the wanted object is there.
        thing: (h, w) of each window: log-odds that any thing is there.
        other: (h, w) of each window: log-odds that another thing than the wanted one is there.
        things: What stands in the region, most certain first.
        height: World z of the support plane, metres; None where it is not known.
    """

    region: Box
    windows: list[Window]
    wanted: list[F32]
    thing: list[F32]
    other: list[F32]
    things: list[Thing]
    height: float | None


@torch.no_grad()
def label_region(
    network: InstanceNetwork,
    views: Sequence[View],
    region: Box,
    prompts: Prompts,
    anywhere: bool,
    config: SegmentationConfig,
) -> RegionLabels:
    """Labels ``views`` of ``region``, on the device of ``network``. ``anywhere``: the region is far larger than what
    stands in it.

    Raises what `make_windows` raises, and BAD_CHECKPOINT where the network's values are not finite.
    """
    windows = make_windows(views, region, prompts, SIDE, config.windows)
    height = prompts.support_height
    if height is None:
        height, _ = support_height(windows, region, anywhere, config)
    pairs: list[list[plane_matching.PlanePair]] = [[] for _ in windows]
    if height is not None and len(windows) > 1:
        pairs = plane_matching.compare(windows, height, anywhere, config.plane, config.color)
    device = network.coarse.weight.device
    layers = torch.from_numpy(window_layers(windows, pairs, region, height)).to(device).float()
    poses = [window.T_world_camera for window in windows]
    cells = region_cells([fitted_camera(window) for window in windows], poses, region, height, SIDE)
    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        maps = network(layers.contiguous(memory_format=torch.channels_last), to_device(cells, device))
    logs = F.log_softmax(maps.logits.float(), 1).cpu()
    middles = maps.middles[0].float().cpu()
    if not (torch.isfinite(logs).all() and torch.isfinite(middles).all()):
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT, "the instance network gives values that are not finite: install the package anew"
        )
    thing = torch.logsumexp(logs[:, 1:], 1)
    wanted = logs[:, 1] - torch.logaddexp(logs[:, 0], logs[:, 2])
    other = logs[:, 2] - torch.logaddexp(logs[:, 0], logs[:, 1])

    def per_window(odds: torch.Tensor) -> list[F32]:
        return [unfitted(of_view, window) for of_view, window in zip(odds.numpy(), windows, strict=True)]

    return RegionLabels(
        region,
        windows,
        per_window(wanted),
        per_window(thing - logs[:, 0]),
        per_window(other),
        things_of(middles.numpy(), region, config.instances.min_score),
        height,
    )


def things_of(middles: F32, region: Box, min_score: float) -> list[Thing]:
    """The peaks of a map of middles (MIDDLES, rows, columns) of a region, at least ``min_score``, best first."""
    logits = torch.from_numpy(middles[0])[None, None]
    highest = F.max_pool2d(logits, 3, 1, 1)
    score = torch.sigmoid(logits)
    rows, columns = np.nonzero(((logits == highest) & (score >= min_score))[0, 0].numpy())
    found = []
    counts = np.array(middles.shape[:0:-1])  # columns, rows
    for row, column in zip(rows, columns, strict=True):
        dx, dy, z, *sides = middles[1:, row, column].astype(np.float64)
        x, y = 2.0 * (np.array([column, row]) + 0.5) / counts - 1.0 + [dx, dy]
        half = region.size / 2.0
        middle = transform(region.T_world_box, (np.array([[x, y, z]]) * half))[0]
        size = np.maximum(np.array(sides) * half, 0.05 * region.size)
        found.append(Thing(Box(rigid(region.T_world_box[:3, :3], middle), size), float(score[0, 0, row, column])))
    return sorted(found, key=lambda thing: -thing.score)
