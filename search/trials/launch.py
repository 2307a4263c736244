"""The life of a launch, of a sweep or a comparison.

Reads top to bottom: check, own the run's folder, start Ray, train, conclude. How Tune runs the trials is in
`search.trials.tuner`.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from gan.errors import InputError
from gan.evaluation.evaluator import EVALUATION_SEED, Evaluator
from gan.evaluation.identity import EvaluationIdentity, require_same
from gan.plots.pictures import write_real
from gan.storage.retrying import RetryingStorage
from gan.storage.storage import Storage
from gan.terminal import one_line, warn, working
from gan.versions import versions
from search.algorithm.asha import Asha
from search.cluster.cluster import OnShutdown, connected
from search.cluster.gpu_share import with_measured_share
from search.cluster.nodes import check_nodes
from search.plan.preflight import Plan, preflight
from search.plan.spec import RunSpec, validate
from search.run.bundles import apply_retention
from search.run.journal import FORMAT, JOURNAL, Journal
from search.run.owner import Owner
from search.run.record import TIME_BUDGET, SweepRecord, read_record
from search.run.run_folder import (
    PRIOR,
    SETTINGS,
    kind_of,
    read_settings,
    require_same_identity,
    warn_of_a_program,
    write_settings,
)
from search.trackers.remaining_time import Later
from search.trials.context import RunContext
from search.trials.planner import Planner
from search.trials.scheduler import AshaScheduler, StoppingRule
from search.trials.tuner import run_trials

_LAST_RETRY_SECONDS = 5.0
"""How long writing the last event is retried: somebody waits for this process to end."""

_log = logging.getLogger(__name__)


class SweepInterrupted(Exception):
    """The run was told to stop. Everything that it needs to go on is on storage."""


class SweepHalted(Exception):
    """No trial can go on, for the reason given. Once that is fixed, the run can be resumed."""


class Launch(ABC):
    """A run of many trials in its own folder, begun or resumed.

    If the folder holds a run with the same identity, that run is resumed. A finished run is left as it is.

    Args:
        spec: its settings.
        run: the run's folder. By default it has the spec's name and lies in the storage.
        command: the command line that launched it, for the record.
        quiet: show no progress.
        packing: called with the rows packed so far and in all, when data must be packed first.

    Raises:
        InputError: something is wrong with the settings, the data or the machine, or the folder
            holds another run or belongs to another driver. Nothing has been written.
    """

    spec_type: ClassVar[type[RunSpec]]
    spec: RunSpec

    def __init__(
        self,
        spec: RunSpec,
        *,
        run: Storage | None = None,
        command: str = "",
        quiet: bool = False,
        packing: Callable[[int, int | None], None] | None = None,
    ) -> None:
        self._begun = time.monotonic()
        self.quiet = quiet
        self.plan: Plan = preflight(self.settled(spec, run), run, packing)
        self.spec = self.plan.spec
        self.run_storage = self.plan.run
        self._command = command
        if self.run_storage.exists(SETTINGS):
            uri, kind = self.run_storage.uri, kind_of(self.run_storage)
            if kind != spec.kind:
                raise InputError(f"{uri} holds a run of another kind ({kind}, not {spec.kind}); choose another --name")
            require_same_identity(self.run_storage, self.plan.identity(), self.spec.growing)

    @classmethod
    def reopen(cls, run: Storage, change: Callable[[dict[str, Any]], dict[str, Any]], **options: Any) -> Self:
        """Return the run in a folder, ready to be resumed.

        Args:
            change: takes the settings of the last launch, returns the ones that are new.
            options: further arguments of the class.
        """
        settings = read_settings(run)["settings"]
        warn_of_a_program(settings)
        # A time budget belongs to one launch: the next one would be over before it began.
        changed = {**settings, "time_budget": None, **change(settings)}
        return cls(validate(cls.spec_type, changed, f"{run.uri}/{SETTINGS}"), run=run, **options)

    # ---- what differs between kinds of run

    def settled(self, spec: RunSpec, run: Storage | None) -> RunSpec:
        """Return the settings with all that is left open in them decided."""
        return spec

    @abstractmethod
    def trials_left(self, record: SweepRecord) -> int:
        """Return how many trials are still to be run, or to be run to their end."""

    @abstractmethod
    def planner(self, record: SweepRecord, journal: Journal) -> Planner:
        """Return what hands out the trials."""

    @abstractmethod
    def asha(self) -> Asha:
        """Return the rungs at which trials that fall behind are stopped."""

    def futility(self) -> StoppingRule | None:
        """Return the rule that stops trials which can hardly win; None if all train to their full length."""
        return None

    def origin(self) -> Storage | None:
        """Return the folder of the shorter training that the one trial goes on with; None if trials begin anew."""
        return None

    @property
    def reported(self) -> Storage:
        """The folder of the run whose report shows this one."""
        return self.run_storage

    def published_in_full(self) -> bool:
        """Tell whether trials of published settings are never stopped."""
        return True

    def later(self) -> Later:
        """Return what follows the trials, for the estimate of the time left."""
        return Later()

    @abstractmethod
    def concluded(self, record: SweepRecord) -> bool:
        """Tell whether the work that follows the last trial is done."""

    @abstractmethod
    def conclude(self, context: RunContext) -> None:
        """Do the work that follows the last trial."""

    # ---- the launch

    def run(self) -> SweepRecord:
        """Run all trials that are not finished yet; return the record of the run.

        Raises:
            InputError: see the class; nothing has been written.
            SweepInterrupted: by Ctrl-C or SIGTERM; the run can be resumed. (If the time budget ends it, the record
                says "interrupted" and names that cause.)
            SweepHalted: storage or data failed; the run can be resumed.
        """
        record = self._read_record()
        if self.done(record):
            _log.info("%s: nothing is left to do", self.run_storage.uri)
            if record.trials and record.ended != "finished":
                self._end(record)
            return record
        with working("measuring the real images", self.quiet):
            evaluator = self._evaluator(record)
        with working("starting Ray", self.quiet) as started, connected(self.spec) as (spec, on_shutdown):
            started()
            # A node that lacks something is named before anything is written.
            check_nodes(spec, self.plan.data.content_hash)
            if self.spec.gpus_per_trial == "auto" and spec.gpus and spec.device != "cpu":
                spec = with_measured_share(spec, self.plan.recipes, evaluator)
            warn(self.plan.data.caveat(), evaluator.caveat())
            return self.run_connected(spec, evaluator, on_shutdown)

    def run_connected(self, spec: RunSpec, evaluator: Evaluator, on_shutdown: OnShutdown) -> SweepRecord:
        """Do the same as `run`, once Ray is there."""
        # A run that has begun outlives an outage of the storage. The owner's heartbeat and the journal use the plain
        # storage: a failed heartbeat is followed by the next, and the journal retries by itself.
        owner = Owner(self.run_storage)
        self.run_storage = RetryingStorage.of(self.plan.run)
        on_shutdown(owner.release)
        # Another driver may have come and gone while this one was getting ready.
        record = self._read_record()
        if self.done(record):
            return record
        journal = self._begin(record, evaluator, owner)
        context = RunContext(self.plan, spec, self.run_storage, record, journal, evaluator, owner, on_shutdown)
        context = dataclasses.replace(context, origin=self.origin())
        halted: str | None = None
        try:
            halted = self._train(context)
            if halted is None and self.concludes(record):
                _log.info("%s: all trials have ended", self.run_storage.uri)
                self.conclude(context)
            if halted is None and not self.done(record) and self.spec.time_budget is not None:
                record.cause = TIME_BUDGET
        except (KeyboardInterrupt, SweepInterrupted):
            raise SweepInterrupted(self.run_storage.uri) from None
        except OSError as error:
            raise SweepHalted(one_line(error)) from error
        finally:
            # If storage is what failed, this fails too. It must not hide the first error.
            with suppress(OSError):
                record.ended = "finished" if self.done(record) else "interrupted"
                record.promise = self.promise(record) if record.ended == "finished" else None
                end = {"state": record.ended, "cause": record.cause, "promise": record.promise}
                journal.append_all([("end", end)], retry_seconds=_LAST_RETRY_SECONDS)
                _log.info("%s: %s", self.run_storage.uri, record.ended)
        if halted is not None and record.ended != "finished":
            raise SweepHalted(halted)
        return record

    def done(self, record: SweepRecord) -> bool:
        """Tell whether nothing is left to do."""
        return not self.trials_left(record) and self.concluded(record)

    def promise(self, record: SweepRecord) -> dict[str, Any] | None:
        """Return what is foreseen for the winner of a finished run, trained longer; see `SweepRecord`."""
        return None

    def time_left(self) -> float | None:
        """Return the seconds that are left of the time budget, which counts from the start; None without one."""
        budget = self.spec.time_budget
        return None if budget is None else budget - (time.monotonic() - self._begun)

    def search_left(self, record: SweepRecord) -> float | None:
        """Return the seconds that are left for the trials, of which the work after them may need some."""
        return self.time_left()

    def concludes(self, record: SweepRecord) -> bool:
        """Tell whether the work that follows the last trial can begin."""
        return not self.trials_left(record)

    # ---- steps

    def _end(self, record: SweepRecord) -> None:
        """Write down that a run has ended which an earlier launch left before it could say so."""
        owner = Owner(self.run_storage)
        try:
            record.ended, record.cause, record.promise = "finished", None, self.promise(record)
            end = {"state": record.ended, "cause": None, "promise": record.promise}
            Journal(self.plan.run, owner.require_mine).append("end", **end)
        finally:
            owner.release()

    def _read_record(self) -> SweepRecord:
        """Return the record in the run's journal; an empty one if the run has not begun.

        Raises:
            InputError: the journal is gone or empty, but its trials are there.
        """
        run = self.run_storage
        record = read_record(run) if run.exists(JOURNAL) else SweepRecord()
        if not record.settings and run.list("trials"):
            raise InputError(
                f"{run.uri}: its {JOURNAL} is gone or empty, but its trials are there: bring the journal back, or"
                " begin a run of another name"
            )
        return record

    def _evaluator(self, record: SweepRecord) -> Evaluator:
        """Compute the reference statistics once, before the first trial; refuse any but those of the last launch."""
        weights = self.spec.inception_weights
        evaluator = Evaluator.prepare(
            self.plan.data,
            features=str(self.spec.features),
            samples=self.spec.samples,
            seed=EVALUATION_SEED,
            inception_weights=Path(weights) if weights else None,
        )
        if record.evaluation:
            require_same(EvaluationIdentity.from_dict(record.evaluation), evaluator.identity)
        return evaluator

    def _begin(self, record: SweepRecord, evaluator: Evaluator, owner: Owner) -> Journal:
        """Write down what is launched, and clear up after an earlier driver that was killed."""
        settings = self.spec.model_dump()
        self.run_storage.make_dirs("trials")
        write_settings(self.run_storage, settings, self.plan.identity(), versions())
        if self.plan.prior is not None:
            self.run_storage.write_bytes(PRIOR, self.plan.prior.as_bytes())
        write_real(self.run_storage, self.plan.data)
        journal = Journal(self.plan.run, owner.require_mine)
        record.settings, record.versions = settings, versions()
        record.ended = record.cause = None
        record.evaluation = evaluator.identity.as_dict()
        record.command = record.command or self._command
        journal.append(
            "sweep",
            format=FORMAT,
            command=self._command,
            settings=settings,
            evaluation=record.evaluation,
            shape=list(self.plan.data.shape),
            images=len(self.plan.data.train),
            versions=record.versions,
        )
        for trial in record.trials.values():
            if trial.final:
                apply_retention(
                    self.run_storage, record, trial, self.spec.bundles_kept, checkpoints=self.spec.checkpoints_kept
                )
            else:
                trial.state = "pending"
        return journal

    def _train(self, context: RunContext) -> str | None:
        """Let Tune run the remaining trials; return why it had to halt, or None."""
        spec, record = context.spec, context.record
        remaining, seconds = self.trials_left(record), self.search_left(record)
        if not remaining or (seconds is not None and seconds <= 0):
            return None
        exempt = self.published_in_full()
        scheduler = AshaScheduler(self.asha(), self.futility(), record, spec.kimg, exempt)
        planner = self.planner(record, context.journal)
        return run_trials(
            context,
            planner,
            scheduler,
            remaining,
            quiet=self.quiet,
            time_left=lambda: self.search_left(record),
            whole_time_left=self.time_left,
            later=self.later(),
        )
