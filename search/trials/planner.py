"""Hands trials to Tune: one interface for sampled trials and for a fixed list.

Tune asks a searcher for configurations and tells it how trials end. Each new trial is written to the journal before it
starts. Trials that an earlier launch left unfinished go first.
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
    """Hands out trials, under ids of our own.

    Args:
        record: of earlier launches; empty for a new run.
        journal: new trials are written to it before they start.

    Attributes:
        trials: all that were handed out so far, by id.
        room: returns how many trials can run at once.
    """

    def __init__(self, record: SweepRecord, journal: Journal) -> None:
        super().__init__(metric=METRIC, mode="min")
        self._journal = journal
        self.trials: dict[str, TrialRecord] = dict(record.trials)
        self.room: Callable[[], int] = lambda: sys.maxsize
        self._unfinished = [trial for trial in record.trials.values() if not trial.final]
        self._handed_out: set[str] = set()

    # ---- what differs between planners

    @abstractmethod
    def new_trial(self) -> TrialRecord | None:
        """Return a new trial; None if there are to be no more."""

    def conclude(self, trial: TrialRecord) -> None:
        """Learn from a trial that has its verdict."""

    @property
    def next_id(self) -> str:
        return f"t{len(self.trials):04d}"

    # ---- what Tune calls

    def suggest(self, trial_id: str) -> Any:
        """Return a trial's configuration; None if Tune should ask again later, when more trials have ended.

        One trial more than can run is handed out. If none waited when a trial ends, Tune would end its process and
        start another for the next trial, which takes seconds.
        """
        if len(self._handed_out) > self.room():
            return None
        trial = self._unfinished.pop(0) if self._unfinished else self._write_new_trial()
        if trial is None:
            return str(Searcher.FINISHED)
        self._handed_out.add(trial_id)
        fields = ("recipe", "source", "settings", "seed")
        return {"trial": trial.id, **{name: getattr(trial, name) for name in fields}}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Make room. The verdict comes from the recorder, through `conclude`."""
        self._handed_out.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal holds all that a resumed run needs."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, as `save`."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its searcher with its own state, from which nothing is resumed."""
        return {}

    def _write_new_trial(self) -> TrialRecord | None:
        trial = self.new_trial()
        if trial is not None:
            self.trials[trial.id] = trial
            fields = ("recipe", "objective", "source", "params", "settings", "seed", "provenance")
            self._journal.append("trial", trial=trial.id, **{name: getattr(trial, name) for name in fields})
        return trial
