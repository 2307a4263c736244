"""The networks of Cheng, "A Comparison of Different Methods of Face Image Generation".

They consist of nearest-neighbour upsampling and 3×3 convolutions, with Keras' padding and batch norm. Images are in
[0, 1] inside the networks, and in [-1, 1] outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from gan.networks.base import Family, dropout_parameter
from gan.networks.initialise import INITIALISATIONS, initialise
from gan.networks.normalise import NORM_HELP, NORMS, keras_batch_norm, normalisation
from gan.networks.same_padding import SameConv2d
from gan.networks.sizes import multiple
from gan.networks.upsampled import UpsampledConv2d
from gan.settings import parameter

DOUBLINGS, HALVINGS = 4, 5


@dataclass(frozen=True)
class Upsampling(Family):
    """Images of side 16·k: a dense layer makes k×k, then four upsamplings each double the side.

    At 96×96 (k = 6) with a latent of length 200 it is the network of the report: 4,070,793 and 1,575,171 trainable
    parameters; 1,575,169 without the batch norm of the score.

    That batch norm makes the mean score of every discriminator batch one learnt number. Real and fake images must then
    share a batch (`d_batch: joint`). In separate batches both have the same mean score whatever the network learns, and
    the best that it can do is to give every image the same score.
    """

    width_g: int = parameter(128, "channels of the generator's last hidden layers; twice that before", minimum=1)
    width_d: int = parameter(32, "channels of the discriminator's first layer; doubles inwards", minimum=1)
    dropout: float = dropout_parameter()
    norm_d: str = parameter("batch", NORM_HELP, choices=NORMS)
    logit_norm: bool = parameter(True, "batch norm of the discriminator's score; a critic has none")
    init: str = parameter("he-normal", "how fresh kernels are drawn", choices=tuple(INITIALISATIONS))

    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        base, channels = multiple("upsampling", shape, 2**DOUBLINGS)
        return initialise(Generator(base, channels, self.width_g, latent_dim), self.init)

    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        base, channels = multiple("upsampling", shape, 2**DOUBLINGS)
        return initialise(Discriminator(base * 2**DOUBLINGS, channels, self), self.init)


class Generator(nn.Module):
    """Latents N×latent_dim → images N×C×H×W in [-1, 1].

    The report upsamples before batch norm and ReLU. Both treat the four equal pixels alike, so here they come first, at
    a quarter of the cost. The upsampled image is never stored.
    """

    def __init__(self, base: int, channels: int, width: int, latent_dim: int) -> None:
        super().__init__()
        widths = [2 * width] * DOUBLINGS + [width] * 2
        self.first = (widths[0], base, base)
        self.dense = nn.Linear(latent_dim, widths[0] * base * base)
        layers: list[nn.Module] = []
        for depth, (inner, outer) in enumerate(pairwise(widths)):
            layers += [UpsampledConv2d(inner, outer) if depth > 0 else SameConv2d(inner, outer, 3)]
            layers += [keras_batch_norm(outer), nn.ReLU(inplace=True)]
        layers += [SameConv2d(width, channels, 3), keras_batch_norm(channels)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        logits: Tensor = self.layers(self.dense(latents).unflatten(1, self.first))
        # A sigmoid, scaled from [0, 1] to [-1, 1]: 2σ(x) − 1 = tanh(x/2).
        return (logits / 2).tanh()


class Discriminator(nn.Module):
    """Images N×C×H×W in [-1, 1] → raw scores [N]."""

    def __init__(self, side: int, channels: int, family: Upsampling) -> None:
        super().__init__()
        widths = [family.width_d * 2**step for step in range(HALVINGS)]
        layers: list[nn.Module] = []
        for inner, outer in pairwise([channels, *widths]):
            layers += [SameConv2d(inner, outer, 3, 2), *normalisation(family.norm_d, outer, keras_batch_norm)]
            layers += [nn.LeakyReLU(0.1, inplace=True)]
            layers += [nn.Dropout(family.dropout)] if family.dropout > 0 else []
        final_side = -(-side // 2**HALVINGS)
        layers += [nn.Flatten(), nn.Linear(widths[-1] * final_side * final_side, 1)]
        layers += [nn.BatchNorm1d(1, eps=1e-3, momentum=0.01)] if family.logit_norm else []
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers((images + 1) / 2)
        return scores.flatten()
