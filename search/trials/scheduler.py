"""Stops trials under Tune: gives reports to ASHA and the futility rule, and keeps the reason of each stop."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from gan.settings import to_images
from search.algorithm.asha import Asha
from search.run.record import SweepRecord
from search.trials.planner import METRIC

_log = logging.getLogger(__name__)


class StoppingRule(Protocol):
    """Decides from its reports whether a trial goes on."""

    def report(self, trial: str, kimg: float, score: float) -> str | None:
        """Take in a report, whose score is the best so far; return why the trial should stop, or None."""


class AshaScheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops trials that fall behind at a rung or can hardly win, and those whose training has ended by itself.

    Tune would stop the latter too, but later. If a process died in between, another would train a trial anew that
    already has a verdict in the journal.

    Published settings count at the rungs. Where they take a small part of the sweep, they train to full length, so that
    the sweep shows how far it moved beyond them; then only divergence ends them early.

    Args:
        asha: the rungs.
        futility: stops trials that can hardly win; None to do without.
        record: of earlier launches; its reports are replayed into both.
        total_kimg: the length of a whole trial.
        published_in_full: whether published settings are never stopped.

    Attributes:
        stopped: our trial id → the reason.
    """

    _metric = METRIC

    def __init__(
        self,
        asha: Asha,
        futility: StoppingRule | None,
        record: SweepRecord,
        total_kimg: float,
        published_in_full: bool = True,
    ) -> None:
        super().__init__()
        self._published_in_full = published_in_full
        self.asha = asha
        self.futility = futility
        self._total_images = to_images(total_kimg)
        self.stopped: dict[str, str] = {}
        for trial in record.trials.values():
            for report in trial.reports:
                if not report["diverged"]:
                    self._judge(trial.id, report["kimg"], report["score"])

    @property
    def stops(self) -> bool:
        """Whether trials may be stopped before their full length."""
        return bool(self.asha.rungs)

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        if result["outcome"]:
            # The last report of a lost trial is no measure for others.
            return str(TrialScheduler.STOP)
        reason = self._judge(result["trial"], result["kimg"], result["score"])
        if reason is not None and not (self._published_in_full and result["source"] == "published"):
            _log.debug("%s stops: %s", result["trial"], reason)
            self.stopped[result["trial"]] = reason
            return str(TrialScheduler.STOP)
        ended = to_images(result["kimg"]) >= self._total_images
        return str(TrialScheduler.STOP if ended else TrialScheduler.CONTINUE)

    def _judge(self, trial: str, kimg: float, score: float) -> str | None:
        """Take in a report; return why the trial should stop, or None. Both rules see every report."""
        behind = self.asha.report(trial, kimg, score)
        futile = self.futility.report(trial, kimg, score) if self.futility is not None else None
        return behind or futile
