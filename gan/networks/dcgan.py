"""The DCGAN family (Radford, Metz & Chintala 2016): strided 4×4 convolutions and batch norm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from gan.networks.base import Family, dropout_parameter
from gan.networks.convolution import Conv2d, ConvTranspose2d
from gan.networks.initialise import INITIALISATIONS, initialise
from gan.networks.normalise import NORM_HELP, NORMS, normalisation
from gan.networks.sizes import doublings
from gan.settings import parameter

POOLS: dict[str, type[nn.Module]] = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}


@dataclass(frozen=True)
class DCGAN(Family):
    """Images of side b·2^k: the latent becomes b×b, then k transposed convolutions each double the side.

    At 64×64 (b = 4, k = 4) with width 64 it is the network of the PyTorch DCGAN tutorial: 3,576,704 and 2,765,568
    parameters. With `width_g` 128 it has Radford's 1024-512-256-128 generator.
    """

    width_g: int = parameter(64, "channels of the generator's last hidden layer; doubles inwards", minimum=1)
    width_d: int = parameter(64, "channels of the discriminator's first layer; doubles inwards", minimum=1)
    dropout: float = dropout_parameter()
    norm_d: str = parameter("batch", NORM_HELP, choices=NORMS)
    pooling: str = parameter(
        "none",
        "how the discriminator's layers after the first halve the image: by stride (none), or by pooling after 3×3",
        choices=("none", *POOLS),
    )
    init: str = parameter("normal-0.02", "how fresh kernels are drawn", choices=tuple(INITIALISATIONS))

    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        base, steps, channels = doublings("dcgan", shape)
        return initialise(Generator(base, steps, channels, self.width_g, latent_dim), self.init)

    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        base, halvings, channels = doublings("dcgan", shape)
        return initialise(Discriminator(base, halvings, channels, self), self.init)


class Generator(nn.Module):
    """Latents N×latent_dim → images N×C×H×W in [-1, 1]."""

    def __init__(self, base: int, steps: int, channels: int, width: int, latent_dim: int) -> None:
        super().__init__()
        widths = [width * 2**step for step in reversed(range(steps))]
        layers: list[nn.Module] = [ConvTranspose2d(latent_dim, widths[0], base, bias=False)]
        for inner, outer in pairwise([*widths, channels]):
            layers += [nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
            layers += [ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.layers(latents[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Images N×C×H×W in [-1, 1] → raw scores [N]. Neither the first layer nor the score is normalised."""

    def __init__(self, base: int, halvings: int, channels: int, family: DCGAN) -> None:
        super().__init__()
        widths = [family.width_d * 2**step for step in range(halvings)]
        layers: list[nn.Module] = []
        for depth, (inner, outer) in enumerate(pairwise([channels, *widths])):
            pooled = depth > 0 and family.pooling in POOLS
            kernel, stride = (3, 1) if pooled else (4, 2)
            layers += [Conv2d(inner, outer, kernel, stride, 1, bias=False)]
            layers += normalisation(family.norm_d, outer, nn.BatchNorm2d) if depth > 0 else []
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            layers += [POOLS[family.pooling](2)] if pooled else []
            layers += [nn.Dropout(family.dropout)] if family.dropout > 0 else []
        self.layers = nn.Sequential(*layers, Conv2d(widths[-1], 1, base, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores.flatten()
