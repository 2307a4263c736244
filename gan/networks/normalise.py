"""Normalisation between layers, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

NORMS = ("batch", "layer", "none")
NORM_HELP = "normalisation between the discriminator's layers: batch, layer (as wgan-gp wants it) or none"

keras_batch_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
"""Batch norm with Keras' defaults. Keras' momentum of 0.99 is 0.01 in PyTorch."""


def normalisation(kind: str, channels: int, batch_norm: Callable[[int], nn.Module]) -> list[nn.Module]:
    """Return the layer, if any, that normalises feature maps N×C×H×W.

    Layer norm is over all features of one image, with a scale and an offset for each channel (Ba et al. 2016,
    arXiv:1607.06450; the code of Gulrajani et al. 2017 does the same). This is a group norm with one group: it depends
    neither on the image's size nor on other images.

    Args:
        kind: one of `NORMS`.
        channels: C.
        batch_norm: makes a batch norm from a number of channels.
    """
    makers: dict[str, Callable[[int], nn.Module]] = {"batch": batch_norm, "layer": partial(nn.GroupNorm, 1)}
    return [makers[kind](channels)] if kind in makers else []
