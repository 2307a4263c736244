"""Normalisation between layers, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

NORMS = ("batch", "layer", "none")
NORM_HELP = "normalisation between the discriminator's layers: batch, layer (as wgan-gp wants it) or none"

keras_batch_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
"""Batch norm with Keras' defaults; what Keras calls momentum 0.99 is 0.01 here."""


def normalisation(kind: str, channels: int, batch_norm: Callable[[int], nn.Module]) -> list[nn.Module]:
    """Return the layers, one or none, that normalise feature maps N×C×H×W.

    Layer norm is over all of one image's features, with a scale and an offset for each channel (Ba et al. 2016,
    arXiv:1607.06450; so in the code of Gulrajani et al. 2017), which is a group norm of one group: it needs no
    size, and no image meets another.

    Args:
        kind: one of `NORMS`.
        channels: C.
        batch_norm: makes the batch norm of so many channels.
    """
    makers: dict[str, Callable[[int], nn.Module]] = {"batch": batch_norm, "layer": partial(nn.GroupNorm, 1)}
    return [makers[kind](channels)] if kind in makers else []
