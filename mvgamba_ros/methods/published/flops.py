"""Operations of sequence models, counted as the paper counts them (after Zhu et al., "Vision Mamba", 2024).

One multiply-add of the state update counts as in those papers, so that the figures compare with theirs; matrix
products count two operations a multiply-add.
"""

from __future__ import annotations

from mvgamba_ros.methods.published.network import POSITION_BINS, PublishedConfig


def scan_flops(length: int, width: int, d_state: int = 16, expand: int = 2) -> int:
    """The selective scan alone: 4 L E N, linear in the length. 0.07 GFLOPs at L = 1,024 and width 512."""
    return 4 * length * expand * width * d_state


def attention_flops(length: int, width: int) -> int:
    """Self-attention: 4 L D^2 + 2 L^2 D, quadratic in the length. 2.15 GFLOPs at L = 1,024 and width 512."""
    return 4 * length * width**2 + 2 * length**2 * width


def block_products(length: int, width: int, d_state: int = 16, expand: int = 2, d_conv: int = 4) -> int:
    """Matrix products and the convolution of one Mamba block, two operations a multiply-add."""
    inner, rank = expand * width, -(-width // 16)
    per_token = width * 2 * inner + inner * d_conv + inner * (rank + 2 * d_state) + rank * inner + inner * width
    return 2 * length * per_token


def published_flops(config: PublishedConfig) -> dict[str, int]:
    """Operations of one forward pass of the published network, by part."""
    L, D = config.tokens, config.width
    heads = 3 * POSITION_BINS + 1 + 3 + 32 + 3
    return {
        "patches": 2 * config.views * config.patches * 9 * config.patch**2 * D,
        "products": config.layers * block_products(L, D, config.d_state),
        "scans": config.layers * scan_flops(L, D, config.d_state),
        "decoder": 2 * L * (8 * D * D + heads * D),
    }
