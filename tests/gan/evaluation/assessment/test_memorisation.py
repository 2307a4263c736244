"""Copies among features whose neighbours are known: what the whole of `evaluate` says is in `test_assessment`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan.evaluation.assessment.memorisation import Memorisation, memorisation

DOUBLED = 20


def rows(count: int, seed: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def nearly(features: Tensor, seed: int) -> Tensor:
    return features + 0.01 * rows(len(features), seed)


@pytest.fixture(scope="module")
def training() -> Tensor:
    """A set in which some are there twice, all but the same, as in many that people collect."""
    once = rows(2000, 0)
    return torch.cat([once, nearly(once[:DOUBLED], 1)])


def judged(generated: Tensor, training: Tensor) -> Memorisation:
    found = memorisation(generated, training, rows(400, 2))
    assert found is not None
    return found


def test_nobody_is_accused_because_some_images_are_there_twice(training: Tensor) -> None:
    assert judged(rows(600, 3), training).copies.p_value > 0.01


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_copies_of_images_that_are_there_twice_are_exposed(share: float, training: Tensor) -> None:
    copies = nearly(training[torch.arange(int(600 * share)) % DOUBLED], 4)
    generated = torch.cat([copies, rows(600 - len(copies), 5)])
    found = judged(generated, training)
    assert found.copies.share > 0.9 * share
    assert found.copies.p_value < 1e-9
