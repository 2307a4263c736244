"""One of the best trials of a sweep, trained on from its last checkpoint; launched by `search.trials.launch`.

It is a run of its own in a folder inside the sweep's, so that the sweep's trials stay comparable: all of them have the
same length. Its first report is the sweep's last.
"""

from __future__ import annotations

import math
from typing import Any

from gan.data.workers import usable_cores
from gan.errors import InputError
from gan.evaluation.evaluator import Evaluator
from gan.evaluation.identity import EvaluationIdentity, require_same
from gan.settings import to_images
from gan.storage.storage import Storage
from gan.tensors.device import gpu_count
from gan.terminal import note, warn
from search.algorithm.asha import Asha
from search.cluster.nodes import most_cores
from search.plan.contestants import of_trial
from search.plan.spec import REST, ExtendSpec, RunSpec, SweepSpec, validate
from search.run.journal import JOURNAL, Journal
from search.run.owner import require_free
from search.run.record import LOST, SweepRecord, TrialRecord, read_extensions, read_record
from search.run.run_folder import EXTENDED, SETTINGS, kind_of, read_settings, warn_of_a_program
from search.trackers.remaining_time import Later
from search.trials.context import RunContext
from search.trials.launch import Launch
from search.trials.planner import Planner
from search.trials.scheduler import StoppingRule

REST_SHARE = 0.9
"""Share of the time that is left which a winner is to be trained on for; the report is written after it."""
PATIENCE = 2.0
"""A training ends once it is this many times as long as at its best: its minimum is past."""

_OWN = ("kind", "name", "recipes", "settings", "seed", "interval_kimg", "kimg", "time_budget", "cpus_per_trial")
"""Fields that an extension does not copy from its sweep."""


class Extension(Launch):
    """The further training of one trial; see `Launch`. Launched again with a greater length, it goes on to that."""

    spec_type = ExtendSpec
    spec: ExtendSpec

    @classmethod
    def of(
        cls,
        sweep: Storage,
        *,
        kimg: float,
        rank: int = 1,
        cpus_per_trial: float | None = None,
        time_budget: str | float | None = None,
        **options: Any,
    ) -> Extension:
        """Return the further training of a sweep's trial, ready to begin or to go on.

        Args:
            sweep: the sweep's folder.
            kimg: length of the trial in all.
            rank: 1 for the best trial.
            cpus_per_trial: cores that it takes; by default all, or on a cluster as many as a trial of the sweep. It
                stays as it was in the first launch.
            time_budget: as in a `RunSpec`.

        Raises:
            InputError: a driver is at work on the sweep, or this trial cannot be trained on.
        """
        if kind_of(sweep) != "sweep":
            raise InputError(f"{sweep.uri}: not a sweep; only a sweep's trials are trained on")
        require_free(sweep)
        warn_of_a_program(read_settings(sweep)["settings"])
        ranked = read_record(sweep).by_evidence()
        if rank > len(ranked):
            raise InputError(f"--rank {rank}: {sweep.uri} has {len(ranked)} ranked trials")
        trial = ranked[rank - 1]
        if trial.state in LOST:
            raise InputError(f"{trial.id} has {trial.state}, so it cannot be trained on; choose another --rank")
        if kimg <= trial.kimg:
            raise InputError(f"--kimg {kimg:g}: {trial.id} has {trial.kimg:g} kimg already; give its length in all")
        if not can_begin(sweep, trial):
            raise InputError(
                f"{trial.id}: its checkpoint was not kept (a sweep keeps those of its best --top-k, from version 0.2.0"
                " on); to train it from zero: the command below Reproduce in report.html, with a greater --kimg"
            )
        spec = validate(SweepSpec, read_settings(sweep)["settings"], sweep.uri)
        ended = _ended(sweep, trial)
        if ended is not None:
            raise InputError(f"{trial.id} was trained on to {ended.kimg:g} kimg: {ended.state}, {ended.reason}")
        extended = read_extensions(sweep).get(trial.id)
        if extended is not None and kimg < extended[1].trials[trial.id].kimg:
            reached = extended[1].trials[trial.id].kimg
            raise InputError(f"--kimg {kimg:g}: {trial.id} was trained on to {reached:g} kimg already; give more")
        wanted = extend_spec(sweep, spec, trial, kimg, cpus=cpus_per_trial, time_budget=time_budget)
        return cls(wanted, run=folder_of(sweep, trial), **options)

    @classmethod
    def resume(cls, run: Storage, **options: Any) -> Extension:
        """Return the extension in a folder, ready to go on."""
        return cls.reopen(run, lambda settings: {}, **options)

    @property
    def sweep(self) -> Storage:
        """The folder of the sweep that the trial is of."""
        return self.plan.run.above(f"{EXTENDED}/{self.spec.trial}")

    @property
    def reported(self) -> Storage:
        return self.sweep

    def origin(self) -> Storage:
        return self.sweep.child(f"trials/{self.spec.trial}")

    def trials_left(self, record: SweepRecord) -> int:
        return 1 - sum(trial.final for trial in record.trials.values())

    def planner(self, record: SweepRecord, journal: Journal) -> ExtensionPlanner:
        return ExtensionPlanner(self.spec, record, journal)

    def asha(self) -> Asha:
        return Asha([], 1.0)

    def futility(self) -> StoppingRule:
        return PastMinimum()

    def published_in_full(self) -> bool:
        return False

    def later(self) -> Later:
        begun = read_record(self.sweep).trials.get(self.spec.trial)
        return Later(before=0.0 if begun is None else begun.kimg)

    def concluded(self, record: SweepRecord) -> bool:
        return True

    def conclude(self, context: RunContext) -> None:
        """Do nothing: there is nothing beyond the training."""

    def _read_record(self) -> SweepRecord:
        record = super()._read_record()
        record.reopen(self.spec.kimg)
        return record

    def _evaluator(self, record: SweepRecord) -> Evaluator:
        evaluator, measured = super()._evaluator(record), read_record(self.sweep).evaluation
        if measured:
            # The best so far is kept, so both must be measured alike.
            require_same(EvaluationIdentity.from_dict(measured), evaluator.identity)
        return evaluator


class ExtensionPlanner(Planner):
    """Hands out the one trial, under its id in the sweep."""

    def __init__(self, spec: ExtendSpec, record: SweepRecord, journal: Journal) -> None:
        super().__init__(record, journal)
        self._spec = spec

    @property
    def next_id(self) -> str:
        return self._spec.trial

    def new_trial(self) -> TrialRecord | None:
        if self.trials:
            return None
        contestant, seed = self._spec.recipes[0], self._spec.seed
        recipe = contestant.load()
        objective, settings = recipe.part_names["objective"], dict(recipe.settings)
        return TrialRecord(
            self.next_id, recipe.name, objective, contestant.source, dict(contestant.params), settings, seed
        )


class PastMinimum:
    """Stops a training that has become no better for as long as it took to its best."""

    def __init__(self) -> None:
        self._best: dict[str, tuple[float, float]] = {}

    def report(self, trial: str, kimg: float, score: float) -> str | None:
        """Take in a report, whose score is the best so far; return why the training should stop, or None."""
        best = self._best.get(trial)
        if best is None or score < best[0]:
            self._best[trial] = score, kimg
            return None
        return f"no better since {best[1]:g} kimg" if kimg >= PATIENCE * best[1] else None


def folder_of(sweep: Storage, trial: TrialRecord) -> Storage:
    """Return the folder in which a trial of a sweep is trained on."""
    return sweep.child(f"{EXTENDED}/{trial.id}")


def can_begin(sweep: Storage, trial: TrialRecord) -> bool:
    """Tell whether a trial has been trained on, or has a checkpoint to begin with."""
    return folder_of(sweep, trial).exists(JOURNAL) or bool(sweep.list(f"trials/{trial.id}/checkpoints"))


def extend_spec(
    sweep: Storage,
    spec: SweepSpec,
    trial: TrialRecord,
    kimg: float,
    *,
    cpus: float | None = None,
    time_budget: str | float | None = None,
) -> ExtendSpec:
    """Return the spec of a trial's further training to `kimg` in all."""
    begun = _begun(sweep, trial)
    if begun is not None and cpus is not None and cpus != begun.cpus_per_trial:
        before = f"began with --cpus-per-trial {begun.cpus_per_trial:g}"
        warn(f"{trial.id}: its training {before}: its numbers will differ in their last digits")
    elif begun is not None:
        cpus = begun.cpus_per_trial
    elif cpus is None:
        on_gpu = bool(spec.gpus) or (spec.gpus_per_trial is None and gpu_count(spec.device) > 0)
        cpus = spec.cpus_per_trial if spec.address is not None or on_gpu else float(usable_cores())
    copied = {name: getattr(spec, name) for name in RunSpec.model_fields if name not in _OWN}
    own = {
        "name": f"{spec.name[:80]}-{trial.id}",
        "recipes": [of_trial(trial, trial.recipe, f"trial {trial.id} of {sweep.uri}")],
        "seed": trial.seed,
        "trial": trial.id,
        "interval_kimg": spec.interval,
        "kimg": kimg,
        "cpus_per_trial": cpus,
        "time_budget": time_budget,
    }
    return validate(ExtendSpec, copied | own, "extension")


def _begun(sweep: Storage, trial: TrialRecord) -> ExtendSpec | None:
    """Return the settings with which a trial's further training was launched last; None if it never was.

    Raises:
        InputError: they are damaged.
    """
    folder = folder_of(sweep, trial)
    if not folder.exists(JOURNAL):
        return None
    return validate(ExtendSpec, read_settings(folder)["settings"], f"{folder.uri}/{SETTINGS}")


def _ended(sweep: Storage, trial: TrialRecord) -> TrialRecord | None:
    """Return a trial's further training if more length would not help it: it is past its best, or was lost."""
    extended = read_extensions(sweep).get(trial.id)
    longer = None if extended is None else extended[1].trials[trial.id]
    return longer if longer is not None and longer.final and longer.state != "finished" else None


# ---- at the end of a sweep


def _to_finish(spec: SweepSpec, record: SweepRecord, run: Storage) -> TrialRecord | None:
    """Return the trial that a sweep trains on in the end; None if it does not, or there is none."""
    if spec.finish is None:
        return None
    able = (trial for trial in record.by_evidence() if trial.state not in LOST and can_begin(run, trial))
    return next(able, None)


def is_finished(spec: SweepSpec, record: SweepRecord, run: Storage) -> bool:
    """Tell whether the winner of a sweep whose trials have ended has been trained on as far as it should."""
    trial = _to_finish(spec, record, run)
    if trial is None or spec.finish is None or _ended(run, trial) is not None:
        return True
    extended = read_extensions(run).get(trial.id)
    longer = None if extended is None else extended[1].trials[trial.id]
    if isinstance(spec.finish, float):
        return longer is not None and to_images(longer.kimg) >= to_images(spec.finish * spec.kimg)
    # Without a budget nothing tells how far. What was begun is trained as far as it was to be.
    begun = _begun(run, trial)
    if longer is None or begun is None:
        return spec.time_budget is None
    return longer.final or begun.kimg <= max(longer.kimg, trial.kimg)


def is_due(spec: SweepSpec, record: SweepRecord, run: Storage) -> bool:
    """Tell whether a sweep keeps time for training its winner on: some trial might be."""
    leader = next(iter(record.ranked()), None)
    return spec.finish == REST and (leader is None or _ended(run, leader) is None)


def finish(sweep: Launch, context: RunContext) -> None:
    """Train the winner of a sweep on; go on with that if an earlier launch has begun it."""
    spec, seconds, run = context.spec, sweep.time_left(), sweep.plan.run
    assert isinstance(spec, SweepSpec)
    if spec.finish is None or (seconds is not None and seconds <= 0):
        return
    trial = _to_finish(spec, context.record, run)
    if trial is None:
        warn("no trial has a checkpoint to go on from, so none is trained on")
        return
    kimg = _length(spec, trial, run, seconds)
    if _ended(run, trial) is not None or kimg is None or kimg <= trial.kimg:
        return
    begun = _begun(run, trial)
    # Ray may have been started with fewer cores than there are, or there are fewer than there were.
    wanted = extend_spec(run, spec, trial, kimg, time_budget=seconds)
    most = most_cores()
    if wanted.cpus_per_trial > most:
        wanted = extend_spec(run, spec, trial, kimg, cpus=most, time_budget=seconds)
    context.journal.append("extended", trial=trial.id, kimg=wanted.kimg)
    if not sweep.quiet:
        note(f"{trial.id}, the best, is {'still ' * (begun is not None)}trained on, to {wanted.kimg:g} kimg")
    extension = Extension(wanted, run=folder_of(run, trial), command=context.record.command, quiet=sweep.quiet)
    extension.run_connected(wanted, context.evaluator, context.on_shutdown)


def _length(spec: SweepSpec, trial: TrialRecord, run: Storage, seconds: float | None) -> float | None:
    """Return the kimg that the winner is trained to; None if nothing tells.

    For the rest of a budget, that is as far as its own rate will take it. It was measured beside other trials; alone,
    and with more cores, a training is faster.
    """
    if isinstance(spec.finish, float):
        return spec.finish * spec.kimg
    begun, extended = _begun(run, trial), read_extensions(run).get(trial.id)
    if seconds is None:
        return None if begun is None else begun.kimg
    longer = trial if extended is None else extended[1].trials[trial.id]
    reached, taken = longer.kimg, longer.last.get("seconds")
    if not reached or not taken:
        return None
    rate = reached / taken
    if extended is None:
        cores = extend_spec(run, spec, trial, trial.kimg + spec.interval).cpus_per_trial
        rate *= math.sqrt(max(1.0, cores / spec.cpus_per_trial))
    return reached + spec.interval * int(REST_SHARE * seconds * rate / spec.interval)
