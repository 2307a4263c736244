"""The distance at infinitely many samples, where the true one is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan.evaluation.assessment.extrapolation import POINTS, _line, extrapolate


def gaussian(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_takes_away_what_few_samples_add(shift: float) -> None:
    true = 8 * shift**2
    found = [extrapolate(gaussian(400, seed, shift), gaussian(400, seed + 100)) for seed in range(20)]
    limits = np.array([each.limit for each in found if each is not None])
    measured = np.array([each.distances[-1] for each in found if each is not None])
    assert len(limits) == 20
    # Over many draws the bias shows: about half a standard error against several.
    assert abs(limits.mean() - true) < 0.35 * abs(measured.mean() - true)


def test_a_straight_line_is_found_exactly() -> None:
    sizes = [100, 200, 400, 800]
    line = _line(sizes, [3.0 + 50 / size for size in sizes])
    assert line.limit == pytest.approx(3.0) and line.error == pytest.approx(0, abs=1e-9)


def test_is_the_same_every_time_and_leaves_random_streams_alone() -> None:
    stream = torch.get_rng_state()
    first, second = (extrapolate(gaussian(100, 0), gaussian(90, 1), seed=4) for _ in range(2))
    assert first is not None and second is not None and first == second
    assert len(first.sizes) == POINTS and max(first.sizes) == 90 and min(first.sizes) == 18
    assert torch.equal(torch.get_rng_state(), stream)


def test_too_few_samples_for_the_features_give_nothing() -> None:
    assert extrapolate(gaussian(17, 0), gaussian(500, 1)) is None
    assert extrapolate(gaussian(18, 0), gaussian(500, 1)) is not None
