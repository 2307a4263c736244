"""The one place where the discriminator is asked during training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gan.objectives import JudgedPair


class Critic:
    """Augments images, then has the discriminator score them.

    Args:
        discriminator: from images to raw scores [N].
        augment: what images go through first, or None.
        joint: score real and generated images in one batch, so that they share batch-norm statistics.
    """

    def __init__(self, discriminator: nn.Module, augment: nn.Module | None, *, joint: bool) -> None:
        self.discriminator = discriminator
        self.augment = augment
        self._joint = joint
        self._trainable = [weight for weight in discriminator.parameters() if weight.requires_grad]

    def judge(self, real: Tensor, fake: Tensor, differentiate: tuple[str, ...] = ()) -> JudgedPair:
        """Judge a batch for the discriminator's step.

        Args:
            real, fake: images N×C×H×W; fake ones without a graph.
            differentiate: for which of them ("real", "fake") gradients of the scores will be wanted.
        """
        real, fake = self._see(real, "real" in differentiate), self._see(fake, "fake" in differentiate)
        if self._joint:
            scores = self._score(torch.cat([real, fake.to(real.dtype)]))
            real_scores, fake_scores = scores[: len(real)], scores[len(real) :]
        else:
            real_scores, fake_scores = self._score(real), self._score(fake)
        return JudgedPair(fake, fake_scores, lambda: (real, real_scores))

    def judge_generated(self, real: Tensor, fake: Tensor) -> JudgedPair:
        """Judge generated images for the generator's step, and real ones too if the loss reads them."""

        def judge_real() -> tuple[Tensor, Tensor]:
            seen = self._see(real)
            return seen, self._score(seen)

        fake = self._see(fake)
        return JudgedPair(fake, self._score(fake), judge_real)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Compute no gradients of the discriminator's weights, which halves the cost of the backward pass."""
        for weight in self._trainable:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self._trainable:
                weight.requires_grad_(True)

    def _see(self, images: Tensor, as_leaf: bool = False) -> Tensor:
        seen: Tensor = images if self.augment is None else self.augment(images)
        # Gradients of the scores come in the leaf's precision.
        return seen.detach().to(torch.promote_types(seen.dtype, torch.float32)).requires_grad_() if as_leaf else seen

    def _score(self, images: Tensor) -> Tensor:
        scores: Tensor = self.discriminator(images)
        return scores.float()
