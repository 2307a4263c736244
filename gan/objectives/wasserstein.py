"""What all Wasserstein objectives share, however they keep the critic Lipschitz (Arjovsky et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan.objectives.base import JudgedPair, Objective


@dataclass(frozen=True)
class Wasserstein(Objective):
    """The critic maximises mean f(x) − mean f(G(z)); G maximises mean f(G(z))."""

    estimates_wasserstein: ClassVar[bool] = True

    def discriminator_loss(self, pair: JudgedPair) -> Tensor:
        return pair.fake_scores.mean() - pair.real_scores.mean()

    def generator_loss(self, pair: JudgedPair) -> Tensor:
        return -pair.fake_scores.mean()

    def loss_limit(self, shape: tuple[int, ...]) -> float:
        """Ten times the diameter of the image space, 2√d.

        No two distributions in [−1, 1]^d are further apart than the diameter. A critic whose estimate is ten times as
        large has a Lipschitz constant far above 1: its constraint has failed.
        """
        return 10 * 2 * math.sqrt(math.prod(shape))
