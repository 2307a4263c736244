"""What the rest asks of a family of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn


@dataclass(frozen=True)
class Family(ABC):
    """A generator and a discriminator that belong together, at any size the family can make.

    A subclass is a frozen dataclass whose fields, made by `gan.settings.parameter`, are its
    hyperparameters. At its boundary every family speaks images in [-1, 1].
    """

    defaults: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        """Return an initialised network from latents N×latent_dim to images N×C×H×W in [-1, 1].

        Args:
            shape: (height, width, channels) of an image.

        Raises:
            InputError: this family cannot make that shape; the message says which it can.
        """

    @abstractmethod
    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        """Return an initialised network from images N×C×H×W to raw scores, shape [N]."""


def trainable_parameters(network: nn.Module) -> int:
    """Return how many trainable numbers a network has."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
