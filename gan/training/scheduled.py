"""Values that follow a schedule."""

from __future__ import annotations

import torch
from torch import Tensor

from gan.errors import InputError
from gan.schedules import Schedule


class ScheduledValues:
    """Values that follow a schedule, as device tensors that are set in place before every cycle.

    A CUDA graph reads a tensor anew at every replay. A Python number would keep its value of the recording.

    Args:
        schedule: None keeps every value constant.
        device: where the values are used.
    """

    def __init__(self, schedule: Schedule | None, device: torch.device) -> None:
        self._schedule = schedule
        self._device = device
        self._values: list[tuple[Tensor, float]] = []

    def add(self, value: float) -> float | Tensor:
        """Return what stands for a value: the number itself if it is constant, else a tensor that follows it."""
        if self._schedule is None:
            return value
        # A GPU's fused optimisers take float32 rates; on a CPU a factor of 1 changes no bit.
        dtype = torch.float32 if self._device.type == "cuda" else torch.float64
        tensor = torch.tensor(value, dtype=dtype, device=self._device)
        self._values.append((tensor, value))
        return tensor

    def set(self, images: int, total: int | None) -> None:
        """Set all values for the moment after so many real images.

        Raises:
            InputError: the training's length `total` is not known.
        """
        if self._schedule is None:
            return
        if total is None:
            raise InputError("a schedule needs the training's length: set Trainer.total_images before training")
        factor = self._schedule.factor(images, total)
        for tensor, value in self._values:
            tensor.fill_(value * factor)
