"""A Gaussian process over settings. Its observations are scores at the end of trials, or before it.

The algorithm is 2.1 of Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning". The kernel is Matérn 5/2,
as Snoek, Larochelle & Adams 2012 (arXiv:1206.2944) recommend for hyperparameters. The acquisition is expected
improvement (Jones, Schonlau & Welch 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

TRUST_DEVIATION = 0.5
"""Standard deviation of a prior's weight before any trial."""


def normal_quantiles(scores: np.ndarray) -> np.ndarray:
    """Return the normal quantiles of the scores' ranks, so that no score is an outlier.

    Equal scores, such as those of lost trials, share their mean rank.
    """
    quantiles: np.ndarray = ndtri((rankdata(scores) - 0.5) / len(scores))
    return quantiles


def matern(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Matérn 5/2 correlations [N, M] of points `a` [N, axes] and `b` [M, axes], in length scales."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distance = np.sqrt(5 * np.maximum(squares, 0.0))
    correlations: np.ndarray = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return correlations


@dataclass(frozen=True)
class Kernel:
    """The covariance of scores: final score plus remaining fall, each Matérn 5/2 over settings.

    The variances maximise the likelihood of recorded trials (`python benchmarks/learn_kernel.py`), whose scores are
    given as normal quantiles.

    Attributes:
        length_scales: length scale of each axis, in the axis' units.
        end, fall: variances that settings explain: of the final score, and of the fall from the first report to it.
        trial, noise: variances that settings do not explain: common to all scores of one trial, and of each score.
    """

    length_scales: np.ndarray
    end: float = 1.6
    fall: float = 1.9
    trial: float = 0.02
    noise: float = 0.09

    def covariance(self, a: np.ndarray, a_remaining: np.ndarray, b: np.ndarray, b_remaining: np.ndarray) -> np.ndarray:
        """Return covariances [N, M] of points `a` [N, axes] and `b` [M, axes], given their remaining training."""
        alike = matern(a / self.length_scales, b / self.length_scales)
        covariance: np.ndarray = alike * (self.end + self.fall * np.outer(a_remaining, b_remaining))
        return covariance


class Model:
    """The Gaussian process, conditioned on observations.

    Args:
        points: coordinates of the settings [N, axes].
        remaining: remaining training [N], as in `Observations`.
        trials: index of the trial that each score belongs to [N].
        values: scores [N], or [N, kinds] for several kinds at once; lower is better.
        expected: what a prior expects these scores to be [N]; None: nothing is known beforehand.

    Attributes:
        trust: weight of the prior's means. It is their regression coefficient, given that it is 1 ± `TRUST_DEVIATION`
            beforehand, and no less than 0: a prior that ranks these scores badly fades.
    """

    def __init__(
        self,
        kernel: Kernel,
        points: np.ndarray,
        remaining: np.ndarray,
        trials: np.ndarray,
        values: np.ndarray,
        expected: np.ndarray | None = None,
    ) -> None:
        self._kernel, self._points, self._remaining = kernel, points, remaining
        self._trials, self._values, self._expected = trials, values, expected
        same_trial = trials[:, None] == trials[None]
        covariance = kernel.covariance(points, remaining, points, remaining) + kernel.trial * same_trial
        self._factor = cho_factor(covariance + kernel.noise * np.eye(len(points)), lower=True)
        self.trust = 0.0
        if expected is not None:
            solved = cho_solve(self._factor, expected)
            precision = TRUST_DEVIATION**-2
            self.trust = max(0.0, float((solved @ values + precision) / (solved @ expected + precision)))
            values = values - self.trust * expected
        self._weights = cho_solve(self._factor, values)

    def mean(self, points: np.ndarray, expected: np.ndarray | float = 0.0) -> np.ndarray:
        """Return the expected final score at these points, given what the prior expects."""
        mean: np.ndarray = self._cross_covariance(points) @ self._weights + self.trust * expected
        return mean

    def fantasize(self, points: np.ndarray, expected: np.ndarray | None = None) -> Model:
        """Return the model as if the expected final scores at these points had been observed."""
        count = len(points)
        return Model(
            self._kernel,
            np.concatenate([self._points, points]),
            np.concatenate([self._remaining, np.zeros(count)]),
            np.concatenate([self._trials, -1 - np.arange(count)]),
            np.concatenate([self._values, self.mean(points, 0.0 if expected is None else expected)]),
            None if self._expected is None or expected is None else np.concatenate([self._expected, expected]),
        )

    def expected_improvement(self, points: np.ndarray, best: float, expected: np.ndarray | float = 0.0) -> np.ndarray:
        """Return the expected improvement of each point's final score on `best`."""
        cross = self._cross_covariance(points)
        reduced = solve_triangular(self._factor[0], cross.T, lower=True)
        deviation = np.sqrt(np.maximum(self._kernel.end - (reduced**2).sum(0), 1e-9))
        gain = best - cross @ self._weights - self.trust * expected
        z = gain / deviation
        improvement: np.ndarray = gain * ndtr(z) + deviation * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        return improvement

    def _cross_covariance(self, points: np.ndarray) -> np.ndarray:
        return self._kernel.covariance(points, np.zeros(len(points)), self._points, self._remaining)
