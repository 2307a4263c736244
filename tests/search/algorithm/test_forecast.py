"""Forecasts: a ratio with its interval, from cases that are more or less alike."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.algorithm.forecast import forecast


def test_it_is_students_prediction_for_one_case_more() -> None:
    logs = [-1.0, -1.2, -0.8, -1.4]
    found = forecast(logs)
    assert found is not None and found.level == 0.8
    assert found.ratio == pytest.approx(math.exp(-1.1))
    # Student's t with three degrees of freedom: 80% lie within 1.6377 deviations.
    half = 1.6377 * float(np.std(logs, ddof=1)) * math.sqrt(5 / 4)
    assert (found.low, found.high) == pytest.approx((math.exp(-1.1 - half), math.exp(-1.1 + half)), rel=1e-4)


def test_no_ratio_is_above_one() -> None:
    found = forecast([0.0, -0.1, 0.0])
    assert found is not None and found.low < found.ratio < found.high == 1.0


def test_cases_that_are_more_alike_count_more() -> None:
    found = forecast([-2.0, -2.1, -1.9, -0.1], [1.0, 1.0, 1.0, 0.1])
    assert found is not None and found.ratio < math.exp(-1.8)


@pytest.mark.parametrize("weights", [None, [0.0, 0.0], [1.0, 1e-9, 1e-9, 1e-9]])
def test_too_few_cases_tell_nothing(weights: list[float] | None) -> None:
    assert forecast([-1.0] * len(weights or [1, 2]), weights) is None
