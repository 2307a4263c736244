"""The Wasserstein GAN with weight clipping (Arjovsky, Chintala & Bottou 2017, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gan.networks.base import kernels
from gan.objectives.wasserstein import Wasserstein
from gan.settings import Range, parameter


@dataclass(frozen=True)
class WGAN(Wasserstein):
    """The critic's weights are clipped to [−c, c], which keeps f Lipschitz up to a constant.

    The critic's negated loss estimates the Wasserstein distance up to that constant.
    """

    # Section 4 of the paper: the critic's training was unstable with momentum, and stable with RMSprop.
    defaults: ClassVar[dict[str, Any]] = {
        "optimizer_g": "rmsprop",
        "optimizer_d": "rmsprop",
        "lr_g": 5e-5,
        "lr_d": 5e-5,
    }
    clip: float = parameter(
        0.01,
        "the critic's weights are clipped to [-clip, clip] after each of its steps",
        above=0.0,
        search=Range(1e-3, 3e-1, log=True),
    )
    clip_scope: str = parameter(
        "all",
        "which of the critic's weights are clipped: all, or kernels (convolution and dense) alone",
        choices=("all", "kernels"),
    )
    n_critic: int = parameter(5, "critic steps per generator step", minimum=1, search=Range(1, 5))

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        weights = kernels(discriminator) if self.clip_scope == "kernels" else discriminator.parameters()
        clipped: list[Tensor] = [weight for weight in weights if weight.requires_grad]  # frozen layers stay as they are
        torch._foreach_clamp_max_(clipped, self.clip)
        torch._foreach_clamp_min_(clipped, -self.clip)
