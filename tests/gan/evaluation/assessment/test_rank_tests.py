"""Tests by rank against counting, and against what they promise: a false alarm as rarely as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from gan.evaluation.assessment.rank_tests import rank_z, tail


def test_the_tails_probability_is_that_of_all_orders() -> None:
    # All ways in which 3 values and 4 others can lie, each as likely: count those with as many below.
    from itertools import combinations

    values, against = np.array([0.5, 1.5, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])
    found = tail(values, against, few=0.5)
    assert (found.share, found.expected) == (2 / 3, 2 / 5)
    counts = []
    for places in combinations(range(7), 3):
        others = [place for place in range(7) if place not in places]
        counts.append(sum(place < others[1] for place in places))
    assert found.p_value == pytest.approx(np.mean(np.array(counts) >= 2))


def test_alarms_are_as_rare_as_promised() -> None:
    random = np.random.default_rng(0)
    draws = [tail(random.normal(size=200), random.normal(size=100)) for _ in range(400)]
    assert np.mean([found.p_value < 0.05 for found in draws]) < 0.08
    assert np.mean([found.share for found in draws]) == pytest.approx(draws[0].expected, rel=0.25)


def test_a_small_share_of_small_values_is_found() -> None:
    random = np.random.default_rng(0)
    values, against = random.uniform(1, 2, 1000), random.uniform(1, 2, 1000)
    values[:50] = 0.1
    found = tail(values, against)
    assert found.p_value < 1e-4
    assert abs(rank_z(values, against)) < 3.3  # which the ranks of all do not show


def test_ties_are_in_no_order() -> None:
    against = np.array([0.0] * 5 + [1.0] * 95)
    assert tail(np.array([0.0] * 50 + [1.0] * 50), against).share == 0.5
    assert tail(np.ones(100), against).share == 0.0
    equal = tail(np.zeros(10), np.zeros(100))
    assert (equal.share, equal.expected, equal.p_value) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.5])
def test_z_is_mann_whitneys(shift: float) -> None:
    random = np.random.default_rng(1)
    values, against = random.normal(shift, 1, 80).round(1), random.normal(0, 1, 120).round(1)
    theirs = mannwhitneyu(values, against, alternative="less", method="asymptotic", use_continuity=False)
    from scipy.stats import norm

    assert norm.cdf(rank_z(values, against)) == pytest.approx(theirs.pvalue, rel=1e-6)
    assert rank_z(np.ones(5), np.ones(7)) == 0.0
