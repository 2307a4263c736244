"""How long a sweep has still to go: an estimate, from how far trials have gone and how fast."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from search.run.record import TrialRecord

_FEWEST = 3
"""Ended trials that it takes to tell how far another will go."""


class RemainingTime:
    """What is to be expected of the trials of a sweep.

    Published settings run to full length. How far a sampled trial goes is told by those that have
    ended, of which only those count that got further than it is.

    Args:
        trials: that have been made.
        planned: trials in all.
        total_kimg: of a trial at full length.
    """

    def __init__(self, trials: list[TrialRecord], planned: int, total_kimg: float) -> None:
        self._trials = trials
        self._to_come = max(0, planned - len(trials))
        self._total = total_kimg
        self._ended = sorted(trial.kimg for trial in trials if trial.final and trial.source != "published")
        self._sums = [*accumulate(reversed(self._ended), initial=0.0)]

    def kimg_left(self) -> float:
        """Return how many thousands of images are still to be shown, over all trials."""
        running = sum(self._left(trial) for trial in self._trials if not trial.final)
        return self._to_come * self._mean_of_last(len(self._ended)) + running

    def seconds_left(self, shown_kimg: float, elapsed: float) -> float | None:
        """Return about how many seconds the sweep has still to go; None before the first report.

        Args:
            shown_kimg: thousands of images that this launch has shown, over all trials.
            elapsed: seconds that took, counted from when its first trial began.
        """
        if shown_kimg <= 0 or elapsed <= 0:
            return None
        # However many work on the others: one that runs has to get to its own end.
        alone = (
            self._left(trial) * trial.last["seconds"] / trial.kimg
            for trial in self._trials
            if trial.state == "running" and trial.kimg and trial.last.get("seconds")
        )
        return max(self.kimg_left() * elapsed / shown_kimg, *alone, 0.0)

    def _left(self, trial: TrialRecord) -> float:
        if trial.source == "published":
            return max(0.0, self._total - trial.kimg)
        further = len(self._ended) - (bisect_right(self._ended, trial.kimg) if trial.kimg else 0)
        return max(0.0, self._mean_of_last(further) - trial.kimg)

    def _mean_of_last(self, count: int) -> float:
        """Return the mean kimg of the ended trials that got furthest; full length where they are too few."""
        return self._sums[count] / count if count >= _FEWEST else self._total
