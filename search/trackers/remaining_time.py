"""An estimate of how much longer a sweep takes, from how far trials get and how fast they train."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from search.run.record import TrialRecord

_SUPPOSED = ((1 / 12, 2.0), (1 / 3, 0.5), (1.0, 0.75))
"""Before any trial has ended: shares of the length at which some end, and as how many trials each counts.

They stand for a sweep with rungs as by default, whose trials train a third of their length in the mean.
"""
_KNOWN = ("points", "portfolio")
"""Provenance of settings that were known beforehand."""


@dataclass(frozen=True)
class Later:
    """What follows the trials, and what went before.

    Attributes:
        before: kimg that the one trial of an extension had when that began.
        kimg: of trainings that run side by side, like trials.
        alone: kimg of a training that runs alone.
        fills_budget: whether that training takes whatever the time budget leaves.
    """

    before: float = 0.0
    kimg: float = 0.0
    alone: float = 0.0
    fills_budget: bool = False


class RemainingTime:
    """What the trials of a sweep still have to train.

    How far a trial gets follows from the product-limit estimate of Kaplan & Meier 1958 ("Nonparametric estimation from
    incomplete observations"): trials that still run count as far as they have come. Otherwise those that are stopped
    early, which end first, would stand for all.

    Args:
        trials: begun so far.
        planned: trials in all.
        total_kimg: of a trial at full length.
        stops: whether trials may be stopped before that.
    """

    def __init__(
        self,
        trials: Sequence[TrialRecord],
        planned: int,
        total_kimg: float,
        later: Later | None = None,
        *,
        stops: bool = True,
    ) -> None:
        self._trials = trials
        self._to_come = max(0, planned - len(trials))
        self._total = total_kimg
        self._later = later or Later()
        supposed = [(share * total_kimg, weight) for share, weight in _SUPPOSED] if stops else []
        self._steps = self._beyond(trials, supposed)
        # Settings that were known to be good get further than those that are still to come.
        proposed = [trial for trial in trials if trial.provenance not in _KNOWN]
        self._steps_to_come = self._beyond(proposed if any(trial.final for trial in proposed) else trials, supposed)

    def _beyond(
        self, trials: Sequence[TrialRecord], supposed: Sequence[tuple[float, float]]
    ) -> list[tuple[float, float]]:
        """Return, after each end, the share of trials that get beyond it."""
        ends = [*supposed, *((trial.kimg, 1.0) for trial in trials if trial.final)]
        reached = ends + [(trial.kimg, 1.0) for trial in trials if not trial.final and trial.kimg]
        steps = [(0.0, 1.0)]
        for kimg in sorted({kimg for kimg, _ in ends if kimg < self._total}):
            ending = sum(weight for end, weight in ends if end == kimg)
            at_risk = sum(weight for end, weight in reached if end >= kimg)
            steps.append((kimg, steps[-1][1] * (1 - ending / at_risk)))
        return steps

    def kimg(self) -> float:
        """Return how many thousands of images are still to be shown, over all trials."""
        begun = sum(self._kimg_from(trial.kimg, self._steps) for trial in self._trials if not trial.final)
        return self._to_come * self._kimg_from(0.0, self._steps_to_come) + begun

    def seconds(self, shown_kimg: float, elapsed: float) -> float | None:
        """Return about how many seconds the sweep still takes; None before the first report.

        Args:
            shown_kimg: thousands of images that this launch has shown, over all trials.
            elapsed: seconds that took, counted from the start of its first trial.
        """
        if shown_kimg <= 0 or elapsed <= 0:
            return None
        rates = {trial.id: trial.last["seconds"] / trial.kimg for trial in self._trials if trial.last.get("seconds")}
        # However many workers there are, a running trial needs its own time to its end.
        running = (trial for trial in self._trials if trial.state == "running" and trial.id in rates)
        alone = (self._kimg_from(trial.kimg, self._steps) * rates[trial.id] for trial in running)
        together = (self.kimg() + self._later.kimg) * elapsed / shown_kimg
        after = self._later.alone * statistics.median(rates.values()) if rates else 0.0
        return max(together, *alone, 0.0) + after

    def _kimg_from(self, kimg: float, steps: list[tuple[float, float]]) -> float:
        """Return how much further a trial gets, in the mean, that has come so far."""
        here = next(share for end, share in reversed(steps) if end <= kimg)
        if kimg >= self._total or not here:
            return max(0.0, self._total - kimg) if kimg < self._total else 0.0
        ends = [*steps, (self._total, 0.0)]
        spans = ((max(start, kimg), end, share) for (start, share), (end, _) in pairwise(ends) if end > kimg)
        return math.fsum((end - start) * share for start, end, share in spans) / here
