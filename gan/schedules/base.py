"""What the trainer asks of a schedule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from gan.settings import Part


@dataclass(frozen=True)
class Schedule(Part, ABC):
    """How the learning rates change during a training.

    A schedule is a pure function of the images shown, so that a resumed training follows it exactly.
    """

    @abstractmethod
    def factor(self, images: int, total: int) -> float:
        """Return what the rates are multiplied by.

        Args:
            images: real images shown so far.
            total: real images that the whole training shows.
        """
