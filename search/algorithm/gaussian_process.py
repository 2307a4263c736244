"""A Gaussian process over settings, of scores that are seen before the end of their trials.

Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", algorithm 2.1, with the Matérn 5/2 kernel that
Snoek, Larochelle & Adams 2012 (arXiv:1206.2944) take for hyperparameters, and expected improvement (Jones, Schonlau &
Welch 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata


def normal_quantiles(scores: np.ndarray) -> np.ndarray:
    """Return what normally distributed values of the same ranks would be: no score is far from the others then.

    Equal ones, as those of lost trials are, share the mean of their ranks.
    """
    quantiles: np.ndarray = ndtri((rankdata(scores) - 0.5) / len(scores))
    return quantiles


@dataclass(frozen=True)
class Kernel:
    """Of scores before and at the end: where they end, and how they fall, each Matérn 5/2 over settings.

    The variances are those of the highest likelihood over recorded trials (`python benchmarks/learn_kernel.py`), whose
    scores are normal quantiles.

    Attributes:
        lengths: of each axis, in its units.
        end, fall: variances of what settings explain of the end, and of the fall from the first report to it.
        trial, noise: variances of what they do not: common to a trial's scores, and of each of them.
    """

    lengths: np.ndarray
    end: float = 1.6
    fall: float = 1.9
    trial: float = 0.02
    noise: float = 0.09

    def between(self, one: np.ndarray, left: np.ndarray, other: np.ndarray, others_left: np.ndarray) -> np.ndarray:
        """Return the covariances [N, M] of points [N, axes] and [M, axes], seen with so much left [N], [M]."""
        scaled, others = one / self.lengths, other / self.lengths
        squares = (scaled**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * scaled @ others.T
        distance = np.sqrt(5 * np.maximum(squares, 0.0))
        alike = (1 + distance + distance**2 / 3) * np.exp(-distance)
        covariance: np.ndarray = alike * (self.end + self.fall * np.outer(left, others_left))
        return covariance


class Model:
    """The Gaussian process, given what was seen.

    Args:
        points: [N, axes].
        left: [N]; see `Observations`.
        trials: [N]; whose scores these are.
        values: [N], or [N, kinds] of several at once; lower is better.
    """

    def __init__(
        self, kernel: Kernel, points: np.ndarray, left: np.ndarray, trials: np.ndarray, values: np.ndarray
    ) -> None:
        self._kernel, self._points, self._left, self._trials, self._values = kernel, points, left, trials, values
        covariance = kernel.between(points, left, points, left) + kernel.trial * (trials[:, None] == trials[None])
        self._factor = cho_factor(covariance + kernel.noise * np.eye(len(points)), lower=True)
        self._weights = cho_solve(self._factor, values)

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Return what trials with these settings are expected to end at."""
        found: np.ndarray = self._across(points) @ self._weights
        return found

    def fantasize(self, points: np.ndarray) -> Model:
        """Return the model as it would be if what it expects at these points had been seen."""
        count = len(points)
        return Model(
            self._kernel,
            np.concatenate([self._points, points]),
            np.concatenate([self._left, np.zeros(count)]),
            np.concatenate([self._trials, -1 - np.arange(count)]),
            np.concatenate([self._values, self.mean(points)]),
        )

    def expected_improvement(self, points: np.ndarray, best: float) -> np.ndarray:
        """Return how far each point is expected to end below `best`."""
        across = self._across(points)
        reduced = solve_triangular(self._factor[0], across.T, lower=True)
        deviation = np.sqrt(np.maximum(self._kernel.end - (reduced**2).sum(0), 1e-9))
        fall = best - across @ self._weights
        share = fall / deviation
        improvement: np.ndarray = fall * ndtr(share) + deviation * np.exp(-0.5 * share**2) / math.sqrt(2 * math.pi)
        return improvement

    def _across(self, points: np.ndarray) -> np.ndarray:
        return self._kernel.between(points, np.zeros(len(points)), self._points, self._left)
