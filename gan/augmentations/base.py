"""What the trainer asks of an augmentation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn

from gan.objectives.base import JudgedPair
from gan.settings import Part


@dataclass(frozen=True)
class Augmentation(Part, ABC):
    """Transforms real and generated images before every look of the discriminator, in both steps.

    The generator learns through it, so that the transforms must be differentiable, and must not leak into the samples
    (Zhao et al. 2020, arXiv:2006.10738; Karras et al. 2020, arXiv:2006.06676).
    """

    @abstractmethod
    def module(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the transform, from images N×C×H×W in [-1, 1] to images of that shape.

        Each image gets draws of its own. Buffers are saved and restored with the training.

        Args:
            shape: (height, width, channels) of an image.

        Raises:
            InputError: data of this shape cannot be augmented so.
        """

    def adapt(self, module: nn.Module, pair: JudgedPair) -> None:
        """Change the module's buffers in place after a discriminator step, by what it said of the images."""
