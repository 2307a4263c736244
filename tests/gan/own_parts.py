"""Parts that plug into the trainer's seams: those of docs/extending.md, and some that only tests need."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from doc_pages import ROOT, blocks
from torch import Tensor, nn

from gan.augmentations import AUGMENTATIONS
from gan.extend import Augmentation, JudgedPair, Penalty, parameter
from gan.networks import FAMILIES
from gan.networks.dcgan import DCGAN
from gan.objectives import OBJECTIVES
from gan.penalties import PENALTIES
from gan.registry import Registry
from gan.schedules import SCHEDULES

PACKAGE = "my_parts"


@dataclass(frozen=True)
class ZeroCentred(Penalty):
    """R1 on real and R2 on generated images (Roth et al. 2017, arXiv:1705.09367; Mescheder et al. 2018)."""

    differentiates = ("real", "fake")
    scheduled = ("weight",)
    weight: float = parameter(0.5, "weight of the penalty", minimum=0.0)

    def penalty(self, pair: JudgedPair, discriminator: nn.Module) -> Tensor:
        images, scores = (pair.real, pair.fake), pair.real_scores.sum() + pair.fake_scores.sum()
        gradients = torch.autograd.grad(scores, images, create_graph=True)
        return self.weight / 2 * torch.stack([each.flatten(1).square().sum(1).mean() for each in gradients]).sum()


@dataclass(frozen=True)
class Clashing(ZeroCentred):
    batch: int = parameter(7, "a name that the training has already", minimum=1)


class Stamp(nn.Module):
    """Sets one corner pixel of every image to a value that no network makes."""

    def forward(self, images: Tensor) -> Tensor:
        mark = torch.zeros_like(images)
        mark[:, :, 0, 0] = 3.0
        return images * (mark == 0) + mark


@dataclass(frozen=True)
class Stamped(Augmentation):
    def module(self, shape: tuple[int, ...]) -> nn.Module:
        return Stamp()


class Dimmer(nn.Module):
    """Scales images by 1 − strength."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("strength", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return images * (1 - self.strength)


@dataclass(frozen=True)
class Adaptive(Augmentation):
    """Raises its strength while real images score above 0, as ADA does (Karras et al. 2020, arXiv:2006.06676)."""

    def module(self, shape: tuple[int, ...]) -> nn.Module:
        return Dimmer()

    def adapt(self, module: nn.Module, pair: JudgedPair) -> None:
        strength = module.get_buffer("strength")
        strength.add_(0.01 * pair.real_scores.sign().mean()).clamp_(0, 0.5)


@dataclass(frozen=True)
class PartlyFrozen(DCGAN):
    """DCGAN whose discriminator keeps its first convolution, and the statistics of its first batch norm."""

    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        network = super().discriminator(shape)
        next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d)).requires_grad_(False)
        next(layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)).eval()
        return network


OWN: tuple[tuple[Registry, dict[str, str]], ...] = (
    (OBJECTIVES, {"relativistic": f"{PACKAGE}.relativistic:Relativistic"}),
    (PENALTIES, {"zero-centred": "own_parts:ZeroCentred"}),
    (
        AUGMENTATIONS,
        {"shift": f"{PACKAGE}.shift:Shift", "stamp": "own_parts:Stamped", "adaptive": "own_parts:Adaptive"},
    ),
    (SCHEDULES, {"linear": f"{PACKAGE}.linear:Linear"}),
    (FAMILIES, {"residual": f"{PACKAGE}.residual:Residual", "partly-frozen": "own_parts:PartlyFrozen"}),
)


def write_package(folder: Path) -> None:
    """Write the example package of docs/extending.md into a folder."""
    for block in blocks(ROOT / "docs" / "extending.md"):
        if block.file and block.file.endswith(".py"):
            place = folder / Path(block.file).relative_to("my-parts")
            place.parent.mkdir(exist_ok=True)
            place.write_text(block.text)


def register(folder: str) -> None:
    """Make all of these parts known in this process; `folder` holds the package."""
    sys.path.insert(0, folder)
    for registry, entries in OWN:
        registry._entries |= entries


def unregister(folder: str) -> None:
    sys.path.remove(folder)
    for registry, entries in OWN:
        for name in entries:
            del registry._entries[name]
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
