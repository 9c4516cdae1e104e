"""MVGamba as published: four posed views -> one long causal sequence -> one Gaussian a token.

Yi et al., "MVGamba: Unify 3D Content Generation as State Space Sequence Modeling", NeurIPS 2024. Two presets:
`PAPER` is the network that the paper describes, `PUBLISHED` the default of the authors' code, whose parameter names and
shapes are kept here, so that a checkpoint of it loads as it is (`load_published`). Written from the paper and from the
code's behaviour; the network that this package ships is `model.raygamba`.

Everything lives in the unit cube [-1, 1]^3 around the object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.io.weights import CheckpointFile, write_weights
from mvgamba_ros.model.mamba import Block, RMSNorm, init_residual_scale
from mvgamba_ros.model.rotnet import RotNet
from mvgamba_ros.types import Gaussians

POSITION_BINS = 21
POSITION_BOUND = 0.8
SCALE_UNIT = 0.1
SCAN_ORDERS = 4
INITIAL_OPACITY = 0.1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, by which the input colours are normalised."""
TRAINING_ONLY = "lpips_loss."
"""Tensors of the loss network, which training checkpoints carry along."""
REMEDY = "give a file of MVGamba's network, or use the method mvgamba, whose weights come with the package"


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
    """RotNet picks one rotation instead of mixing all."""
    crop_margin: float = bounded(1.15, 1.0, 10.0)
    """Side of an input image over the longer side of its silhouette's box, where it is cut out of a captured view. Set
    by hand."""

    @property
    def patches(self) -> int:
        """Of one view."""
        return (self.size // self.patch) ** 2

    @property
    def tokens(self) -> int:
        """Of the whole sequence, and so the number of Gaussians."""
        return self.views * SCAN_ORDERS * self.patches


PAPER = PublishedConfig(layers=14, width=512)
PUBLISHED = PublishedConfig(layers=18, width=768)


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


def condition(rgb: Tensor, K: Tensor, T_cube_camera: Tensor) -> Tensor:
    """The network's input (B, V, 9, S, S): normalised colours, then Pluecker rays (o x d, d), d of unit length.

    ``rgb`` (B, V, 3, S, S) in [0, 1] on white; ``K`` (B, V, 3, 3) pixels, centres at +0.5; ``T_cube_camera``
    (B, V, 4, 4) OpenCV optical frames in the unit cube. The authors trained at radius 1.5, fov 49.1 degrees.
    """
    size = rgb.shape[-1]
    centres = torch.arange(size, dtype=rgb.dtype, device=rgb.device) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    fx, fy, cx, cy = (K[..., i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    in_camera = torch.stack(torch.broadcast_tensors((x - cx) / fx, (y - cy) / fy, torch.ones_like(x)), -1)
    directions = F.normalize(torch.einsum("bvij,bvyxj->bvyxi", T_cube_camera[..., :3, :3], in_camera), dim=-1)
    origins = T_cube_camera[..., None, None, :3, 3].expand_as(directions)
    rays = torch.cat([torch.linalg.cross(origins, directions), directions], -1).movedim(-1, 2)
    mean, std = (rgb.new_tensor(v)[:, None, None] for v in (MEAN, STD))
    return torch.cat([(rgb - mean) / std, rays], 2)


def load_published(
    tensors: Mapping[str, Tensor], config: PublishedConfig = PUBLISHED, path: Path = Path("of MVGamba")
) -> PublishedNetwork:
    """The network with the tensors of a checkpoint of the authors' code, in evaluation mode.

    Their names start with ``model.``, or with nothing; those of the loss network are left aside. Anything else missing,
    surplus, misshapen or not of finite floats raises BAD_CHECKPOINT, which names the file ``path``.
    """
    own = {k.removeprefix("model."): v for k, v in tensors.items() if not k.startswith(TRAINING_ONLY)}
    file = CheckpointFile(path, REMEDY)
    file.check_tensors(own)
    return file.fill(lambda: PublishedNetwork(config), own)


def read_published(path: Path, config: PublishedConfig | None = None) -> PublishedNetwork:
    """`load_published` from a ``.safetensors`` file, or a ``.pth`` with the tensors under "model", as the authors save
    them. Only tensors are unpickled.

    ``config``: by default the file's own, from the metadata of a ``.safetensors`` file as `save_published` writes it,
    and `PUBLISHED` for a file without one. Raises BAD_CHECKPOINT.
    """
    header: dict[str, str] = {}
    content: Any
    file = CheckpointFile(path, REMEDY)
    with file.reading():
        if path.suffix == ".safetensors":
            content, header = file.read()
        else:
            content = torch.load(path, "cpu", weights_only=True)
        if config is None:
            config = PUBLISHED
            if "config" in header:
                config = file.config(PublishedConfig, json.loads(header["config"]))
        return load_published(content.get("model", content), config, path)


def save_published(path: Path, network: PublishedNetwork) -> None:
    """``network`` as a ``.safetensors`` file with its config; matrices as float16, the rest as float32."""
    write_weights(path, network, {"format": "mvgamba published 1", "config": json.dumps(asdict(network.config))})


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight


def _bias(layer: nn.Module) -> Tensor:
    assert isinstance(layer.bias, Tensor)
    return layer.bias
