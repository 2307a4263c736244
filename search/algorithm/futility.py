"""Futility: which trials may still come to the front.

ASHA asks whether a trial is among the better part of those that came to its rung. Once a search has learnt, more and
more of what it proposes is, as the rungs still hold what was drawn at random in the beginning; while all that counts in
the end is the best. So a trial is also stopped when what is left of its training would hardly take it there.

That holds for the beginning of a search. Later ever fewer trials come near the best, those that do are ever more of an
exception to how scores fall, and what a trial teaches that trains to its end is worth more than another beginning:
beyond `ENOUGH` trials nothing is stopped so any more (the figures are in `benchmarks/README.md`).

The idea is that of Domhan, Springenberg & Hutter 2015 ("Speeding up automatic hyperparameter optimization of deep
neural networks by extrapolation of learning curves", IJCAI), without a form of curve: how scores fall is what the other
trials of the sweep have shown, the published settings before all, which train to their full length first.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort

from gan.settings import to_images

FEWEST = 4
"""Trials that have made a step, before anything is made of how scores fall in it."""
ENOUGH = 100
"""Trials that have reported, beyond which stopping so costs a search more than it saves."""
TINY = 1e-6
"""Below any score: its logarithm is that of 0."""


def log_score(score: float) -> float:
    """Return the logarithm of a score, finite for 0 as well."""
    return math.log(max(score, TINY))


class Futility:
    """Foresees how far the score of a trial may fall until it has trained to its full length.

    From each report to the next, logarithms of scores fall by a mean and with a variance, taken over all trials that
    made both. Those of the steps that are left add up, as if they were independent of each other.

    Args:
        total_kimg: the full length.
        deviations: how many standard deviations below the mean a score may come to be; more stop fewer trials.
        places: how many trials make the front: one, or those that are trained again afterwards.
        grace_kimg: how far every trial may go.
        enough: trials that have reported, beyond which none is stopped any more.
    """

    def __init__(
        self,
        total_kimg: float,
        deviations: float,
        places: int = 1,
        grace_kimg: float = 0.0,
        enough: int = ENOUGH,
    ) -> None:
        self._total, self._grace = to_images(total_kimg), to_images(grace_kimg)
        self._deviations = deviations
        self._places = places
        self._enough = enough
        self._curves: dict[str, dict[int, float]] = {}
        self._front: dict[str, float] = {}
        self._steps: list[int] = []
        self._falls: dict[tuple[int, int], _Falls] = {}

    def report(self, trial: str, kimg: float, score: float) -> str | None:
        """Take in a report, its score being the best so far; return why the trial should stop, or None.

        What a trial reports again after a restart changes nothing.
        """
        images, value = to_images(kimg), log_score(score)
        curve = self._curves.setdefault(trial, {})
        if images in curve:
            return None
        before = max((step for step in curve if step < images), default=None)
        curve[images] = value
        self._advance(trial, value)
        if images not in self._steps:
            insort(self._steps, images)
        if before is not None:
            self._falls.setdefault((before, images), _Falls()).add(value - curve[before])
        if len(self._curves) > self._enough or len(self._front) < self._places or images < self._grace:
            return None
        least = self._least(images, value)
        if least is None:
            return None
        front = max(self._front.values())
        if least <= front:
            return None
        expected = f"{score:.4g} would hardly fall below {math.exp(least):.4g}"
        return f"{kimg:g} kimg: {expected}, and {math.exp(front):.4g} is reached"

    def _advance(self, trial: str, value: float) -> None:
        """Let a trial join the front. Who has left it returns by a better score alone, as the front never recedes."""
        self._front[trial] = min(value, self._front.get(trial, value))
        if len(self._front) > self._places:
            del self._front[max(self._front, key=lambda name: self._front[name])]

    def _least(self, images: int, value: float) -> float | None:
        """Return the least that a score may fall to; None where too little is known."""
        left = self._steps[bisect_right(self._steps, images) :]
        if not left or left[-1] < self._total:
            return None
        falls = [self._falls.get(step) for step in zip([images, *left], left, strict=False)]
        known = [fall for fall in falls if fall is not None and fall.count >= FEWEST]
        if len(known) < len(falls):
            return None
        mean, variance = sum(fall.mean for fall in known), sum(fall.variance for fall in known)
        return value + min(0.0, mean - self._deviations * math.sqrt(variance))


class _Falls:
    """Running mean and variance (Welford 1962)."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, fall: float) -> None:
        self.count += 1
        apart = fall - self.mean
        self.mean += apart / self.count
        self._squares += apart * (fall - self.mean)

    @property
    def variance(self) -> float:
        return self._squares / max(1, self.count - 1)
