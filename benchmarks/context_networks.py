"""RayGamba with other ways to carry context between tokens: none, Mamba blocks, each view for itself, attention.

Everything before and after the blocks is the package's. Attention takes the place of the scan: pre-norm multi-head
self-attention over the tokens of all views (Vaswani et al., 2017), then a layer of hidden units as wide as the tokens,
so that a block has as many weights as a Mamba block of that width (6 width^2). Where a token is, it knows from the
Pluecker rays in it, as the scan's tokens do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.model.mamba import RMSNorm
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_config import ORDERS, RayGambaConfig

HEAD = 32
"""Channels of an attention head."""
LEARNING_RATE = 8e-4
"""Of all that are not named after theirs: within what the stages of the shipped recipe have."""


class ViewsApart(RayGamba):
    """The blocks run over each view's tokens alone: their states begin anew with every view."""

    def _scan(self, x: Tensor, keep: Tensor, ranks: Tensor) -> Tensor:
        B, V = ranks.shape
        apart = super()._scan(x.view(B * V, -1, x.shape[2]), keep.view(B * V, -1), ranks.new_zeros(B * V, 1))
        return apart.view(x.shape)


class AttentionBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + linear(gelu(linear(norm(x))))``, all of one width."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.heads = max(width // HEAD, 1)
        self.norm, self.norm_hidden = RMSNorm(width), RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.hidden = nn.Linear(width, width)
        self.out_hidden = nn.Linear(width, width)
        with torch.no_grad():  # as init_residual_scale does for the Mamba blocks
            for layer in (self.out, self.out_hidden):
                layer.weight /= (2 * depth) ** 0.5

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """``x`` (B, L, width), of which ``real`` (B, L) are no padding."""
        B, L, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).view(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None])
        x = x + self.out(mixed.transpose(1, 2).reshape(B, L, -1))
        return x + self.out_hidden(F.gelu(self.hidden(self.norm_hidden(x))))


class Attention(RayGamba):
    """As many attention blocks as ``config.orders`` has names; what the names are does not matter."""

    def __init__(self, config: RayGambaConfig) -> None:
        super().__init__(replace(config, orders=()))
        self.config = config
        depth = len(config.orders)
        self.blocks = nn.ModuleList(AttentionBlock(config.width, depth) for _ in range(depth))

    def _scan(self, x: Tensor, keep: Tensor, ranks: Tensor) -> Tensor:
        length = max(int(keep.sum(1).max()), 1)
        kept = (~keep).byte().argsort(dim=1, stable=True)[:, :length]
        real = keep.gather(1, kept)
        real[:, 0] = True  # a softmax over nothing is not a number
        place = kept[..., None].expand(-1, -1, x.shape[2])
        tokens = x.gather(1, place)
        for block in self.blocks:
            tokens = block(tokens, real)
        tokens = tokens * keep.gather(1, kept)[..., None]
        return torch.zeros_like(x).scatter(1, place, tokens)


class AttentionApart(ViewsApart, Attention):
    """Attention within each view alone."""


@dataclass(frozen=True)
class Variant:
    """``blocks`` of a ``kind`` of network; ``apart`` is that kind with no way from one view to another; tokens are of
    ``patch`` pixels a side."""

    kind: type[RayGamba]
    blocks: int
    apart: type[RayGamba] | None = None
    patch: int = RayGambaConfig.patch
    learning_rate: float = LEARNING_RATE

    def config(self, base: RayGambaConfig) -> RayGambaConfig:
        return replace(base, orders=scan_orders(self.blocks), patch=self.patch)

    def gigaflops(self, config: RayGambaConfig, tokens: int) -> float:
        """Of the blocks of one forward pass over one sequence of ``tokens``: multiplications and additions; 9 for each
        state of the scan, as mamba-ssm counts them."""
        w, n, L = config.width, config.d_state, tokens
        if issubclass(self.kind, Attention):
            each = 2 * L * 6 * w * w + 4 * L * L * w
        else:
            rank = -(-w // 16)
            each = 2 * L * (6 * w * w + 2 * w * (rank + 2 * n) + rank * 2 * w + 4 * 2 * w) + 9 * L * 2 * w * n
        return self.blocks * each / 1e9


def scan_orders(blocks: int) -> tuple[str, ...]:
    """The scan orders of so many blocks: the recipe's sequence, repeated."""
    along = (*ORDERS[:4], *ORDERS[4:], *ORDERS[2:4])
    return tuple(along[i % len(along)] for i in range(blocks))


VARIANTS: dict[str, Variant] = {
    "no blocks": Variant(RayGamba, 0),
    "4 blocks": Variant(RayGamba, 4, ViewsApart),
    "12 blocks": Variant(RayGamba, 12, ViewsApart),
    "24 blocks": Variant(RayGamba, 24, ViewsApart),
    "12 blocks, views apart": Variant(ViewsApart, 12),
    "12 of attention": Variant(Attention, 12, AttentionApart),
    "12 of attention, a third of the rate": Variant(Attention, 12, AttentionApart, learning_rate=LEARNING_RATE / 3),
    "12 blocks, long sequence": Variant(RayGamba, 12, ViewsApart, patch=4),
    "12 blocks, long sequence, views apart": Variant(ViewsApart, 12, patch=4),
    "12 of attention, long sequence": Variant(Attention, 12, AttentionApart, patch=4),
}
"""What can be trained, by name. A long sequence has four times the tokens, of half the side: in crops of 64 pixels as
many as the shipped network has in its crops of 128."""
USUAL = tuple(
    name
    for name, variant in VARIANTS.items()
    if (variant.patch, variant.learning_rate) == (RayGambaConfig.patch, LEARNING_RATE)
)
"""Trained where none are named."""
