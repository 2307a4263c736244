"""Asynchronous successive halving: which trials continue (Li et al. 2020, MLSys, arXiv:1810.05934).

It is independent of Ray, so that its rungs can be rebuilt from a journal, tested against recorded curves and simulated.
"""

from __future__ import annotations

import math
from bisect import insort


class Asha:
    """The stopping variant: at each rung, a trial continues if it is no worse than the ⌈n/η⌉-th of the n before it.

    Args:
        milestones: in kimg, ascending.
        reduction_factor: η.

    Attributes:
        rungs: milestone → trial → score, as recorded.
    """

    def __init__(self, milestones: list[float], reduction_factor: float) -> None:
        self._factor = reduction_factor
        self.rungs: dict[float, dict[str, float]] = {milestone: {} for milestone in milestones}
        # Kept sorted: sorting ten thousand scores at each report would cost a millisecond.
        self._ascending: dict[float, list[float]] = {milestone: [] for milestone in milestones}

    def report(self, trial: str, kimg: float, score: float) -> str | None:
        """Take in a report; return why the trial should stop, or None.

        A score counts once, at the highest rung reached. Reports repeated after a restart change nothing.
        """
        reached = [milestone for milestone in self.rungs if kimg >= milestone - 1e-6]
        if not reached:
            return None
        milestone = max(reached)
        recorded = self.rungs[milestone]
        if trial in recorded:
            return None
        cutoff = self._cutoff(self._ascending[milestone])
        recorded[trial] = score
        insort(self._ascending[milestone], score)
        if cutoff is not None and score > cutoff:
            return f"rung {milestone:g} kimg: {score:.4g} is worse than the cut-off {cutoff:.4g}"
        return None

    def _cutoff(self, ascending: list[float]) -> float | None:
        """Return the worst score that still continues, given the earlier scores in ascending order; None: no limit.

        The quantile is taken by rank, without interpolation, so that the huge score of a diverged trial cannot
        stretch it.
        """
        return ascending[math.ceil(len(ascending) / self._factor) - 1] if ascending else None
