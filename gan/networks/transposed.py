"""The networks of Noe & Thapa 2019: transposed 3×3 convolutions in the generator, 5×5 convolutions in D.

They use Keras' defaults: TensorFlow's "same" padding, LeakyReLU of slope 0.3, batch norm with ε 1e-3 and momentum 0.99,
Glorot uniform kernels, and biases everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from gan.networks.base import Family, dropout_parameter
from gan.networks.initialise import INITIALISATIONS, initialise
from gan.networks.normalise import NORM_HELP, NORMS, keras_batch_norm, normalisation
from gan.networks.same_padding import SameConv2d, SameConvTranspose2d
from gan.networks.sizes import doublings
from gan.settings import parameter

LAYERS_D = 4


@dataclass(frozen=True)
class Transposed(Family):
    """Images of side b·2^k: a dense layer makes b×b, then k transposed convolutions each double the side.

    At 128×128 (b = 4, k = 5) with a latent of length 100 it is the network of the report: 4,740,611 and 4,340,097
    trainable parameters.
    """

    width_g: int = parameter(64, "channels of the generator's last hidden layer; doubles inwards", minimum=1)
    width_d: int = parameter(64, "channels of the discriminator's first layer; doubles inwards", minimum=1)
    dropout: float = dropout_parameter()
    norm_d: str = parameter("batch", NORM_HELP, choices=NORMS)
    init: str = parameter("glorot-uniform", "how fresh kernels are drawn", choices=tuple(INITIALISATIONS))

    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        base, steps, channels = doublings("transposed", shape)
        return initialise(Generator(base, steps, channels, self.width_g, latent_dim), self.init)

    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        base, steps, channels = doublings("transposed", shape)
        return initialise(Discriminator(base * 2**steps, channels, self), self.init)


class Generator(nn.Module):
    """Latents N×latent_dim → images N×C×H×W in [-1, 1].

    The order of activation and batch norm varies between layers, as in the report.
    """

    def __init__(self, base: int, steps: int, channels: int, width: int, latent_dim: int) -> None:
        super().__init__()
        hidden = [width * 2**step for step in reversed(range(steps - 1))]
        self.first = (hidden[0], base, base)
        self.dense = nn.Linear(latent_dim, hidden[0] * base * base)
        layers: list[nn.Module] = [keras_batch_norm(hidden[0])]
        for depth, (inner, outer) in enumerate(pairwise([hidden[0], *hidden])):
            layers += [SameConvTranspose2d(inner, outer, 3, 2)]
            layers += [_leaky()] if depth < 2 else []
            layers += [keras_batch_norm(outer)]
            layers += [_leaky()] if depth > 0 else []
        self.layers = nn.Sequential(*layers, SameConvTranspose2d(hidden[-1], channels, 3, 2), nn.Tanh())

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.layers(self.dense(latents).unflatten(1, self.first))
        return images


class Discriminator(nn.Module):
    """Images N×C×H×W in [-1, 1] → raw scores [N]. The last convolution has neither activation nor norm."""

    def __init__(self, side: int, channels: int, family: Transposed) -> None:
        super().__init__()
        widths = [family.width_d * 2**step for step in range(LAYERS_D)]
        layers: list[nn.Module] = []
        for depth, (inner, outer) in enumerate(pairwise([channels, *widths])):
            layers += [SameConv2d(inner, outer, 5, 2)]
            if depth < LAYERS_D - 1:
                layers += normalisation(family.norm_d, outer, keras_batch_norm) if depth > 0 else []
                layers += [_leaky()]
                layers += [nn.Dropout(family.dropout)] if family.dropout > 0 else []
        final_side = -(-side // 2**LAYERS_D)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * final_side * final_side, 1))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores.flatten()


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.3, inplace=True)
