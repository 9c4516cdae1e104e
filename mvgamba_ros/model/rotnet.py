"""RotNet: a rotation as a mixture of 32 canonical quaternions (MVGamba, Yi et al. 2024, section 3.3).

Regressing quaternions directly is unstable early in training; weights over fixed, well-spread rotations are not. The
soft form mixes by a softmax; the straight-through form picks one by Gumbel-softmax while its gradient stays soft.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def canonical_quaternions() -> Tensor:
    """(32, 4) wxyz in the authors' order: the axes and their negatives, then (a e_i + b e_j) / sqrt(2) for the signs
    (+, +), (+, -), (-, +), (-, -) in turn over all pairs i < j."""
    eye = torch.eye(4, device="cpu")
    pairs = [
        (a * eye[i] + b * eye[j]) * 0.7071
        for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
        for i, j in combinations(range(4), 2)
    ]
    return torch.cat([eye, -eye, torch.stack(pairs)])


CANCELLED = 1e-4
"""A mixture of quaternions shorter than this has no direction."""


class RotNet(nn.Module):
    """Logits (..., 32) -> unit quaternions (..., 4) wxyz.

    ``straight_through``: pick one rotation (Gumbel-softmax in training, the largest logit in evaluation) instead of
    mixing all. Its ``temperature`` falls from the given one with the updates done (`set_updates`), as in the authors'
    code.
    """

    canonical: Tensor

    def __init__(
        self, straight_through: bool = False, temperature: float = 2.0, decay: float = 0.999995, least: float = 0.5
    ) -> None:
        super().__init__()
        self.straight_through = straight_through
        self.first, self.decay, self.least = temperature, decay, least
        self.temperature = temperature
        self.register_buffer("canonical", canonical_quaternions(), persistent=False)

    def set_updates(self, updates: int) -> None:
        """The temperature after so many: the first times ``decay`` for each, at least ``least``."""
        self.temperature = max(self.first * self.decay**updates, self.least)

    def forward(self, logits: Tensor) -> Tensor:
        if not self.straight_through:
            weights = logits.softmax(-1)
        elif self.training:
            weights = F.gumbel_softmax(logits, tau=self.temperature, hard=True)
        else:
            weights = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
        # equal weights cancel to zero, which has no direction: there the added identity keeps the gradient finite
        mixed = weights @ self.canonical
        identity = torch.tensor([CANCELLED, 0, 0, 0], dtype=mixed.dtype, device=mixed.device)
        cancelled = mixed.detach().norm(dim=-1, keepdim=True) < CANCELLED
        return F.normalize(mixed + cancelled * identity, dim=-1)
