"""What the instance network is trained to lessen, and how its examples are disturbed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.segmentation.multiview.instance_network import InstanceMaps
from mvgamba_ros.segmentation.multiview.region_cells import STRIDE
from mvgamba_ros.segmentation.multiview.window_layers import ALLOWED, LAYERS, PICTURE
from mvgamba_ros.training.instance_shards import InstanceBatch
from mvgamba_ros.training.instance_train_config import ColorAugmentation, InstanceTrainConfig


def losses_of(maps: InstanceMaps, batch: InstanceBatch, config: InstanceTrainConfig) -> dict[str, Tensor]:
    """The parts of the loss, weighted."""
    picture = batch.layers[:, PICTURE].float() / 255
    weight = picture * (config.outside + (1.0 - config.outside) * batch.layers[:, ALLOWED].float() / 255)
    truth = batch.truth.float() / 255
    truth = torch.stack([(1.0 - truth.sum(1)).clamp(min=0.0), truth[:, 0], truth[:, 1]], 1)
    wide = batch.wide.repeat_interleave(len(truth) // len(batch.wide))
    fine = _cross_entropy(maps.logits.float(), truth, weight, wide)
    small = F.avg_pool2d(truth, STRIDE), F.avg_pool2d(weight[:, None], STRIDE)[:, 0]
    coarse = torch.stack([_cross_entropy(odds.float(), *small, wide) for odds in maps.coarse]).mean()
    return {
        "fine": fine,
        "coarse": config.coarse * coarse,
        "overlap": config.overlap * _missed_overlap(maps.logits.float(), truth, weight, wide),
        "middles": config.middles * _middles_loss(maps.middles.float(), batch.middles),
    }


def _cross_entropy(logits: Tensor, truth: Tensor, weight: Tensor, wide: Tensor) -> Tensor:
    """Weighted mean over pixels; in wide regions a thing is a thing."""
    logs = F.log_softmax(logits, 1)
    thing = torch.logsumexp(logs[:, 1:], 1)
    of_wide = -truth[:, 0] * logs[:, 0] - (1.0 - truth[:, 0]) * thing
    of_one = -(truth * logs).sum(1)
    loss = torch.where(wide[:, None, None], of_wide, of_one)
    return (weight * loss).sum() / weight.sum()


def _missed_overlap(logits: Tensor, truth: Tensor, weight: Tensor, wide: Tensor) -> Tensor:
    """One minus the Dice coefficient of what is wanted, or of all things in wide regions; mean over views that show
    some of it."""
    found = torch.softmax(logits, 1)
    p = torch.where(wide[:, None, None], 1.0 - found[:, 0], found[:, 1]) * weight
    y = torch.where(wide[:, None, None], 1.0 - truth[:, 0], truth[:, 1]) * weight
    both, each = (p * y).sum((1, 2)), (p * p + y * y).sum((1, 2))
    shown = y.sum((1, 2)) > 8.0
    return ((1.0 - 2.0 * both / (each + 1.0)) * shown).sum() / shown.sum().clamp(min=1)


def _middles_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Penalty-reduced focal loss on middles (Law and Deng 2018, "CornerNet") and absolute errors of place and size near
    them."""
    logit, near = found[:, 0], truth[:, 0]
    p = torch.sigmoid(logit)
    at = near == 1.0
    focal = torch.where(at, -((1.0 - p) ** 2) * F.logsigmoid(logit), -((1.0 - near) ** 4) * p**2 * F.logsigmoid(-logit))
    close = (near > 0.3).float() * near
    placed = (F.smooth_l1_loss(found[:, 1:], truth[:, 1:], reduction="none", beta=0.1).sum(1) * close).sum()
    return focal.sum() / at.sum().clamp(min=1) + placed / close.sum().clamp(min=1.0)


def disturbed(batch: InstanceBatch, rng: torch.Generator, config: ColorAugmentation) -> Tensor:
    """(B * V, len(LAYERS), S, S) float: brighter or darker, of other hue, noisier; now and then without the plane."""
    x = batch.layers.float()
    regions = len(batch.wide)
    views = len(x) // regions

    def draw(*shape: int) -> Tensor:
        return torch.rand((regions, *shape), generator=rng).repeat_interleave(views, 0)

    rgb = x[:, :3] / 255
    gain = torch.exp(config.gain * (2 * draw(1, 1, 1) - 1) + config.tint * (2 * draw(3, 1, 1) - 1))
    gain = gain * torch.exp(config.own_gain * (2 * torch.rand((len(x), 1, 1, 1), generator=rng) - 1))
    gamma = torch.exp(config.gamma * (2 * draw(1, 1, 1) - 1))
    swap = draw(1, 1, 1) < config.shuffled
    rgb = torch.where(swap, rgb[:, torch.randperm(3, generator=rng)], rgb)
    grey = draw(1, 1, 1) * (draw(1, 1, 1) < config.greyed)
    rgb = rgb + grey * (rgb.mean(1, keepdim=True) - rgb)
    rgb = (rgb.clamp(min=1e-4) ** gamma * gain).clamp(0, 1)
    rgb = rgb + config.noise * draw(1, 1, 1) * torch.randn(rgb.shape, generator=rng)
    rgb = rgb.clamp(0, 1) * (x[:, PICTURE : PICTURE + 1] > 0)
    first, last = LAYERS.index("plane_seen"), LAYERS.index("plane_chance") + 1
    plane = x[:, first:last] * (draw(1, 1, 1) >= config.without_plane)
    return torch.cat([255 * rgb, x[:, 3:first], plane, x[:, last:]], 1)
