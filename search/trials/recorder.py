"""What the driver does as trials report and end: journal, study, retention, trackers, progress."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from gan.errors import InputError
from gan.settings import to_images
from gan.storage.storage import Storage
from gan.terminal import one_line
from search.cluster.lost_workers import why
from search.cluster.watch import ClusterWatch
from search.run.journal import Journal
from search.run.owner import Owner
from search.run.record import SweepRecord, TrialRecord
from search.run.retention import apply_retention
from search.trackers.listener import Listener
from search.trials.planner import Planner
from search.trials.scheduler import AshaScheduler
from search.trials.trial import DIVERGED, HALT, INFEASIBLE, NO_GPU


class Recorder(Callback):  # type: ignore[misc]
    """Writes each report and verdict to the journal, then tells everyone else.

    The journal comes first and in order: a report, then the verdict that follows from it. Tune calls
    an ASHA stop, a full budget and a trial that ended itself by one name; here the cause is written
    down when it is known.

    Args:
        run: the run's folder.
        record: what is known so far; kept up to date.
        planner, scheduler: of this run.
        listeners: trackers and progress; one that fails is reported in the journal, and ends nothing.
        watch: of the cluster: nodes that come and go are written down.
        notice: told of them, in words.

    Attributes:
        halted: why no trial can go on (a full disk, data that has changed); None while all is well.
    """

    def __init__(
        self,
        run: Storage,
        record: SweepRecord,
        journal: Journal,
        planner: Planner,
        scheduler: AshaScheduler,
        total_kimg: float,
        top_k: int,
        listeners: list[Listener],
        *,
        watch: ClusterWatch | None = None,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._run = run
        self._record = record
        self._journal = journal
        self._planner = planner
        self._scheduler = scheduler
        self._total_images = to_images(total_kimg)
        self._top_k = top_k
        self._listeners = listeners
        self._watch = watch
        self._notice = notice
        self._problems: set[str] = set()
        self._torn = False
        self.halted: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks with its own state, which nothing here reads.
        return {}

    # ---- what Tune calls

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        for change, node in self._watch.changes() if self._watch else ():
            self._write(("node", {"node": node, "state": change}))
            self._notice(f"node {node}: {change}")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record = self._find(trial)
        if self._write(("start", {"trial": record.id})):
            record.state = "running"
            self._tell("start", record)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record = self._find(trial)
        if self._write(("retry", {"trial": record.id, "reason": _reason(trial)})):
            self._tell("retry", record)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        record = self._find(trial)
        if result["outcome"] == HALT:
            self._halt(record, str(result["reason"]))
            return
        if result["outcome"] == INFEASIBLE:
            self._conclude(record, "failed", result["reason"])
            return
        report = {key: result[key] for key in REPORTED}
        verdict = self._verdict(record, result)
        events = [("report", {"trial": record.id, **report})]
        if verdict is not None:
            events.append(("verdict", {"trial": record.id, "state": verdict[0], "reason": verdict[1]}))
        if not self._write(*events):
            return
        if report["kimg"] > record.last.get("kimg", 0.0):
            # Retries are for a trial that does not get on: in days, any will lose some nodes.
            trial.run_metadata.num_failures = 0
        record.add_report(report)
        self._tell("report", record)
        if verdict is not None:
            self._settle(record, *verdict)

    def _verdict(self, record: TrialRecord, result: dict[str, Any]) -> tuple[str, str | None] | None:
        """Return the state that a report puts an end to its trial with, and why; None if it goes on."""
        if result["outcome"] == DIVERGED:
            return "diverged", result["reason"]
        if record.id in self._scheduler.stopped:
            return "stopped", self._scheduler.stopped[record.id]
        if to_images(result["kimg"]) >= self._total_images:
            return "finished", None
        return None

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record, reason = self._find(trial), _reason(trial)
        if NO_GPU in reason:
            # A trial that the node has failed is not final: it goes on when the node is mended.
            self._halt(record, reason)
        else:
            self._conclude(record, "failed", reason)

    # ---- helpers

    def _find(self, trial: Trial) -> TrialRecord:
        name = trial.config["trial"]
        if name not in self._record.trials:
            self._record.trials[name] = self._planner.trials[name]
            self._tell("trial", self._record.trials[name])
        return self._record.trials[name]

    def _halt(self, record: TrialRecord, reason: str) -> None:
        self.halted = reason
        self._write(("problem", {"trial": record.id, "reason": reason}))

    def _conclude(self, record: TrialRecord, state: str, reason: str | None) -> None:
        if not record.final and self._write(("verdict", {"trial": record.id, "state": state, "reason": reason})):
            self._settle(record, state, reason)

    def _settle(self, record: TrialRecord, state: str, reason: str | None) -> None:
        """Do all that follows from a verdict, once it is in the journal."""
        # The state last: other threads read the record meanwhile.
        record.reason, record.state = reason, state
        self._planner.conclude(record)
        self._tell("verdict", record)
        try:
            apply_retention(self._run, self._record, record, self._top_k)
        except (OSError, InputError) as error:
            self._write(("problem", {"trial": record.id, "reason": f"clearing up failed: {error}"}))

    def _tell(self, event: str, record: TrialRecord) -> None:
        for listener in self._listeners:
            try:
                listener(event, record)
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                self._note_problem(record, f"tracker: {error} ({last.name}, line {last.lineno})")

    def _note_problem(self, record: TrialRecord, reason: str) -> None:
        """Write down what is wrong with a tracker, once: it may be wrong at every report."""
        if reason not in self._problems:
            self._problems.add(reason)
            self._write(("problem", {"trial": record.id, "reason": reason}))

    def _write(self, *events: tuple[str, dict[str, Any]]) -> bool:
        """Write events to the journal; tell whether they are there, and are to be acted on.

        If they cannot be written, no trial can go on, and nothing is written after them: the journal has no gaps. Tune
        would hide an error that is raised here in one of its own.
        """
        if self._torn:
            return False
        try:
            self._journal.append_all(list(events))
        except OSError as error:
            self._torn = True
            self.halted = self.halted or f"the journal cannot be written: {one_line(error)}"
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
        # Pickled with Tune's own state, which nothing here reads.
        return {}


REPORTED = (
    "kimg",
    "fid",
    "best_fid",
    "best_kimg",
    "score",
    "g_loss",
    "d_loss",
    "penalty",
    "diverged",
    "images_per_second",
    "eval_seconds",
    "checkpoint_seconds",
    "train_seconds",
    "seconds",
    "spread",
    "real_score",
    "fake_score",
    "grad_norm_g",
    "grad_norm_d",
    "curve",
    "wasserstein",
    "host",
    "pid",
)
"""Fields of a trial's report that the journal keeps."""


def _reason(trial: Trial) -> str:
    path = trial.error_file
    return why(Path(path).read_text(errors="replace") if path and Path(path).is_file() else "")
