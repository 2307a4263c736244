"""Launching and resuming a sweep: `Sweep(spec).run()`.

Reads top to bottom: check, claim the run's folder, start Ray, let Tune run the trials, close.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune

from gan.errors import InputError
from gan.evaluation import EvaluationIdentity, Evaluator, require_same
from gan.storage import Storage
from gan.versions import versions
from search.asha import Asha
from search.journal import FORMAT, JOURNAL, Journal, SweepRecord, read_record
from search.lost_workers import lost_workers_are_retried
from search.preflight import Plan, preflight
from search.progress import Progress
from search.recorder import Listener, Recorder
from search.retention import settle
from search.run_folder import SETTINGS, Owner, read_settings, require_same_identity, write_settings
from search.scheduler import AshaScheduler
from search.searcher import StudySearcher
from search.spec import SweepSpec, make_spec
from search.tensorboard import FOLDER, TensorBoard
from search.trial import Shared, train_trial

EVALUATION_SEED = 0
"""One for all sweeps, as for single trainings: their scores can be compared."""


class SweepInterrupted(Exception):
    """The sweep was told to stop; everything needed to go on is on storage."""


class SweepHalted(Exception):
    """No trial can go on, for the reason given; mended, the sweep can be resumed."""


class Sweep:
    """A hyperparameter search over recipes.

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

    def __init__(
        self,
        spec: SweepSpec,
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
        self._quiet = quiet
        if self.run_storage.exists(SETTINGS):
            require_same_identity(self.run_storage, self.plan.identity())

    @classmethod
    def resume(cls, run: Storage, *, more_trials: int = 0, **options: Any) -> Sweep:
        """Return the sweep in a run's folder, ready to go on, with `more_trials` added to it."""
        settings = read_settings(run)["settings"]
        trials = settings["trials"] + more_trials
        # A time budget is of one launch: the next would end before it had begun.
        changes = {"trials": trials, "time_budget": None}
        spec = make_spec({**settings, **changes}, f"{run.uri}/{SETTINGS}")
        return cls(spec, run=run, **options)

    def run(self) -> SweepRecord:
        """Run all trials that are not finished yet; return the record of the run.

        Raises:
            InputError: see the class; nothing has been written.
            SweepInterrupted: by Ctrl-C or SIGTERM; the run can be resumed. (When the time budget ends it,
                the record says "interrupted".)
            SweepHalted: storage or data failed; the run can be resumed.
        """
        record = self._read_record()
        if self._done(record):
            return record
        evaluator = self._evaluator(record)
        with _ray(self.spec) as (spec, at_the_end):
            owner = Owner(self.run_storage)
            at_the_end(owner.release)
            # Another driver may have come and gone while this one was getting ready.
            record = self._read_record()
            if self._done(record):
                return record
            journal = self._begin(record, evaluator)
            try:
                halted = self._fit(spec, record, journal, evaluator, owner)
            except KeyboardInterrupt:
                raise SweepInterrupted(self.run_storage.uri) from None
            finally:
                record.ended = "finished" if self._done(record) else "interrupted"
                if not owner.lost:
                    # On a full disk this fails too, and must not hide what came before.
                    with suppress(OSError):
                        journal.append("end", state=record.ended)
        if halted is not None and record.ended == "interrupted":
            raise SweepHalted(halted)
        return record

    # ---- steps

    def _read_record(self) -> SweepRecord:
        return read_record(self.run_storage) if self.run_storage.exists(JOURNAL) else SweepRecord()

    def _done(self, record: SweepRecord) -> bool:
        return len(record.trials) >= self.spec.trials and all(trial.final for trial in record.trials.values())

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

    def _begin(self, record: SweepRecord, evaluator: Evaluator) -> Journal:
        """Write down what is launched, and clear up after an earlier driver that was killed."""
        settings = self.spec.model_dump()
        self.run_storage.make_dirs("trials")
        write_settings(self.run_storage, settings, self.plan.identity(), versions())
        journal = Journal(self.run_storage)
        record.settings, record.versions, record.ended = settings, versions(), None
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
                settle(self.run_storage, record, trial, self.spec.top_k)
            else:
                trial.state = "pending"
        return journal

    def _fit(
        self, spec: SweepSpec, record: SweepRecord, journal: Journal, evaluator: Evaluator, owner: Owner
    ) -> str | None:
        """Let Tune run the trials that are left; return why it had to halt, if it had."""
        left = max(spec.trials, len(record.trials)) - sum(trial.final for trial in record.trials.values())
        scheduler = AshaScheduler(Asha(spec.rungs(), spec.reduction_factor), record)
        searcher = StudySearcher(spec, self.plan.recipes, record, journal)
        tensorboard = self._tensorboard()
        progress = Progress(record, spec.trials, quiet=self._quiet)
        listeners: list[Listener] = [tensorboard, progress] if tensorboard else [progress]
        recorder = Recorder(self.run_storage, record, journal, searcher, scheduler, spec.kimg, spec.top_k, listeners)
        with _scratch() as scratch, progress, lost_workers_are_retried():
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(train_trial, shared=self._shared(spec, record, evaluator)),
                    {"cpu": spec.cpus_per_trial, "gpu": spec.gpus_per_trial or 0},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
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
                    stop=_Halt(recorder, owner),
                    failure_config=tune.FailureConfig(max_failures=spec.retries),
                    verbose=0,
                ),
            ).fit()
        if tensorboard:
            tensorboard.close()
        if owner.lost:
            return "another driver has taken this run over"
        return recorder.halted

    def _shared(self, spec: SweepSpec, record: SweepRecord, evaluator: Evaluator) -> Shared:
        # A worker without a share of a GPU must not take one unseen.
        device = "cpu" if spec.device == "auto" and not spec.gpus_per_trial else spec.device
        return Shared(
            recipes=self.plan.recipes,
            data=spec.data,
            size=spec.size,
            crop=spec.crop,
            evaluator=evaluator,
            run=self.run_storage,
            total_kimg=spec.kimg,
            interval_kimg=spec.interval,
            threads=max(1, int(spec.cpus_per_trial)),
            device=device,
            precision=spec.precision,
            provenance={"run": spec.name, "command": record.command},
        )

    def _tensorboard(self) -> TensorBoard | None:
        folder = self.run_storage.local_path
        return TensorBoard(self.run_storage, folder / FOLDER, self.plan.recipes) if folder else None


def _trial_name(trial: Any) -> str:
    return str(trial.config.get("trial", trial.trial_id))


class _Halt(tune.Stopper):  # type: ignore[misc]
    """Ends the whole sweep, with no verdict on its trials, once none of them can go on."""

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


@contextmanager
def _ray(spec: SweepSpec) -> Iterator[tuple[SweepSpec, Callable[[Callable[[], None]], object]]]:
    """Connect to the cluster, or start Ray on this machine alone.

    Yields the spec with GPUs filled in, and a function that takes what is to be done once Ray has ended.

    Raises:
        InputError: the cluster cannot be reached, or lacks what a trial takes.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    mine = not ray.is_initialized()
    if mine:
        _connect(spec)
    # Ray sets signal handlers of its own as it starts; ours hold until it has ended.
    with ExitStack() as afterwards, _signals():
        try:
            yield _fill_gpus(spec), afterwards.callback
        finally:
            if mine:
                ray.shutdown()


_ENVIRONMENT = {
    # We keep our own record: Tune's loggers would write each trial's history three more times.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Its snapshots are not what a sweep is resumed from.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Ctrl-C is ours: it ends Ray, and says how to resume.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Why a trial was tried again or failed is in the journal, in one line.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def _connect(spec: SweepSpec) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if spec.address is None:
        # "local" starts a Ray of our own even where a stale or foreign cluster is advertised.
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=256 * 2**20,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
        return
    _require_answer(spec.address)
    try:
        ray.init(address=spec.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"--address {spec.address}: no Ray cluster answers there ({reason})") from None


def _require_answer(address: str) -> None:
    """Raise `InputError` unless something listens at host:port: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        # "auto" and the like are Ray's to look up.
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise InputError(f"--address {address}: nothing answers there ({error})") from None


def _fill_gpus(spec: SweepSpec) -> SweepSpec:
    there = ray.cluster_resources()
    gpus = there.get("GPU", 0.0)
    wanted = spec.gpus_per_trial if spec.gpus_per_trial is not None else min(1.0, gpus)
    for name, need, have in (("gpus", wanted, gpus), ("cpus", spec.cpus_per_trial, there.get("CPU", 0.0))):
        if need > have:
            raise InputError(f"--{name}-per-trial {need:g}: the cluster has {have:g}; ask for less, or add a node")
    return spec.model_copy(update={"gpus_per_trial": wanted})


@contextmanager
def _scratch() -> Iterator[str]:
    """A folder for Tune's own state: nothing is resumed from it, so it need not outlive the launch."""
    folder = tempfile.mkdtemp(prefix="gan-search-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, and the second signal as none."""

    def interrupt(*_: object) -> None:
        # A second signal must not break off the clearing up that the first has begun.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        # Not the main thread: signals are the caller's.
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
