"""The interface of a network family, and helpers for the weights of its layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gan.errors import InputError
from gan.settings import Part, Range, parameter

WITH_KERNEL = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers whose weight is a kernel: convolutions, transposed convolutions, dense layers."""


@dataclass(frozen=True)
class Family(Part, ABC):
    """A generator and a discriminator that belong together, at every image size that the family supports.

    Generated and judged images (or vectors) are in [-1, 1]. Training leaves parameters that do not require gradients,
    and layers in evaluation mode, as they are.
    """

    @abstractmethod
    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        """Return an initialised network from latents N×latent_dim to images N×C×H×W in [-1, 1].

        Args:
            shape: (height, width, channels) of an image.

        Raises:
            InputError: this family cannot generate that shape; the message names the shapes that it can.
        """

    @abstractmethod
    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        """Return an initialised network from images N×C×H×W to raw scores, shape [N]."""

    def shape(self, size: int, channels: int) -> tuple[int, ...]:
        """Return the shape of one row of data of this size: a square image, unless the family generates other data."""
        return size, size, channels


def dropout_parameter() -> Any:
    """Declare the setting `dropout`, which all families have in common."""
    explanation = "dropout after each of the discriminator's activations"
    return parameter(0.0, explanation, minimum=0.0, maximum=0.9, search=Range(0.0, 0.5))


def trainable_parameters(network: nn.Module) -> int:
    """Return a network's number of trainable parameters."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def kernel(layer: nn.Module) -> Tensor:
    """Return the trainable weight of a convolution or dense layer.

    Under a parametrization, such as spectral norm, each access to `layer.weight` computes it from this weight.

    Raises:
        InputError: the layer computes its weight from several tensors, or in a forward hook.
    """
    weights = dict(layer.named_parameters())
    for name in ("weight", "parametrizations.weight.original"):
        if name in weights:
            return weights[name]
    raise InputError(
        f"{type(layer).__name__}: its weight cannot be initialised, clipped or penalised: use a norm of"
        " torch.nn.utils.parametrizations that keeps one weight, such as spectral_norm"
    )


def kernels(network: nn.Module) -> list[Tensor]:
    """Return the trainable weights of a network's convolutions and dense layers: no bias, no normalisation.

    Weights are chosen by layer type, not by their number of dimensions: a layer norm's scale may have as many.
    """
    return [kernel(module) for module in network.modules() if isinstance(module, WITH_KERNEL)]
