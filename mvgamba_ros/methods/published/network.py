"""MVGamba as published: four posed views -> one long causal sequence -> one Gaussian a token.

Yi et al., "MVGamba: Unify 3D Content Generation as State Space Sequence Modeling", NeurIPS 2024. Parameter names and
shapes are those of the authors' code, so that a checkpoint of it loads as it is (`published_weights`); `PRESETS` has
the sizes. Written from the paper and from the code's behaviour; the network that this package ships is
`model.raygamba`.

Everything lives in the unit cube [-1, 1]^3 around the object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.model.mamba import Block, RMSNorm, init_residual_scale
from mvgamba_ros.model.rotnet import RotNet
from mvgamba_ros.types import Gaussians

POSITION_BINS = 21
POSITION_BOUND = 0.8
SCALE_UNIT = 0.1
SCAN_ORDERS = 4
INITIAL_OPACITY = 0.1


@dataclass(frozen=True)
class PublishedConfig:
    """What the network is built from; the defaults are the paper's."""

    size: int = bounded(448, 8, 4096)
    """Side of the input images, pixels."""
    views: int = bounded(4, 1, 64)
    """Number of input images, always as many: the positions of tokens are learned."""
    patch: int = bounded(14, 1, 1024)
    """Side of a patch, pixels."""
    width: int = bounded(512, 1, 8192)
    """Channels of a token."""
    layers: int = bounded(14, 1, 256)
    """Mamba blocks."""
    d_state: int = bounded(16, 1, 1024)
    """States per channel of the selective scan."""
    drop_path: float = bounded(0.1, 0.0, 0.99)
    """Stochastic depth in training, rising linearly to this rate over the blocks."""
    straight_through: bool = False
    """RotNet picks one rotation instead of mixing all, by the Gumbel-softmax in training."""

    @property
    def patches(self) -> int:
        """Of one view."""
        return (self.size // self.patch) ** 2

    @property
    def tokens(self) -> int:
        """Of the whole sequence, and so the number of Gaussians."""
        return self.views * SCAN_ORDERS * self.patches


PRESETS = {
    "release": PublishedConfig(layers=18, width=768),
    "paper": PublishedConfig(layers=22, width=512),
    "paper-14": PublishedConfig(layers=14, width=512),
    "tiny": PublishedConfig(size=112, patch=14, layers=4, width=96, drop_path=0.0),
}
"""By name. ``release``: the default of the authors' code, 86.6 M parameters. ``paper``: width and depth that give the
49 M that the paper states; ``paper-14``: the 14 blocks of its figure, 35 M. ``tiny``: 1,024 Gaussians, trained on two
cores in minutes, to see the whole way work."""


class PublishedNetwork(nn.Module):
    """(B, V, 9, S, S) of normalised RGB and Pluecker rays (see `condition`) -> Gaussians with a leading B."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        self.map_image = nn.Conv2d(9, config.width, config.patch, config.patch)
        nn.init.trunc_normal_(self.map_image.weight, std=(9 * config.patch**2) ** -0.5)
        nn.init.zeros_(_bias(self.map_image))
        self.transformer = Sequence(config)
        self.decoder = GaussianDecoder(config.width, config.straight_through)

    def forward(self, views: Tensor) -> Gaussians:
        expected = (self.config.views, 9, self.config.size, self.config.size)
        if tuple(views.shape[1:]) != expected:
            raise ValueError(f"views {tuple(views.shape)}: expected (B, {', '.join(map(str, expected))})")
        features = self.map_image(views.flatten(0, 1))
        tokens = scan(features).unflatten(0, views.shape[:2]).flatten(1, 2)
        return self.decoder(self.transformer(tokens))


def scan(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4 H W, C): each patch four times, along rows, along columns, and both once more with the
    other side of the image first."""
    flipped = features.flip(3)
    columns = features.transpose(2, 3)
    # columns from the bottom up: the flip is along the last axis, as for rows
    orders = [features, columns, flipped, columns.flip(3)]
    return torch.cat([order.flatten(2) for order in orders], 2).transpose(1, 2)


class Layer(nn.Module):
    """A block's branch, ``mixer(norm(x))``, under the name that the authors' code gives the block."""

    def __init__(self, width: int, d_state: int) -> None:
        super().__init__()
        self.mamba_block = Block(width, d_state)

    def forward(self, x: Tensor) -> Tensor:
        return self.mamba_block.mixer(self.mamba_block.norm(x))


class Sequence(nn.Module):
    """Learned positions, pre-norm residual Mamba blocks, a last norm: (B, L, width) -> (B, L, width)."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(config.tokens, config.width) * config.width**-0.5)
        layers = [Layer(config.width, config.d_state) for _ in range(config.layers)]
        init_residual_scale([layer.mamba_block for layer in layers])
        self.layers = nn.ModuleList(layers)
        self.norm_f = RMSNorm(config.width)
        # rising to the last block but one; the last is never skipped
        self.drop_rates = [config.drop_path * i / (config.layers - 1) for i in range(config.layers - 1)] + [0.0]

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed
        for layer, rate in zip(self.layers, self.drop_rates, strict=True):
            x = x + _drop_path(layer(x), rate, self.training)
        return self.norm_f(x)


def _drop_path(y: Tensor, rate: float, training: bool) -> Tensor:
    """Stochastic depth (Huang et al., 2016): a whole sample's branch is left out, the others make up for it."""
    if not training or rate == 0.0:
        return y
    keep = torch.rand(len(y), 1, 1, device=y.device) >= rate
    return y * keep / (1 - rate)


class MLP(nn.Module):
    """Two linear layers, (..., width) -> (..., width), the hidden one four times as wide; SiLU after each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.layers(x))


class GaussianDecoder(nn.Module):
    """(..., width) -> one Gaussian each. An MLP, then a linear head per attribute.

    Positions are the expectation of a softmax over 21 places in [-0.8, 0.8] per axis: bounded, and with a gradient
    everywhere, where regression is unstable over a long sequence.
    """

    coords: Tensor

    def __init__(self, width: int, straight_through: bool = False) -> None:
        super().__init__()
        self.mlp_net = MLP(width)
        bins = torch.linspace(-POSITION_BOUND, POSITION_BOUND, POSITION_BINS)
        self.register_buffer("coords", bins.repeat(3, 1))
        sizes = {"xyz": 3 * POSITION_BINS, "opacity": 1, "scale": 3, "rot": 32, "rgb": 3}
        self.gs_layer = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})
        self.rotation = RotNet(straight_through, temperature=2.0)
        biases = {"xyz": 0.0, "opacity": math.log(INITIAL_OPACITY / (1 - INITIAL_OPACITY)), "scale": -1.8, "rot": 0.0}
        for name, value in biases.items():
            nn.init.constant_(_bias(self.gs_layer[name]), value)
        nn.init.xavier_uniform_(_weight(self.gs_layer["xyz"]))
        nn.init.zeros_(_weight(self.gs_layer["rgb"]))
        nn.init.zeros_(_bias(self.gs_layer["rgb"]))

    def forward(self, features: Tensor) -> Gaussians:
        x = self.mlp_net(features)
        places = self.gs_layer["xyz"](x).unflatten(-1, (3, POSITION_BINS)).float().softmax(-1)
        return Gaussians(
            means=(places * self.coords).sum(-1),
            quats=self.rotation(self.gs_layer["rot"](x).float()),
            scales=SCALE_UNIT * F.softplus(self.gs_layer["scale"](x).float()),
            opacities=self.gs_layer["opacity"](x).float().sigmoid().squeeze(-1),
            colors=self.gs_layer["rgb"](x).float().sigmoid(),
        )


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight


def _bias(layer: nn.Module) -> Tensor:
    assert isinstance(layer.bias, Tensor)
    return layer.bias
