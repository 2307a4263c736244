"""The optimisers that training settings name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gan.recipe.training_settings import Training

Rate = float | Tensor
"""A constant, or a tensor that follows a schedule."""


def make_optimizer(
    kind: str, weights: Iterable[nn.Parameter], lr: Rate, training: Training, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Return the optimiser called `kind`, one of `OPTIMIZERS`; `capturable` where CUDA graphs will replay its steps."""
    weights, eps = list(weights), training.epsilon
    if kind == "adam":
        betas = (training.beta1, training.beta2)
        return torch.optim.Adam(weights, lr=lr, betas=betas, eps=eps, fused=True, capturable=capturable)
    if kind == "rmsprop":
        return torch.optim.RMSprop(weights, lr=lr, alpha=training.rho, eps=eps, foreach=True, capturable=capturable)
    # SGD counts no steps, so there is nothing on the host that a graph would leave out.
    return torch.optim.SGD(weights, lr=lr, momentum=training.momentum, fused=True)
