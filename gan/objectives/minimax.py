"""The original minimax GAN objective (Goodfellow et al. 2014, equation 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from gan.objectives.base import JudgedPair
from gan.objectives.non_saturating import NonSaturating


@dataclass(frozen=True)
class Minimax(NonSaturating):
    """D minimises −log D(x) − log(1 − D(G(z))), as in `NonSaturating`; G minimises log(1 − D(G(z))), which saturates.

    G's loss is in (−∞, 0). It rises to 0 as D learns to reject every image, and its gradient vanishes there.
    """

    def generator_loss(self, pair: JudgedPair) -> Tensor:
        return -F.softplus(pair.fake_scores).mean()

    def dominated(self, d_loss: float, g_loss: float) -> bool:
        return d_loss < 0.01 and g_loss > -0.005
