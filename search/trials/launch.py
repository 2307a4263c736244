"""Launching and resuming a run of many trials: a sweep, or a comparison.

Reads top to bottom: check, own the run's folder, start Ray, let Tune run the trials, conclude.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from ray import tune

from gan.errors import InputError
from gan.evaluation.evaluator import EVALUATION_SEED, Evaluator
from gan.evaluation.identity import EvaluationIdentity, require_same
from gan.plots.pictures import write_real
from gan.storage.retrying import RetryingStorage
from gan.storage.storage import Storage
from gan.terminal import one_line, warn, working
from gan.versions import versions
from search.algorithm.asha import Asha
from search.algorithm.futility import Futility
from search.cluster.cluster import OnShutdown, connected
from search.cluster.gpu_share import with_measured_share
from search.cluster.lost_workers import lost_workers_are_retried
from search.cluster.nodes import check_nodes, trials_that_fit
from search.cluster.watch import ClusterWatch, Use
from search.plan.preflight import Plan, preflight
from search.plan.spec import RunSpec, validate
from search.run.journal import FORMAT, JOURNAL, Journal
from search.run.owner import Owner
from search.run.record import TIME_BUDGET, SweepRecord, TrialRecord, read_record
from search.run.retention import apply_retention
from search.run.run_folder import (
    SETTINGS,
    kind_of,
    read_settings,
    require_same_identity,
    warn_of_a_program,
    write_settings,
)
from search.trackers.terminal import Progress
from search.trackers.trackers import trackers
from search.trials.planner import Planner
from search.trials.recorder import Halt, Recorder
from search.trials.scheduler import AshaScheduler
from search.trials.trial import TrialContext, train_trial

_LAST_RETRY_SECONDS = 5.0
"""Seconds for which the last event is tried again: somebody waits for this process to end."""


class SweepInterrupted(Exception):
    """The run was told to stop; everything needed to go on is on storage."""


class SweepHalted(Exception):
    """No trial can go on, for the reason given; mended, the run can be resumed."""


@dataclass(frozen=True)
class RunContext:
    """A run that this process drives: what the steps of a launch share.

    Attributes:
        spec: with GPUs filled in.
        record: kept up to date.
        evaluator: with the reference statistics, computed once.
        on_shutdown: takes what is to be done once Ray has ended.
    """

    spec: RunSpec
    record: SweepRecord
    journal: Journal
    evaluator: Evaluator
    owner: Owner
    on_shutdown: OnShutdown


class Launch(ABC):
    """A run of many trials in a folder of its own, started or gone on with.

    The same name and identity as an existing run goes on with that run; a finished one is left as
    it is.

    Args:
        spec: its settings.
        run: the run's folder, if it is not the storage's folder of the spec's name.
        command: the command line that launched it, for the record.
        quiet: show no progress.
        packing: called with rows packed so far and in all, when data must be packed first.

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
        self.plan: Plan = preflight(spec, run, packing)
        self.spec = self.plan.spec
        self.run_storage = self.plan.run
        self._command = command
        self.quiet = quiet
        self._deadline: float | None = None
        if self.run_storage.exists(SETTINGS):
            _require_kind(self.run_storage, spec.kind)
            require_same_identity(self.run_storage, self.plan.identity(), self.spec.growing)

    @classmethod
    def reopen(cls, run: Storage, change: Callable[[dict[str, Any]], dict[str, Any]], **options: Any) -> Self:
        """Return the run in a folder, ready to go on.

        Args:
            change: what is new in its settings, given those it was last launched with.
            options: as the class takes them.
        """
        settings = read_settings(run)["settings"]
        warn_of_a_program(settings)
        # A time budget is of one launch: the next would end before it had begun.
        changed = {**settings, "time_budget": None, **change(settings)}
        return cls(validate(cls.spec_type, changed, f"{run.uri}/{SETTINGS}"), run=run, **options)

    # ---- what tells one kind of run from another

    @abstractmethod
    def trials_left(self, record: SweepRecord) -> int:
        """Return how many trials are still to be run, or to be run to their end."""

    @abstractmethod
    def planner(self, record: SweepRecord, journal: Journal) -> Planner:
        """Return what hands out the trials."""

    @abstractmethod
    def asha(self) -> Asha:
        """Return the rungs at which trials that fall behind are stopped."""

    def futility(self) -> Futility | None:
        """Return the rule about which trials may still win; None where all train to their full length."""
        return None

    @abstractmethod
    def concluded(self, record: SweepRecord) -> bool:
        """Tell whether what follows when all trials have ended is done as well."""

    @abstractmethod
    def conclude(self, context: RunContext) -> None:
        """Do what follows when all trials have ended."""

    # ---- the launch

    def run(self) -> SweepRecord:
        """Run all trials that are not finished yet; return the record of the run.

        Raises:
            InputError: see the class; nothing has been written.
            SweepInterrupted: by Ctrl-C or SIGTERM; the run can be resumed. (When the time budget ends it,
                the record says "interrupted", and that cause.)
            SweepHalted: storage or data failed; the run can be resumed.
        """
        record = self._read_record()
        if self.done(record):
            return record
        with working("measuring the real images", self.quiet):
            evaluator = self._evaluator(record)
        with working("starting Ray", self.quiet) as started, connected(self.spec) as (spec, on_shutdown):
            started()
            # What any node lacks is told before anything is written.
            check_nodes(spec, self.plan.data.content_hash)
            if self.spec.gpus_per_trial == "auto" and spec.gpus and spec.device != "cpu":
                spec = with_measured_share(spec, self.plan.recipes, evaluator)
            for caveat in (self.plan.data.caveat(), evaluator.caveat()):
                if caveat is not None:
                    warn(caveat)
            return self.run_connected(spec, evaluator, on_shutdown)

    def run_connected(self, spec: RunSpec, evaluator: Evaluator, on_shutdown: OnShutdown) -> SweepRecord:
        """Do as `run`, where Ray is there already."""
        owner = Owner(self.run_storage)
        # What has begun outlives a storage that does not answer for a while. Not so the owner's heartbeat, where
        # the next one makes good for one that failed, and the journal, which has patience of its own.
        self.run_storage = RetryingStorage.of(self.plan.run)
        on_shutdown(owner.release)
        # Another driver may have come and gone while this one was getting ready.
        record = self._read_record()
        if self.done(record):
            return record
        context = RunContext(spec, record, self._begin(record, evaluator, owner), evaluator, owner, on_shutdown)
        halted: str | None = None
        try:
            halted = self._train(context)
            if halted is None and not self.trials_left(record):
                self.conclude(context)
            left = self.time_left()
            if halted is None and not self.done(record) and left is not None and left <= 0:
                record.cause = TIME_BUDGET
        except (KeyboardInterrupt, SweepInterrupted):
            raise SweepInterrupted(self.run_storage.uri) from None
        except OSError as error:
            raise SweepHalted(one_line(error)) from error
        finally:
            # Where storage is what failed, this fails too, and must not hide what came before.
            with suppress(OSError):
                record.ended = "finished" if self.done(record) else "interrupted"
                end = {"state": record.ended, "cause": record.cause}
                context.journal.append_all([("end", end)], retry_seconds=_LAST_RETRY_SECONDS)
        if halted is not None and record.ended != "finished":
            raise SweepHalted(halted)
        return record

    def done(self, record: SweepRecord) -> bool:
        """Tell whether nothing is left to do."""
        return not self.trials_left(record) and self.concluded(record)

    # ---- steps

    def _read_record(self) -> SweepRecord:
        """Return what the run's journal tells; an empty record of a run that has not begun.

        Raises:
            InputError: the journal is gone or empty, but not the trials that it told of.
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
        """Compute the reference once, before the first trial; refuse to go on with another one."""
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
            versions=record.versions,
        )
        for trial in record.trials.values():
            if trial.final:
                apply_retention(self.run_storage, record, trial, self.spec.bundles_kept)
            else:
                trial.state = "pending"
        return journal

    def _train(self, context: RunContext) -> str | None:
        """Let Tune run the trials that are left; return why it had to halt, if it had."""
        spec, record = context.spec, context.record
        self._deadline = time.monotonic() + spec.time_budget if spec.time_budget else None
        left = self.trials_left(record)
        if not left:
            return None
        scheduler = AshaScheduler(self.asha(), self.futility(), record, spec.kimg)
        planner = self.planner(record, context.journal)
        watch = ClusterWatch()
        # On a cluster, who says how many run at once means it: for those that wait an autoscaler adds nodes.
        if spec.address is None or spec.concurrent is None:
            planner.room = lambda: room_for_trials(watch.use, planner.trials.values(), spec)
        total = left + sum(trial.final for trial in record.trials.values())
        progress = Progress(record, total, watch=watch, quiet=self.quiet, time_left=self.time_left)
        with (
            _scratch() as scratch,
            watch,
            progress,
            trackers(self.plan.run, record, lambda: context.owner.lost) as listeners,
            lost_workers_are_retried(),
        ):
            recorder = Recorder(
                self.run_storage,
                record,
                context.journal,
                planner,
                scheduler,
                spec.kimg,
                spec.bundles_kept,
                [*listeners, progress],
                watch=watch,
                notice=progress.notice,
            )
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(train_trial, shared=self._shared(context)),
                    {"cpu": spec.cpus_per_trial, "gpu": spec.gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=planner,
                    scheduler=scheduler,
                    num_samples=left,
                    max_concurrent_trials=spec.concurrent,
                    time_budget_s=spec.time_budget,
                    reuse_actors=True,
                    trial_dirname_creator=_trial_name,
                    trial_name_creator=_trial_name,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=scratch,
                    callbacks=[recorder],
                    stop=Halt(recorder, context.owner),
                    failure_config=tune.FailureConfig(max_failures=spec.retries),
                    verbose=0,
                ),
            ).fit()
        if context.owner.lost:
            return "another driver has taken this run over"
        return recorder.halted

    def _shared(self, context: RunContext) -> TrialContext:
        spec = context.spec
        return TrialContext(
            recipes=self.plan.recipes,
            data=spec.data,
            size=spec.size,
            crop=spec.crop,
            evaluator=context.evaluator,
            run=self.run_storage,
            total_kimg=spec.kimg,
            interval_kimg=spec.interval,
            threads=spec.worker_threads,
            device=spec.worker_device,
            gpus=spec.gpus,
            precision=spec.precision,
            provenance={"run": spec.name, "command": context.record.command},
            versions=context.record.versions,
        )

    def time_left(self) -> float | None:
        """Return what is left of the time budget in seconds; None if there is no budget."""
        return None if self._deadline is None else self._deadline - time.monotonic()


def room_for_trials(use: Use | None, trials: Iterable[TrialRecord], spec: RunSpec) -> int:
    """Return how many trials can run at once: as many as the nodes hold, less what other jobs have taken of them."""
    if use is None:
        return 0
    running = sum(trial.state == "running" for trial in trials)
    free = {kind: there - taken for kind, (taken, there) in (("CPU", use.cpus), ("GPU", use.gpus))}
    return min(sum(trials_that_fit(node, spec) for node in use.nodes), running + trials_that_fit(free, spec))


def _require_kind(run: Storage, kind: str) -> None:
    there = kind_of(run)
    if there != kind:
        raise InputError(f"{run.uri} holds a run of another kind ({there}, not {kind}); choose another --name")


def _trial_name(trial: Any) -> str:
    return str(trial.config.get("trial", trial.trial_id))


@contextmanager
def _scratch() -> Iterator[str]:
    """A folder for Tune's own state: nothing is resumed from it, so it need not outlive the launch."""
    folder = tempfile.mkdtemp(prefix="gan-search-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
