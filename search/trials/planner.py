"""What hands trials to Tune: one interface, whether they are sampled or listed.

Tune asks a searcher for configurations and tells it how trials end. Each new trial is written down
before it starts; those that an earlier launch left unfinished go first.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from search.run.journal import Journal
from search.run.record import SweepRecord, TrialRecord

METRIC = "score"


class Planner(Searcher, ABC):
    """Hands out trials, in our own ids.

    Args:
        record: what the journal tells of earlier launches; empty for a new run.
        journal: where new trials are written down before they start.

    Attributes:
        trials: all that were handed out so far, by id.
        room: tells how many trials run side by side at most.
    """

    def __init__(self, record: SweepRecord, journal: Journal) -> None:
        super().__init__(metric=METRIC, mode="min")
        self._journal = journal
        self.trials: dict[str, TrialRecord] = dict(record.trials)
        self.room: Callable[[], int] = lambda: sys.maxsize
        self._unfinished = [trial for trial in record.trials.values() if not trial.final]
        self._out: set[str] = set()

    # ---- what differs

    @abstractmethod
    def new_trial(self) -> TrialRecord | None:
        """Return a trial that was not there before; None when there are to be no more."""

    def conclude(self, trial: TrialRecord) -> None:
        """Learn from a trial that has reached its final verdict."""

    @property
    def next_id(self) -> str:
        return f"t{len(self.trials):04d}"

    # ---- what Tune calls

    def suggest(self, trial_id: str) -> Any:
        """Return a trial's configuration; None where it should wait for what others will have taught.

        One more than there is room for is handed out: where none waits, Tune ends the process of a trial that ends,
        and starts another, which takes seconds, for the next.
        """
        if len(self._out) > self.room():
            return None
        trial = self._unfinished.pop(0) if self._unfinished else self._begin()
        if trial is None:
            return str(Searcher.FINISHED)
        self._out.add(trial_id)
        handed = ("recipe", "source", "settings", "seed")
        return {"trial": trial.id, **{name: getattr(trial, name) for name in handed}}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Make room. The verdict is the recorder's, and `conclude` brings it here."""
        self._out.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal holds all that a resumed run needs."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, as `save`."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its searcher with its own state, and the journal holds all that is needed."""
        return {}

    def _begin(self) -> TrialRecord | None:
        trial = self.new_trial()
        if trial is not None:
            self.trials[trial.id] = trial
            fields = ("recipe", "objective", "source", "params", "settings", "seed")
            self._journal.append("trial", trial=trial.id, **{name: getattr(trial, name) for name in fields})
        return trial
