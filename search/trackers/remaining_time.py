"""An estimate of how much longer a sweep takes, from how far trials get and how fast they train."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from search.run.record import TrialRecord

_FEWEST = 3
"""Ended trials needed to predict how far another one gets; with fewer, the full length is assumed."""


class RemainingTime:
    """What the trials of a sweep still have to train.

    A trial is expected to get as far as the mean of those ended trials that got further than it is now.

    Args:
        trials: begun so far.
        planned: trials in all.
        total_kimg: of a trial at full length.
    """

    def __init__(self, trials: list[TrialRecord], planned: int, total_kimg: float) -> None:
        self._trials = trials
        self._to_come = max(0, planned - len(trials))
        self._total = total_kimg
        self._ended = sorted(trial.kimg for trial in trials if trial.final)
        self._sums = [*accumulate(reversed(self._ended), initial=0.0)]

    def kimg(self) -> float:
        """Return how many thousands of images are still to be shown, over all trials."""
        begun = sum(self._kimg_of(trial) for trial in self._trials if not trial.final)
        return self._to_come * self._mean_of_last(len(self._ended)) + begun

    def seconds(self, shown_kimg: float, elapsed: float) -> float | None:
        """Return about how many seconds the sweep still takes; None before the first report.

        Args:
            shown_kimg: thousands of images that this launch has shown, over all trials.
            elapsed: seconds that took, counted from the start of its first trial.
        """
        if shown_kimg <= 0 or elapsed <= 0:
            return None
        # However many workers there are, a running trial needs its own time to its end.
        alone = (
            self._kimg_of(trial) * trial.last["seconds"] / trial.kimg
            for trial in self._trials
            if trial.state == "running" and trial.kimg and trial.last.get("seconds")
        )
        return max(self.kimg() * elapsed / shown_kimg, *alone, 0.0)

    def _kimg_of(self, trial: TrialRecord) -> float:
        further = len(self._ended) - (bisect_right(self._ended, trial.kimg) if trial.kimg else 0)
        return max(0.0, self._mean_of_last(further) - trial.kimg)

    def _mean_of_last(self, count: int) -> float:
        """Return the mean kimg of the `count` ended trials that got furthest."""
        return self._sums[count] / count if count >= _FEWEST else self._total
