"""The Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gan.errors import InputError
from gan.objectives.base import JudgedPair
from gan.objectives.wasserstein import Wasserstein
from gan.settings import Range, parameter


@dataclass(frozen=True)
class WGANGP(Wasserstein):
    """The penalty λ·mean (‖∇f(x̂)‖ − 1)², at points x̂ between real and generated images, keeps f 1-Lipschitz.

    It is defined for each image on its own. Batch norm in the critic would make an image's score, and so its gradient,
    depend on the other images (section 4); such a critic is refused.
    """

    # Algorithm 1, and layer norm instead of batch norm in the critic, as section 4 recommends.
    defaults: ClassVar[dict[str, Any]] = {
        "optimizer_g": "adam",
        "optimizer_d": "adam",
        "lr_g": 1e-4,
        "lr_d": 1e-4,
        "beta1": 0.0,
        "beta2": 0.9,
    }
    network_defaults: ClassVar[dict[str, Any]] = {"norm_d": "layer", "logit_norm": False}
    gp_lambda: float = parameter(
        10.0,
        "weight λ of the gradient penalty",
        minimum=0.0,
        search=Range(0.1, 100.0, log=True),
    )
    n_critic: int = parameter(5, "critic steps per generator step", minimum=1, search=Range(1, 5))

    def penalty(self, pair: JudgedPair, discriminator: nn.Module) -> Tensor | None:
        """Return the penalty in float32 at least, even under autocast: its training takes a gradient of a gradient."""
        with torch.autocast(pair.fake.device.type, enabled=False):
            rows = (images.detach().to(_at_least_float32(images)) for images in (pair.real, pair.fake))
            points = _interpolates(*rows).requires_grad_()
            scores = discriminator(points)
            (gradients,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
            return self.gp_lambda * (gradients.flatten(1).norm(dim=1) - 1).square().mean()

    def check(self, discriminator: nn.Module) -> None:
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in discriminator.modules()):
            raise InputError(
                "objective wgan-gp penalises each image's gradient by itself, but batch norm in the critic mixes"
                " the images of a batch: set norm_d=layer or norm_d=none (and logit_norm=false if the network has it)"
            )


def _at_least_float32(rows: Tensor) -> torch.dtype:
    return torch.promote_types(rows.dtype, torch.float32)


def _interpolates(real: Tensor, fake: Tensor) -> Tensor:
    """Return a uniformly random point between each real row and a generated one; rows may have any shape."""
    fraction = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
    return torch.lerp(real, fake, fraction)
