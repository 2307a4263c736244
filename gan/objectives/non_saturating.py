"""The non-saturating GAN objective (Goodfellow et al. 2014, section 3, last paragraph)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from gan.objectives.base import JudgedPair, Objective


@dataclass(frozen=True)
class NonSaturating(Objective):
    """D minimises −log D(x) − log(1 − D(G(z))); G minimises −log D(G(z)).

    For logits s, −log σ(s) = softplus(−s) and −log(1 − σ(s)) = softplus(s). These stay finite and keep their gradients
    where a sigmoid followed by a logarithm does not. D's loss is 2 ln 2 when it cannot tell real from fake.
    """

    def discriminator_loss(self, pair: JudgedPair) -> Tensor:
        return F.softplus(-pair.real_scores).mean() + F.softplus(pair.fake_scores).mean()

    def generator_loss(self, pair: JudgedPair) -> Tensor:
        return F.softplus(-pair.fake_scores).mean()

    def loss_limit(self, shape: tuple[int, ...]) -> float:
        # There, D gives a fake the probability exp(−100) of being real: no healthy training comes near it.
        return 100.0

    def dominated(self, d_loss: float, g_loss: float) -> bool:
        return d_loss < 0.01 and g_loss > 6.0
