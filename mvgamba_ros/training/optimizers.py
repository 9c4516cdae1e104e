"""What turns gradients into steps: AdamW for all weights, or Muon for the matrices and AdamW for the rest."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from mvgamba_ros.errors import ErrorCode, ReconstructionError

OPTIMIZERS = ("adamw", "muon")


def make_optimizers(network: nn.Module, name: str, learning_rate: float, weight_decay: float) -> list[Optimizer]:
    """The optimizers that together move every weight of ``network`` that learns, once; all take the same learning rate.

    "muon" makes a step of a matrix orthogonal (Jordan et al., "Muon", 2024), as large as AdamW's would be (Liu et al.,
    "Muon is Scalable for LLM Training", 2025): the linear layers of blocks and decoder go to it, convolutions, biases,
    heads and all that is no map between features to AdamW. Neither decays vectors, nor the scan's A, which mamba-ssm
    exempts as well.

    Raises BAD_OPTION for a name not in `OPTIMIZERS`, MISSING_PACKAGE where torch is older than its Muon.
    """
    if name not in OPTIMIZERS:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"optimizer: expected one of {', '.join(OPTIMIZERS)}, not {name}"
        )
    if name == "muon" and not hasattr(torch.optim, "Muon"):
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"optimizer muon: torch {torch.__version__} has none; install torch 2.9 or newer, or choose adamw",
        )
    matrices, decayed, plain = [], [], []
    for path, p in network.named_parameters():
        if not p.requires_grad:
            continue
        if p.ndim < 2 or path.endswith("A_log"):
            plain.append(p)
        elif name == "muon" and p.ndim == 2 and "head" not in path:
            matrices.append(p)
        else:
            decayed.append(p)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizers: list[Optimizer] = [AdamW(groups, lr=learning_rate, betas=(0.9, 0.95))]
    if matrices:
        muon = torch.optim.Muon(matrices, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        optimizers.append(muon)
    return optimizers
