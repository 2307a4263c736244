"""The moving average of a network, which samples better than the network itself."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class EMA:
    """Keeps the exponential moving average of a network: of its weights, and of the statistics in its buffers.

    Weights that layers share are moved once. Counts, and buffers that are not saved with the network (masks, caches),
    have no average: they are taken over. Buffers are looked up each time, since a layer may replace its own.

    Args:
        network: what is averaged; it is not changed.

    Attributes:
        average: the network of averages, for evaluation.
    """

    def __init__(self, network: nn.Module) -> None:
        self.average = copy.deepcopy(network).eval()
        self._means, self._weights = list(self.average.parameters()), list(network.parameters())
        self._buffers = _buffers(network)
        self._layers = list(zip(self.average.modules(), network.modules(), strict=True))

    @torch.no_grad()
    def follow(self, weight: float) -> None:
        """Move the average by a share of the way to where the network is now."""
        means: list[Tensor] = [*self._means]
        now: list[Tensor] = [*self._weights]
        for place, name, averaged in self._buffers:
            mean, buffer = (getattr(layer, name) for layer in self._layers[place])
            if averaged:
                means.append(mean)
                now.append(buffer)
            else:
                mean.copy_(buffer)
        torch._foreach_lerp_(means, now, weight)


def _buffers(network: nn.Module) -> list[tuple[int, str, bool]]:
    """Return of each buffer the place of its layer in `modules()`, its name, and whether it is averaged."""
    saved = network.state_dict().keys()
    found, seen = [], set[int]()
    for place, (path, layer) in enumerate(network.named_modules()):
        for name, buffer in layer.named_buffers(recurse=False):
            if id(buffer) not in seen:
                seen.add(id(buffer))
                full_name = f"{path}.{name}" if path else name
                found.append((place, name, full_name in saved and buffer.is_floating_point()))
    return found
