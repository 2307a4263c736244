"""Replay of recorded trials through a real search, on a simulated clock.

A *contender* says what to train next and whether a trial goes on. `simulate` gives it S slots: each trial takes the
processor seconds that such a trial took when it was recorded. Where the trials come from is told in `contenders.py`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass, field

from contenders import Contender, Running


@dataclass
class History:
    """What a simulated search came to.

    Attributes:
        seconds, best: trial-seconds spent in all slots, and the best FID then, at each improvement.
        spent: trial-seconds in all: the time on the clock, times the slots.
        busy: those in which a slot had a trial; fewer, when a search ends.
        trials: begun.
    """

    seconds: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    spent: float = 0.0
    busy: float = 0.0
    trials: int = 0

    def at(self, seconds: float) -> float:
        """Return the best FID within so many trial-seconds; infinite before the first."""
        found = bisect_right(self.seconds, seconds)
        return self.best[found - 1] if found else math.inf

    def reaches(self, fid: float) -> float:
        """Return after how many trial-seconds the best FID is at most `fid`; infinite if it never is."""
        return next((seconds for seconds, best in zip(self.seconds, self.best, strict=True) if best <= fid), math.inf)


def simulate(contender: Contender, slots: int, budget: float) -> History:
    """Run a search until all its slots have spent `budget` trial-seconds, or it has no more trials."""
    history = History()
    order = itertools.count()
    queue: list[tuple[float, int, Running]] = []

    def schedule(running: Running, now: float) -> None:
        seconds = running.cost()
        history.busy += seconds
        heapq.heappush(queue, (now + seconds, next(order), running))

    def fill(now: float) -> None:
        running = contender.begin()
        if running is not None:
            history.trials += 1
            schedule(running, now)

    for _ in range(slots):
        fill(0.0)
    while queue:
        now, _, running = heapq.heappop(queue)
        if now * slots > budget:
            history.spent = budget
            return history
        if tell(contender, running, history, now * slots):
            schedule(running, now)
        else:
            fill(now)
    history.spent = now * slots
    return history


def tell(contender: Contender, running: Running, history: History, seconds: float) -> bool:
    """Hand on a trial's next report; tell whether the trial goes on."""
    verdict, reports = running.verdict, running.trace.reports
    ends = verdict is not None and verdict.report == running.reported
    # Where a loss decided, the samples are not evaluated any more.
    fid = None if ends and verdict is not None and not verdict.judged else reports[running.reported].fid
    running.reported += 1
    if fid is not None and (running.best is None or fid < running.best):
        running.best = fid
        if not history.best or fid < history.best[-1]:
            history.seconds.append(seconds)
            history.best.append(fid)
    goes_on = contender.report(running, contender.traces.interval * running.reported, fid)
    return goes_on and not ends and not running.ended
