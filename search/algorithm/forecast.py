"""What is expected of a distance beforehand: as a multiple of another one, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.8
"""Probability of the interval."""
FEWEST = 3
"""Cases that a forecast is taken from, at least."""


class Forecast(NamedTuple):
    """A ratio of two distances, of which the first never is the larger one.

    Attributes:
        ratio: that is expected.
        low, high: of the interval that holds it with the probability `level`.
    """

    ratio: float
    low: float
    high: float
    level: float = LEVEL

    @classmethod
    def of(cls, mean: float, half: float) -> Forecast:
        """Return the forecast of a ratio whose logarithm is expected to be `mean` ± `half`."""
        ratio, low, high = (math.exp(min(0.0, mean + side * half)) for side in (0, -1, 1))
        return cls(ratio, low, high)


def forecast(logs: Sequence[float], weights: Sequence[float] | None = None) -> Forecast | None:
    """Return the ratio that cases like the next one tell of, with Student's prediction interval for one case more.

    Args:
        logs: logarithms of the cases' ratios.
        weights: how much alike each case is; equally if not given.

    Returns:
        None if the cases are too few.
    """
    # Imported here: a report must be there at once.
    from scipy.special import stdtrit

    values = np.asarray(logs, float)
    shares = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    if not shares.sum() > 0:
        return None
    shares = shares / shares.sum()
    # Kish's number of cases of equal weight that would tell as much.
    cases = 1 / float((shares**2).sum())
    if cases < FEWEST - 1e-9:
        return None
    mean = float(shares @ values)
    variance = float(shares @ (values - mean) ** 2) * cases / (cases - 1)
    half = float(stdtrit(cases - 1, (1 + LEVEL) / 2)) * math.sqrt(variance * (1 + 1 / cases))
    return Forecast.of(mean, half)
