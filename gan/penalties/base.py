"""What the trainer asks of a penalty that is not part of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from gan.objectives.base import JudgedPair
from gan.settings import Part


@dataclass(frozen=True)
class Penalty(Part, ABC):
    """A term added to the discriminator's loss, beside whatever penalty the objective has.

    Class attributes:
        differentiates: as of an objective.
    """

    differentiates: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def penalty(self, pair: JudgedPair, discriminator: nn.Module) -> Tensor:
        """Return the term, a scalar."""

    def check(self, discriminator: nn.Module) -> None:
        """Raise `InputError` for a discriminator that this penalty cannot be used with."""
