"""What the driver does when trials report and end: journal, study, retention, trackers, progress."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from gan.errors import InputError
from gan.settings import to_images
from gan.terminal import one_line
from gan.training.report import Report
from search.cluster.lost_workers import describe_failure
from search.cluster.watch import ClusterWatch
from search.run.bundles import apply_retention
from search.run.outcome import Outcome
from search.run.owner import Owner
from search.run.record import TrialRecord
from search.trackers.trackers import Listener
from search.trials.context import RunContext
from search.trials.planner import Planner
from search.trials.scheduler import AshaScheduler

REPORTED = (*(field.name for field in fields(Report) if field.name != "reason"), "host", "pid")
"""Fields of a trial's report that the journal keeps. The reason is part of the verdict."""

_log = logging.getLogger(__name__)


class Recorder(Callback):  # type: ignore[misc]
    """Writes each report and verdict to the journal, then tells the others about it.

    The journal comes first and in order: a report, then the verdict that follows from it. Tune does not tell an ASHA
    stop from a full budget or a trial that ended itself. Here the cause is written down where it is known.

    Args:
        context: its record is kept up to date.
        planner, scheduler: of this run.
        listeners: trackers and progress. If one fails, the journal says so, and the run goes on.
        watch: of the cluster; nodes that come and go are written down.
        notice: called with a line about each of them.

    Attributes:
        halted: why no trial can go on (a full disk, data that has changed); None while all is well.
    """

    def __init__(
        self,
        context: RunContext,
        planner: Planner,
        scheduler: AshaScheduler,
        listeners: list[Listener],
        *,
        watch: ClusterWatch | None = None,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._context = context
        self._trials = context.record.trials
        self._planner = planner
        self._scheduler = scheduler
        self._total_images = to_images(context.spec.kimg)
        self._listeners = listeners
        self._watch = watch
        self._notice = notice
        self._problems: set[str] = set()
        self._journal_failed = False
        self.halted: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks with its own state, which nothing here reads.
        return {}

    # ---- what Tune calls

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        for change, node in self._watch.changes() if self._watch else ():
            _log.info("node %s: %s", node, change)
            self._write(("node", {"node": node, "state": change}))
            self._notice(f"node {node}: {change}")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record = self._find(trial)
        if self._write(("start", {"trial": record.id})):
            record.state = "running"
            self._tell("start", record)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record, (_, reason) = self._find(trial), _failure(trial)
        _log.info("%s: tried again: %s", record.id, reason)
        if self._write(("retry", {"trial": record.id, "reason": reason})):
            self._tell("retry", record)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        record = self._find(trial)
        if result["outcome"] in (Outcome.HALT, Outcome.INFEASIBLE):
            self._end(record, result["outcome"], result["reason"])
            return
        report = {key: result[key] for key in REPORTED}
        verdict = self._verdict(record, result)
        events = [("report", {"trial": record.id, **report})]
        if verdict is not None:
            events.append(_verdict_event(record, *verdict))
        if not self._write(*events):
            return
        if report["kimg"] > record.last.get("kimg", 0.0):
            # Retries are counted from the last progress: over days, any trial loses some nodes.
            trial.run_metadata.num_failures = 0
        record.add_report(report)
        self._tell("report", record)
        if verdict is not None:
            self._conclude(record, *verdict)

    def _verdict(self, record: TrialRecord, result: dict[str, Any]) -> tuple[Outcome, str | None] | None:
        """Return the outcome of a trial that ends with this report, and the reason; None if it goes on."""
        if result["outcome"] == Outcome.DIVERGED:
            return Outcome.DIVERGED, result["reason"]
        if record.id in self._scheduler.stopped:
            return Outcome.STOPPED, self._scheduler.stopped[record.id]
        if to_images(result["kimg"]) >= self._total_images:
            return Outcome.FINISHED, None
        return None

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(self._find(trial), *_failure(trial))

    # ---- helpers

    def _find(self, trial: Trial) -> TrialRecord:
        name = trial.config["trial"]
        if name not in self._trials:
            self._trials[name] = self._planner.trials[name]
            self._tell("trial", self._trials[name])
        return self._trials[name]

    def _end(self, record: TrialRecord, outcome: Outcome, reason: str) -> None:
        """End a trial without a report; halt the run instead, with no verdict, if the trial is not to blame."""
        if outcome == Outcome.HALT:
            _log.info("%s halts the run: %s", record.id, reason)
            self.halted = reason
            self._write_problem(record, reason)
        elif not record.final and self._write(_verdict_event(record, outcome, reason)):
            self._conclude(record, outcome, reason)

    def _conclude(self, record: TrialRecord, outcome: Outcome, reason: str | None) -> None:
        """Do all that follows from a verdict, once it is in the journal."""
        _log.info("%s: %s%s", record.id, outcome, f": {reason}" if reason else "")
        record.conclude(outcome, reason)
        self._planner.conclude(record)
        self._tell("verdict", record)
        try:
            spec = self._context.spec
            apply_retention(
                self._context.run, self._context.record, record, spec.bundles_kept, checkpoints=spec.checkpoints_kept
            )
        except (OSError, InputError) as error:
            self._write_problem(record, f"clearing up failed: {error}")

    def _tell(self, event: str, record: TrialRecord) -> None:
        for listener in self._listeners:
            try:
                listener(event, record)
            except Exception as error:
                _log.debug("a tracker failed", exc_info=True)
                last = traceback.extract_tb(error.__traceback__)[-1]
                reason = f"tracker: {error} ({last.name}, line {last.lineno})"
                # Written once: it may fail at every report.
                if reason not in self._problems:
                    self._problems.add(reason)
                    self._write_problem(record, reason)

    def _write_problem(self, record: TrialRecord, reason: str) -> None:
        self._write(("problem", {"trial": record.id, "reason": reason}))

    def _write(self, *events: tuple[str, dict[str, Any]]) -> bool:
        """Write events to the journal; return whether they are there, so that they may be acted on.

        If they cannot be written, no trial can go on. Nothing is written after them, so that the journal has no gaps.
        No error is raised: Tune would hide it in one of its own.
        """
        if self._journal_failed:
            return False
        try:
            self._context.journal.append_all(list(events))
        except OSError as error:
            _log.info("no trial can go on", exc_info=True)
            self._journal_failed = True
            self.halted = self.halted or one_line(error)
            return False
        return True


class Halt(Stopper):  # type: ignore[misc]
    """Ends the whole run, with no verdict on its trials, once none of them can go on."""

    def __init__(self, recorder: Recorder, owner: Owner) -> None:
        self._recorder = recorder
        self._owner = owner

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._recorder.halted is not None or self._owner.lost

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles it with its own state, which nothing here reads.
        return {}


def _verdict_event(record: TrialRecord, outcome: Outcome, reason: str | None) -> tuple[str, dict[str, Any]]:
    return "verdict", {"trial": record.id, "state": outcome.state, "reason": reason, "outcome": outcome}


def _failure(trial: Trial) -> tuple[Outcome, str]:
    """Return the outcome and the reason of a process that failed, from what Tune keeps of its last error."""
    try:
        error = cloudpickle.loads(Path(trial.pickled_error_file or "").read_bytes())
    except Exception:  # There is none, or its class cannot be unpickled.
        error = None
    path = trial.error_file
    return describe_failure(error, Path(path).read_text(errors="replace") if path and Path(path).is_file() else "")
