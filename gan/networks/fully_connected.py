"""Small fully connected networks, for data other than images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from gan.errors import InputError
from gan.networks.base import Family, dropout_parameter
from gan.networks.initialise import INITIALISATIONS, initialise
from gan.settings import parameter


@dataclass(frozen=True)
class FullyConnected(Family):
    """Vectors of any length: `depth` hidden layers in each network, with ReLU in the generator and LeakyReLU in D."""

    width_g: int = parameter(64, "units of each of the generator's hidden layers", minimum=1)
    width_d: int = parameter(64, "units of each of the discriminator's hidden layers", minimum=1)
    depth: int = parameter(2, "hidden layers of generator and discriminator each", minimum=1, maximum=64)
    dropout: float = dropout_parameter()
    init: str = parameter("he-normal", "how fresh kernels are drawn", choices=tuple(INITIALISATIONS))

    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        layers: list[nn.Module] = []
        for inner, outer in pairwise([latent_dim, *[self.width_g] * self.depth]):
            layers += [nn.Linear(inner, outer), nn.ReLU(inplace=True)]
        return initialise(nn.Sequential(*layers, nn.Linear(self.width_g, _length(shape)), nn.Tanh()), self.init)

    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        layers: list[nn.Module] = []
        for inner, outer in pairwise([_length(shape), *[self.width_d] * self.depth]):
            layers += [nn.Linear(inner, outer), nn.LeakyReLU(0.2, inplace=True)]
            layers += [nn.Dropout(self.dropout)] if self.dropout > 0 else []
        return initialise(nn.Sequential(*layers, nn.Linear(self.width_d, 1), nn.Flatten(0)), self.init)

    def shape(self, size: int, channels: int) -> tuple[int, ...]:
        return (size,)


def _length(shape: tuple[int, ...]) -> int:
    if len(shape) != 1:
        raise InputError(f"network fully-connected makes vectors, not data of shape {'×'.join(map(str, shape))}")
    return shape[0]
