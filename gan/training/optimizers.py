"""The optimisers that training settings name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gan.recipe.training_settings import Training

Rate = float | Tensor
"""A constant, or a tensor that follows a schedule."""


def _adam(weights: list[nn.Parameter], lr: Rate, training: Training, capturable: bool) -> torch.optim.Optimizer:
    betas = (training.beta1, training.beta2)
    return torch.optim.Adam(weights, lr=lr, betas=betas, eps=training.epsilon, fused=True, capturable=capturable)


def _rmsprop(weights: list[nn.Parameter], lr: Rate, training: Training, capturable: bool) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(
        weights, lr=lr, alpha=training.rho, eps=training.epsilon, foreach=True, capturable=capturable
    )


def _sgd(weights: list[nn.Parameter], lr: Rate, training: Training, capturable: bool) -> torch.optim.Optimizer:
    # It counts no steps, so there is nothing on the host that a graph would leave out.
    return torch.optim.SGD(weights, lr=lr, momentum=training.momentum, fused=True)


def make_optimizer(
    kind: str, weights: Iterable[nn.Parameter], lr: Rate, training: Training, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Return the optimiser called `kind`, one of `OPTIMIZERS`; `capturable` where CUDA graphs will replay its steps."""
    makers = {"adam": _adam, "rmsprop": _rmsprop, "sgd": _sgd}
    return makers[kind](list(weights), lr, training, capturable)
