"""Attention of the multi-view UNet: over all views at once, to the words, and to the picture of the object.

Parameters carry the names of the authors' public code (github.com/ashawkey/mvdream_diffusers), so that published
weights load as they are. Written from MVDream (Shi et al., arXiv 2308.16512) and ImageDream (Wang and Shi, arXiv
2312.02201) and from that code's behaviour.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGE_WIDTH = 1280
"""Features of CLIP ViT-H/14's penultimate layer, which image tokens are made of."""
RESAMPLER_HEADS, RESAMPLER_HEAD_WIDTH, RESAMPLER_DEPTH = 12, 64, 4


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention: q (B, L, heads * d), k and v (B, M, heads * d) -> (B, L, heads * d)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """To ``context`` (B, M, context_dim), or among ``x`` (B, L, dim) itself. With ``image_weight``, keys and values of
    their own attend to image tokens (B, M, context_dim), and what they give is added with that weight."""

    def __init__(
        self, dim: int, context_dim: int, heads: int, head_dim: int, image: bool = False, image_weight: float = 1.0
    ) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads, self.image_weight = heads, image_weight
        if image:
            self.to_k_ip = nn.Linear(context_dim, inner, bias=False)
            self.to_v_ip = nn.Linear(context_dim, inner, bias=False)
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim), nn.Identity())

    def forward(self, x: Tensor, context: Tensor | None = None, image_tokens: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        q = self.to_q(x)
        out = attend(q, self.to_k(context), self.to_v(context), self.heads)
        if image_tokens is not None:
            image = attend(q, self.to_k_ip(image_tokens), self.to_v_ip(image_tokens), self.heads)
            out = out + self.image_weight * image
        return self.to_out(out)


class GEGLU(nn.Module):
    """A linear layer whose one half is gated by the GELU of the other (Shazeer, arXiv 2002.05202)."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Two layers, the inner one gated and four times as wide."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention among the tokens of all views of an object, cross-attention of each view, feed-forward layers;
    each after a norm and added to what came in. x (B * views, L, dim)."""

    def __init__(self, dim: int, context_dim: int, heads: int, head_dim: int, image: bool, image_weight: float) -> None:
        super().__init__()
        self.attn1 = Attention(dim, dim, heads, head_dim)
        self.ff = FeedForward(dim)
        self.attn2 = Attention(dim, context_dim, heads, head_dim, image, image_weight)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: Tensor, image_tokens: Tensor | None, views: int) -> Tensor:
        together = x.unflatten(0, (-1, views)).flatten(1, 2)
        x = (together + self.attn1(self.norm1(together))).view_as(x)
        x = x + self.attn2(self.norm2(x), context, image_tokens)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A `TransformerBlock` over the pixels of feature maps (B * views, channels, H, W), added to them."""

    def __init__(self, channels: int, context_dim: int, head_dim: int, image: bool, image_weight: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(channels, context_dim, channels // head_dim, head_dim, image, image_weight)]
        )
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, context: Tensor, image_tokens: Tensor | None, views: int) -> Tensor:
        tokens = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        for block in self.transformer_blocks:
            tokens = block(tokens, context, image_tokens, views)
        return x + self.proj_out(tokens).transpose(1, 2).unflatten(2, x.shape[2:])


class PerceiverAttention(nn.Module):
    """Latents (B, Q, dim) attend to features (B, M, dim) and to themselves."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = RESAMPLER_HEADS * RESAMPLER_HEAD_WIDTH
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        latents = self.norm2(latents)
        k, v = self.to_kv(torch.cat([self.norm1(features), latents], dim=1)).chunk(2, dim=-1)
        return self.to_out(attend(self.to_q(latents), k, v, RESAMPLER_HEADS))


class Resampler(nn.Module):
    """The features of a picture, (B, M, `IMAGE_WIDTH`), as ``tokens`` tokens (B, tokens, dim), by learned queries
    (Perceiver; Jaegle et al., arXiv 2103.03206)."""

    def __init__(self, dim: int, tokens: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, tokens, dim) / dim**0.5)
        self.proj_in = nn.Linear(IMAGE_WIDTH, dim)
        self.proj_out = nn.Linear(dim, dim)
        self.norm_out = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            [nn.ModuleList([PerceiverAttention(dim), _mlp(dim)]) for _ in range(RESAMPLER_DEPTH)]
        )

    def forward(self, features: Tensor) -> Tensor:
        features, latents = self.proj_in(features), self.latents.expand(len(features), -1, -1)
        for layer in self.layers:
            attention, mlp = layer.children()
            latents = latents + attention(features, latents)
            latents = latents + mlp(latents)
        return self.norm_out(self.proj_out(latents))


def _mlp(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, 4 * dim, bias=False), nn.GELU(), nn.Linear(4 * dim, dim, bias=False)
    )
