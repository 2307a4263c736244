"""Optimisers, and the values that follow a schedule."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from gan.errors import InputError
from gan.recipe.training_settings import Training
from gan.schedules import Schedule
from gan.settings import Part

P = TypeVar("P", bound=Part)


def make_optimizer(
    kind: str, weights: Iterable[nn.Parameter], lr: float | Tensor, training: Training, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Return an optimiser.

    Args:
        kind: one of `OPTIMIZERS`.
        lr: a constant, or a tensor that follows a schedule.
        capturable: whether a CUDA graph will replay its steps.
    """
    weights, eps = list(weights), training.epsilon
    if kind == "adam":
        betas = (training.beta1, training.beta2)
        return torch.optim.Adam(weights, lr=lr, betas=betas, eps=eps, fused=True, capturable=capturable)
    if kind == "rmsprop":
        return torch.optim.RMSprop(weights, lr=lr, alpha=training.rho, eps=eps, foreach=True, capturable=capturable)
    # SGD counts no steps, so there is nothing on the host that a graph would leave out.
    return torch.optim.SGD(weights, lr=lr, momentum=training.momentum, fused=True)


class ScheduledValues:
    """Values that follow a schedule, as device tensors that are set in place before every cycle.

    A CUDA graph reads a tensor at every replay. A Python number would keep its value of the recording.

    Args:
        schedule: None keeps every value constant.
        device: where the values are used.
    """

    def __init__(self, schedule: Schedule | None, device: torch.device) -> None:
        self._schedule = schedule
        self._device = device
        self._values: list[tuple[Tensor, float]] = []

    def rate(self, value: float) -> float | Tensor:
        """Return what stands for a learning rate: the number itself if it is constant, else a tensor."""
        if self._schedule is None:
            return value
        # A GPU's fused optimisers take float32 rates; on a CPU a factor of 1 changes no bit.
        return self._add(value, torch.float32 if self._device.type == "cuda" else torch.float64)

    def part(self, part: P) -> P:
        """Return a part whose `scheduled` numbers follow the schedule."""
        if self._schedule is None or not part.scheduled:
            return part
        part = copy.copy(part)
        for name in part.scheduled:
            object.__setattr__(part, name, self._add(getattr(part, name), torch.float32))
        return part

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

    def _add(self, value: float, dtype: torch.dtype) -> Tensor:
        tensor = torch.tensor(value, dtype=dtype, device=self._device)
        self._values.append((tensor, value))
        return tensor
