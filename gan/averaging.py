"""The moving average of a network, which samples better than the network itself."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Averaging:
    """Keeps the exponential moving average of a network: of its weights, and of buffers that are no counts.

    Weights that layers share are moved once. Weights are looked up once, buffers each time: a layer may replace its
    own, and one that is not saved with the network counts as well.

    Args:
        network: what is averaged, in place.

    Attributes:
        average: the network of averages, for evaluation.
    """

    def __init__(self, network: nn.Module) -> None:
        self.average = copy.deepcopy(network).eval()
        self._means, self._weights = list(self.average.parameters()), list(network.parameters())
        self._buffers = _places_of_buffers(network)
        self._buffer_means = list(self.average.buffers())

    @torch.no_grad()
    def follow(self, weight: float) -> None:
        """Move the average by a share of the way to where the network is now."""
        means: list[Tensor] = [*self._means]
        now: list[Tensor] = [*self._weights]
        for mean, (layer, name) in zip(self._buffer_means, self._buffers, strict=True):
            buffer = getattr(layer, name)
            if mean.is_floating_point():
                means.append(mean)
                now.append(buffer)
            else:
                mean.copy_(buffer)
        torch._foreach_lerp_(means, now, weight)


def _places_of_buffers(network: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return the layer and the name of each buffer, in the order of `buffers()`."""
    seen: set[int] = set()
    found = []
    for layer in network.modules():
        for name, buffer in layer.named_buffers(recurse=False):
            if id(buffer) not in seen:
                seen.add(id(buffer))
                found.append((layer, name))
    return found
