"""The non-saturating objective with an L2 penalty on the discriminator's kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan.networks.base import kernels
from gan.objectives.base import JudgedPair
from gan.objectives.non_saturating import NonSaturating
from gan.settings import Range, parameter


@dataclass(frozen=True)
class L2(NonSaturating):
    """Non-saturating losses plus λ·ΣW² over D's kernels (Cheng, "A Comparison of Different Methods of Face Image
    Generation"). This is not the least-squares GAN.

    The sum is over convolution and dense weights, without biases and normalisation, as in Keras' kernel regulariser.
    λ multiplies the plain sum: there is no ½ and no mean.
    """

    l2_lambda: float = parameter(
        0.02,
        "weight λ of the sum of squares of the discriminator's kernels",
        minimum=0.0,
        search=Range(1e-6, 1e-1, log=True),
    )

    def penalty(self, pair: JudgedPair, discriminator: nn.Module) -> Tensor | None:
        return self.l2_lambda * torch.stack([weight.square().sum() for weight in kernels(discriminator)]).sum()
