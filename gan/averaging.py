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
        self._buffers = _buffers(network)
        self._buffer_means = list(self.average.buffers())

    @torch.no_grad()
    def follow(self, weight: float) -> None:
        """Move the average by a share of the way to where the network is now."""
        buffers = [owner[name] for owner, name in self._buffers]
        pairs = list(zip(self._buffer_means, buffers, strict=True))
        moved = [pair for pair in pairs if pair[0].is_floating_point()]
        means, now = self._means + [mean for mean, _ in moved], self._weights + [buffer for _, buffer in moved]
        torch._foreach_lerp_(means, now, weight)
        for count, counted in pairs:
            if not count.is_floating_point():
                count.copy_(counted)


def _buffers(network: nn.Module) -> list[tuple[dict[str, Tensor | None], str]]:
    """Return where the buffers of a network are found, in the order of `buffers()`, each once."""
    seen: set[int] = set()
    found = []
    for module in network.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and id(buffer) not in seen:
                seen.add(id(buffer))
                found.append((module._buffers, name))
    return found
