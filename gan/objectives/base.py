"""The interface of an objective, and the pair of batches that losses and penalties receive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor, nn

from gan.settings import Part


class JudgedPair:
    """A batch of real images, a batch of generated images, and the discriminator's scores of both.

    Images are N×C×H×W in [-1, 1], as the discriminator sees them: after augmentation. Scores are its raw outputs
    (logits, or a critic's values), float32 [N].

    In the generator's step, real images are scored only if a loss reads `real` or `real_scores`. That costs one more
    forward pass of the discriminator, which has just been updated.

    Args:
        fake, fake_scores: generated images and their scores.
        judge_real: returns the real images and their scores; it is called at most once.
    """

    def __init__(self, fake: Tensor, fake_scores: Tensor, judge_real: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self.fake = fake
        self.fake_scores = fake_scores
        self._judge_real = judge_real

    @cached_property
    def _judged_real(self) -> tuple[Tensor, Tensor]:
        return self._judge_real()

    @property
    def real(self) -> Tensor:
        return self._judged_real[0]

    @property
    def real_scores(self) -> Tensor:
        return self._judged_real[1]


@dataclass(frozen=True)
class Objective(Part, ABC):
    """Losses, penalty, constraint and hyperparameters of one GAN objective.

    Class attributes:
        differentiates: the images for which `penalty` needs gradients of their scores: "real", "fake", both or none.
            They become leaves of the autograd graph, so that the penalty shares the forward pass of the loss.
        estimates_wasserstein: whether the discriminator's loss, negated, estimates the Wasserstein distance
            between real and generated images (up to the critic's Lipschitz constant).

    Attributes:
        n_critic: discriminator steps per generator step; an objective that needs several declares it as a field.
    """

    differentiates: ClassVar[tuple[str, ...]] = ()
    estimates_wasserstein: ClassVar[bool] = False
    n_critic: int = 1

    @abstractmethod
    def discriminator_loss(self, pair: JudgedPair) -> Tensor:
        """Return the discriminator's loss, a scalar without any penalty."""

    @abstractmethod
    def generator_loss(self, pair: JudgedPair) -> Tensor:
        """Return the generator's loss, a scalar."""

    def penalty(self, pair: JudgedPair, discriminator: nn.Module) -> Tensor | None:
        """Return a term to add to the discriminator's loss, or None."""
        return None

    def constrain(self, discriminator: nn.Module) -> None:
        """Bring the discriminator's weights back into the allowed set, after each of its steps."""

    def check(self, discriminator: nn.Module) -> None:
        """Raise `InputError` for a discriminator that this objective cannot train."""

    @abstractmethod
    def loss_limit(self, shape: tuple[int, ...]) -> float:
        """Return the largest plausible |loss| for data of this shape.

        A training whose loss exceeds it has diverged.
        """

    def dominated(self, d_loss: float, g_loss: float) -> bool:
        """Tell whether the discriminator wins so clearly that the generator gets no useful gradient."""
        return False
