"""The DCGAN family (Radford, Metz & Chintala 2016): strided 4×4 convolutions and batch norm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from gan.errors import InputError
from gan.networks.base import Family
from gan.networks.convolution import Conv2d, ConvTranspose2d
from gan.networks.initialise import normal_002
from gan.settings import Range, parameter

SMALLEST_BASE, LARGEST_BASE = 4, 7


@dataclass(frozen=True)
class DCGAN(Family):
    """Images of b·2^k pixels a side: a latent becomes b×b, then k transposed convolutions double it.

    At 64×64 (b = 4, k = 4) with width 64 this is the network of the PyTorch DCGAN tutorial:
    3,576,704 and 2,765,568 parameters; with `width_g` 128, Radford's 1024-512-256-128 generator.
    """

    width_g: int = parameter(64, "channels of the generator's last hidden layer; doubles inwards", minimum=1)
    width_d: int = parameter(64, "channels of the discriminator's first layer; doubles inwards", minimum=1)
    dropout: float = parameter(
        0.0,
        "dropout after each of the discriminator's activations",
        minimum=0.0,
        maximum=0.9,
        search=Range(0.0, 0.5),
    )

    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        base, doublings, channels = _plan(shape)
        network = Generator(base, doublings, channels, self.width_g, latent_dim)
        normal_002(network)
        return network

    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        base, halvings, channels = _plan(shape)
        network = Discriminator(base, halvings, channels, self.width_d, self.dropout)
        normal_002(network)
        return network


def _plan(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Split an image's side into base · 2^steps; return (base, steps, channels).

    Raises:
        InputError: not a square image, or a side that is no such product.
    """
    if len(shape) != 3 or shape[0] != shape[1]:
        raise InputError(f"network dcgan makes square images, not data of shape {'×'.join(map(str, shape))}")
    base, steps = shape[0], 0
    while base % 2 == 0 and base // 2 >= SMALLEST_BASE:
        base, steps = base // 2, steps + 1
    if steps < 2 or base > LARGEST_BASE:
        raise InputError(
            f"network dcgan cannot make {shape[0]}×{shape[0]}: its sizes are 4, 5, 6 or 7 times 4, 8, 16, …"
            " (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, …)"
        )
    return base, steps, shape[2]


class Generator(nn.Module):
    """Latents N×latent_dim → images N×C×H×W in [-1, 1]."""

    def __init__(self, base: int, doublings: int, channels: int, width: int, latent_dim: int) -> None:
        super().__init__()
        widths = [width * 2**step for step in reversed(range(doublings))]
        layers: list[nn.Module] = [ConvTranspose2d(latent_dim, widths[0], base, bias=False)]
        for inner, outer in pairwise([*widths, channels]):
            layers += [nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
            layers += [ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.layers(latents[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Images N×C×H×W in [-1, 1] → raw scores [N]. No batch norm on the first layer or the score."""

    def __init__(self, base: int, halvings: int, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        widths = [width * 2**step for step in range(halvings)]
        layers: list[nn.Module] = []
        for depth, (inner, outer) in enumerate(pairwise([channels, *widths])):
            layers += [Conv2d(inner, outer, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(outer)] if depth > 0 else []
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            layers += [nn.Dropout(dropout)] if dropout > 0 else []
        self.layers = nn.Sequential(*layers, Conv2d(widths[-1], 1, base, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores.flatten()
