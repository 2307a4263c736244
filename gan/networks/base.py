"""What the rest asks of a family of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan.settings import Part

WITH_KERNEL = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers whose weight is a kernel: convolutions, transposed ones, dense layers."""


@dataclass(frozen=True)
class Family(Part, ABC):
    """A generator and a discriminator that belong together, at any size the family can make.

    Images (or vectors) are in [-1, 1] at its boundary. Parameters that do not require gradients, and layers that are
    in evaluation mode, stay so during training.
    """

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

    def shape(self, size: int, channels: int) -> tuple[int, ...]:
        """Return the shape of a row of a size: a square image, unless a family makes something else."""
        return size, size, channels


def trainable_parameters(network: nn.Module) -> int:
    """Return how many trainable numbers a network has."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def kernel(layer: nn.Module) -> Tensor:
    """Return the trainable weight of a convolution or dense layer.

    Under a parametrization, such as spectral norm, `layer.weight` is computed from it at every access.
    """
    weight: Tensor = layer.get_parameter(
        "parametrizations.weight.original" if parametrize.is_parametrized(layer, "weight") else "weight"
    )
    return weight


def kernels(network: nn.Module) -> list[Tensor]:
    """Return the trainable weights of a network's convolutions and dense layers: no bias, no normalisation.

    By the kind of layer, not by the number of dimensions: a layer norm's scale may have as many.
    """
    return [kernel(module) for module in network.modules() if isinstance(module, WITH_KERNEL)]
