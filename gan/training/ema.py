"""The exponential moving average of a network, which samples better than the network itself."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class EMA:
    """The exponential moving average of a network's weights, and of the statistics in its buffers.

    Weights that layers share are averaged once. Some buffers are copied instead: counts, buffers that are not saved
    with the network (masks, caches), and those of parametrizations, since an average of spectral norm's unit vectors
    has no unit length. Buffers are looked up at each step, as a layer may replace its own.

    Args:
        network: what is averaged; it is not changed.

    Attributes:
        average: the averaged network, in evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        self.average = copy.deepcopy(network).eval()
        self._averages, self._weights = list(self.average.parameters()), list(network.parameters())
        self._buffers = _buffers(network)
        self._layers = list(zip(self.average.modules(), network.modules(), strict=True))

    @torch.no_grad()
    def step(self, weight: float) -> None:
        """Move the average towards the network, by this share of the distance."""
        averages: list[Tensor] = [*self._averages]
        current: list[Tensor] = [*self._weights]
        for index, name, is_averaged in self._buffers:
            average, buffer = (getattr(layer, name) for layer in self._layers[index])
            if is_averaged:
                averages.append(average)
                current.append(buffer)
            else:
                average.copy_(buffer)
        torch._foreach_lerp_(averages, current, weight)


def _buffers(network: nn.Module) -> list[tuple[int, str, bool]]:
    """Return, for each buffer, its layer's index in `modules()`, its name, and whether it is averaged."""
    saved = network.state_dict().keys()
    buffers, seen = [], set[int]()
    for index, (path, layer) in enumerate(network.named_modules()):
        for name, buffer in layer.named_buffers(recurse=False):
            if id(buffer) not in seen:
                seen.add(id(buffer))
                full_name = f"{path}.{name}" if path else name
                is_averaged = full_name in saved and buffer.is_floating_point()
                buffers.append((index, name, is_averaged and ".parametrizations." not in f".{full_name}"))
    return buffers
