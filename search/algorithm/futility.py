"""Futility: stop a trial that is unlikely to reach the best score in its remaining training.

ASHA compares a trial with all trials that reached the same rung. The rungs keep the random draws of the beginning, so
that more and more proposals pass them as the search learns, although only the best score counts in the end. A trial is
therefore also stopped when its remaining training is unlikely to bring it to the best.

This pays early in a search. Later, fewer trials come near the best, and those that do are exceptions to how scores
usually fall. A trial that trains to its end then teaches the search more than a new trial that is stopped. So the rule
is off once more than `MAX_TRIALS` trials have reported (the figures are in `benchmarks/README.md`).

The idea is from Domhan, Springenberg & Hutter 2015 ("Speeding up automatic hyperparameter optimization of deep neural
networks by extrapolation of learning curves", IJCAI), but no form of curve is assumed. How scores fall is estimated
from the other trials of the sweep.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort

from gan.settings import to_images

MIN_TRIALS = 4
"""How many trials must have made a step before its fall in score is estimated."""
MAX_TRIALS = 100
"""Once more trials than this have reported, the rule costs a search more than it saves."""
SMALLEST_SCORE = 1e-6
"""A score below this counts as this, so that its logarithm is finite."""


def log_score(score: float) -> float:
    """Return the logarithm of a score; finite for 0 too."""
    return math.log(max(score, SMALLEST_SCORE))


class Futility:
    """Predicts how low the score of a trial may fall by the end of its training.

    Each step from one report to the next has a mean and a variance of the fall in log score, over all trials that made
    both reports. The means and variances of the remaining steps are summed, as if steps were independent.

    Args:
        total_kimg: the full training length.
        deviations: how many standard deviations below the predicted mean still count as possible; a larger number
            stops fewer trials.
        places: how many trials form the front: one, or as many as are trained again as finalists.
        grace_kimg: how far every trial may train.
        max_trials: once more trials than this have reported, none is stopped any more.
    """

    def __init__(
        self,
        total_kimg: float,
        deviations: float,
        places: int = 1,
        grace_kimg: float = 0.0,
        max_trials: int = MAX_TRIALS,
    ) -> None:
        self._total, self._grace = to_images(total_kimg), to_images(grace_kimg)
        self._deviations = deviations
        self._places = places
        self._max_trials = max_trials
        self._curves: dict[str, dict[int, float]] = {}
        self._front: dict[str, float] = {}
        self._steps: list[int] = []
        self._falls: dict[tuple[int, int], _RunningMoments] = {}

    def report(self, trial: str, kimg: float, score: float) -> str | None:
        """Take in a report, whose score is the trial's best so far; return why the trial should stop, or None.

        Reports repeated after a restart change nothing.
        """
        images, value = to_images(kimg), log_score(score)
        curve = self._curves.setdefault(trial, {})
        if images in curve:
            return None
        before = max((step for step in curve if step < images), default=None)
        curve[images] = value
        self._update_front(trial, value)
        if images not in self._steps:
            insort(self._steps, images)
        if before is not None:
            self._falls.setdefault((before, images), _RunningMoments()).add(value - curve[before])
        if len(self._curves) > self._max_trials or len(self._front) < self._places or images < self._grace:
            return None
        lowest = self._lowest_expected(images, value)
        if lowest is None:
            return None
        front = max(self._front.values())
        if lowest <= front:
            return None
        expected = f"{score:.4g} would hardly fall below {math.exp(lowest):.4g}"
        return f"{kimg:g} kimg: {expected}, and {math.exp(front):.4g} is reached"

    def _update_front(self, trial: str, value: float) -> None:
        """Let a trial join the front. A trial that fell out of it returns only by a better score: it never recedes."""
        self._front[trial] = min(value, self._front.get(trial, value))
        if len(self._front) > self._places:
            del self._front[max(self._front, key=lambda name: self._front[name])]

    def _lowest_expected(self, images: int, value: float) -> float | None:
        """Return the lowest log score that the trial may still reach; None while too few trials are known."""
        remaining = self._steps[bisect_right(self._steps, images) :]
        if not remaining or remaining[-1] < self._total:
            return None
        falls = [self._falls.get(step) for step in zip([images, *remaining], remaining, strict=False)]
        known = [fall for fall in falls if fall is not None and fall.count >= MIN_TRIALS]
        if len(known) < len(falls):
            return None
        mean, variance = sum(fall.mean for fall in known), sum(fall.variance for fall in known)
        return value + min(0.0, mean - self._deviations * math.sqrt(variance))


class _RunningMoments:
    """Running mean and variance (Welford 1962)."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        self.count += 1
        difference = value - self.mean
        self.mean += difference / self.count
        self._squares += difference * (value - self.mean)

    @property
    def variance(self) -> float:
        return self._squares / max(1, self.count - 1)
