"""Judged pairs made by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from gan.objectives import JudgedPair

NOTHING = torch.empty(0)


def judged(real_scores: Tensor, fake_scores: Tensor, real: Tensor = NOTHING, fake: Tensor = NOTHING) -> JudgedPair:
    """Return a pair with these scores and images."""
    return JudgedPair(fake, fake_scores, lambda: (real, real_scores))


def images_only(real: Tensor, fake: Tensor) -> JudgedPair:
    """Return a pair for penalties that do not look at scores."""
    return judged(NOTHING, NOTHING, real, fake)
