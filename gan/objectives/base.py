"""What the trainer asks of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class Objective(ABC):
    """Losses, constraint and hyperparameters of one GAN objective.

    A subclass is a frozen dataclass whose fields, made by `gan.settings.parameter`, are its
    hyperparameters. Scores are the discriminator's raw outputs (logits, or a critic's values),
    float32, one per image: shape [N].

    Class attributes:
        defaults: training settings that this objective wants instead of the common ones.
        network_defaults: likewise settings of the network, where it has them.
        estimates_wasserstein: whether the discriminator's loss, negated, estimates the Wasserstein distance
            between real and generated images (up to the critic's Lipschitz constant).
        cuda_graph_safe: whether every cycle has the device do the same, so that it can be replayed as a CUDA graph. Not
            so where a number of Python changes meanwhile, or a tensor takes another's place.

    Attributes:
        n_critic: discriminator steps per generator step; an objective that needs several declares it.
    """

    defaults: ClassVar[dict[str, Any]] = {}
    network_defaults: ClassVar[dict[str, Any]] = {}
    estimates_wasserstein: ClassVar[bool] = False
    cuda_graph_safe: ClassVar[bool] = True
    n_critic: int = 1

    @abstractmethod
    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss, without any penalty, from the scores of both halves."""

    @abstractmethod
    def generator_loss(self, fake: Tensor) -> Tensor:
        """Return the generator's loss from the scores of its images."""

    def penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor | None:
        """Return a term to add to the discriminator's loss, from the images N×C×H×W, or None."""
        return None

    def constrain(self, discriminator: nn.Module) -> None:  # noqa: B027 (most objectives have none)
        """Bring the discriminator's weights back into the allowed set, after each of its steps."""

    def check(self, discriminator: nn.Module) -> None:  # noqa: B027 (most objectives take any)
        """Raise `InputError` for a discriminator that this objective cannot train."""

    @abstractmethod
    def loss_limit(self, shape: tuple[int, ...]) -> float:
        """Return the largest |loss| that can still mean something for data of this shape.

        Beyond it a training is lost.
        """

    def dominated(self, d_loss: float, g_loss: float) -> bool:
        """Tell whether the discriminator wins outright: nothing is left for the generator to follow."""
        return False
