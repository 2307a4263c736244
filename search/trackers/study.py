"""A sweep as Optuna's own tools see it: a copy of the journal, for optuna-dashboard and notebooks.

Never the source of truth. The study that proposes settings lives in the driver's memory
(`search.trials.searcher`); a copy that cannot be written, or that disagrees with the journal, is made again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gan.storage.storage import Storage
from search.algorithm.space import RECIPE
from search.run.active_parameters import Recipes, has_effect, is_number, searched, values_of
from search.run.record import SweepRecord, TrialRecord

FILE = "study.journal"
"""In a run's folder; `optuna-dashboard RUN/study.journal` opens it."""

STATES = {
    "pending": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    # Ended early, by us, as it would not have come to anything: Optuna has no other word for it. The
    # user attribute `verdict` says which.
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

_TRIAL = "trial"
_AGAIN_SECONDS = 30.0
"""Until a copy that could not be written is tried again."""

_LOCK_SECONDS = 5
_CLOSE_SECONDS = 30.0
"""How long a driver waits, at its end, for the rest of the copy."""


class Disagrees(Exception):
    """A copy tells something else than the journal."""


@dataclass(frozen=True)
class Times:
    """When a trial began and ended, in seconds since 1970; None where not known, or not yet."""

    began: float | None = None
    ended: float | None = None


class Copy:
    """A study in any of Optuna's storages, brought up to date trial by trial.

    Args:
        storage: where; a study of this name is gone on with.
        name: of the study.
        recipes: that the sweep searches over.
        attributes: what else there is to say of the study.
    """

    def __init__(self, storage: BaseStorage, name: str, recipes: Recipes, attributes: Mapping[str, Any]) -> None:
        self._storage = storage
        self._recipes = recipes
        self._spaces = distributions(recipes)
        self._study = self._open(name, attributes)
        self._numbers: dict[str, int] = {}
        for trial in storage.get_all_trials(self._study, deepcopy=False):
            known = trial.user_attrs.get(_TRIAL)
            if not isinstance(known, str) or known in self._numbers:
                raise Disagrees(f"trial {trial.number} is not one of ours")
            self._numbers[known] = trial._trial_id

    def _open(self, name: str, attributes: Mapping[str, Any]) -> int:
        studies = self._storage.get_all_studies()
        if [study.study_name for study in studies] == [name]:
            return int(studies[0]._study_id)
        if studies:
            raise Disagrees("it holds another study")
        study = self._storage.create_new_study([StudyDirection.MINIMIZE], name)
        self._storage.set_study_system_attr(study, "study:metric_names", [_metric(attributes.get("features"))])
        for key, value in attributes.items():
            self._storage.set_study_user_attr(study, key, value)
        return int(study)

    def require_agreement(self, record: SweepRecord) -> None:
        """Raise `Disagrees` if the copy knows trials or verdicts that the journal does not."""
        if not self._numbers.keys() <= record.trials.keys():
            raise Disagrees("it has trials that the journal has not")
        for name, number in self._numbers.items():
            state = self._storage.get_trial(number).state
            if state.is_finished() and state != _state(record.trials[name]):
                raise Disagrees(f"{name} has another verdict")

    def sync(self, trial: TrialRecord, times: Times) -> None:
        """Write what the copy does not yet know of a trial.

        Raises:
            Disagrees: it has ended otherwise there.
        """
        if trial.id not in self._numbers:
            frozen = _frozen(trial, times, *self._parameters(trial))
            self._numbers[trial.id] = self._storage.create_new_trial(self._study, frozen)
            return
        number, wanted = self._numbers[trial.id], _state(trial)
        known = self._storage.get_trial(number)
        if known.state.is_finished():
            if known.state != wanted:
                raise Disagrees(f"{trial.id} has another verdict")
            return
        if wanted != known.state and not wanted.is_finished():
            self._storage.set_trial_state_values(number, wanted)
        elif wanted.is_finished() and known.state == TrialState.WAITING:
            self._storage.set_trial_state_values(number, TrialState.RUNNING)
        for step, value in _intermediate(trial).items():
            if known.intermediate_values.get(step) != value:
                self._storage.set_trial_intermediate_value(number, step, value)
        if wanted.is_finished():
            for key, value in _attributes(trial).items():
                if known.user_attrs.get(key) != value:
                    self._storage.set_trial_user_attr(number, key, value)
            self._storage.set_trial_state_values(number, wanted, _values(trial))

    def _parameters(self, trial: TrialRecord) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return what the trial was given of what is searched; published settings included."""
        space = (self._recipes.get(trial.recipe) or {}).get("space") or {}
        published = {name: trial.settings[name] for name in space if name in trial.settings}
        chosen = published if trial.source == "published" else trial.params
        wanted = {RECIPE: trial.recipe} | {name: v for name, v in chosen.items() if has_effect(name, trial.settings)}
        fit = {name: value for name, value in wanted.items() if _holds(self._spaces.get(name), value)}
        return fit, {name: self._spaces[name] for name in fit}


def _metric(features: Any) -> str:
    """Return what the value is called: distances of other features than Inception's are not FID."""
    return "best_fid" if features in ("inception", None) else f"best_fid ({features} features)"


def distributions(recipes: Recipes) -> dict[str, BaseDistribution]:
    """Return one distribution for each searched parameter, wide enough for every recipe and its published value.

    The study that proposes settings keeps recipes apart. For people one `lr_g` is better than three, and
    Optuna's importance only takes in parameters that have the same distribution in all trials.
    """
    spaces: dict[str, BaseDistribution] = {RECIPE: CategoricalDistribution(list(recipes))} if recipes else {}
    for name in searched(recipes):
        values = values_of(name, recipes)
        ranges = [space for space in _spaces(name, recipes) if isinstance(space, Mapping)]
        if not ranges or not all(map(is_number, values)):
            spaces[name] = CategoricalDistribution(_in_order(values))
            continue
        low, high = min(values), max(values)
        log = low > 0 and all(space.get("log") for space in ranges)
        if all(isinstance(value, int) for value in values):
            spaces[name] = IntDistribution(low, high, log=log)
        else:
            spaces[name] = FloatDistribution(float(low), float(high), log=log)
    return spaces


def _spaces(name: str, recipes: Recipes) -> Iterable[Any]:
    return ((recipe.get("space") or {}).get(name) for recipe in recipes.values())


def _in_order(values: list[Any]) -> list[Any]:
    different = list(dict.fromkeys(values))
    return sorted(different) if all(map(is_number, different)) else different


def _holds(space: BaseDistribution | None, value: Any) -> bool:
    if isinstance(space, CategoricalDistribution):
        return value in space.choices
    return space is not None and is_number(value) and space._contains(space.to_internal_repr(value))


def _state(trial: TrialRecord) -> TrialState:
    state = STATES[trial.state]
    # What has run to its end without ever being evaluated has no value, which Optuna wants of a complete one.
    return TrialState.FAIL if state == TrialState.COMPLETE and trial.best_fid is None else state


def _values(trial: TrialRecord) -> list[float] | None:
    return None if trial.best_fid is None or _state(trial) == TrialState.FAIL else [trial.best_fid]


def _intermediate(trial: TrialRecord) -> dict[int, float]:
    """Return images shown → best FID so far."""
    told = ((report["kimg"], report.get("best_fid")) for report in trial.reports)
    return {round(kimg * 1000): best for kimg, best in told if best is not None}


def _attributes(trial: TrialRecord) -> dict[str, Any]:
    attributes: dict[str, Any] = {_TRIAL: trial.id, "source": trial.source}
    if trial.final:
        last = trial.last
        attributes |= {"verdict": trial.state, "diverged": trial.state == "diverged", "kimg": trial.kimg}
        optional = {"reason": trial.reason, "best_kimg": last.get("best_kimg"), "seconds": last.get("seconds")}
        attributes |= {key: value for key, value in optional.items() if value is not None}
    return attributes


def _frozen(
    trial: TrialRecord, times: Times, params: dict[str, Any], spaces: dict[str, BaseDistribution]
) -> FrozenTrial:
    state = _state(trial)
    began = None if state == TrialState.WAITING else _moment(times.began)
    values = _values(trial) if state.is_finished() else None
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=values,
        datetime_start=began,
        datetime_complete=_moment(times.ended) if state.is_finished() else None,
        params=params,
        distributions=spaces,
        user_attrs=_attributes(trial),
        system_attrs={},
        intermediate_values=_intermediate(trial),
    )


def _moment(seconds: float | None) -> datetime:
    return datetime.fromtimestamp(time.time() if seconds is None else seconds)


def times_of(record: SweepRecord) -> dict[str, Times]:
    """Return when each trial began first, and ended, as the journal tells."""
    times: dict[str, Times] = {}
    for event in record.events:
        trial, at = str(event.get(_TRIAL)), event.get("time")
        known = times.get(trial, Times())
        if event["event"] == "start" and known.began is None:
            times[trial] = replace(known, began=at)
        elif event["event"] == "verdict" and known.ended is None:
            times[trial] = replace(known, ended=at)
    return times


def describe(record: SweepRecord) -> dict[str, Any]:
    """Return what a copy says of its study: how its distances were measured, and how long a full trial is."""
    evaluation = record.evaluation or {}
    said = {name: evaluation.get(name) for name in ("features", "samples", "data", "size")}
    return {name: value for name, value in {**said, "kimg": record.settings.get("kimg")}.items() if value is not None}


# ---- the file beside a running sweep


def open_file(path: Path, name: str, recipes: Recipes, record: SweepRecord) -> Copy:
    """Return the copy in a file, gone on with where it agrees with the journal, else made anew."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if path.exists():
        try:
            _require_whole_end(path)
            copy = Copy(_storage(path), name, recipes, describe(record))
            copy.require_agreement(record)
            return copy
        except Exception:
            # Damaged in one of many ways, or another study's. It is a copy: no loss.
            path.unlink(missing_ok=True)
    return Copy(_storage(path), name, recipes, describe(record))


def _require_whole_end(path: Path) -> None:
    """Raise `Disagrees` if a writer was killed in mid-line: Optuna would glue the next line to it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) != b"\n":
            raise Disagrees("its last line is torn")


def _storage(path: Path) -> JournalStorage:
    # Whoever holds the lock for longer was killed while it did.
    lock = JournalFileSymlinkLock(str(path), grace_period=_LOCK_SECONDS)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


class StudyFile:
    """A listener that keeps the copy in a run's folder up to date, from a thread of its own.

    Optuna waits for the disk at every number it writes: nothing that a driver should wait for.

    Args:
        run: the run's folder, which must be on this machine.
        name: of the study.
        recipes: that it searches over.
        record: of the run, kept up to date by the driver; told from the beginning.
    """

    def __init__(self, run: Storage, name: str, recipes: Recipes, record: SweepRecord) -> None:
        folder = run.local_path
        assert folder is not None
        self._path = folder / FILE
        self._name = name
        self._recipes = recipes
        self._record = record
        self._times = times_of(record)
        self._lock = threading.Lock()
        self._changed = {trial.id: replace(trial) for trial in record.trials.values()}
        self._awake = threading.Event()
        self._awake.set()
        self._closing = False
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._keep_copying, name="study copy", daemon=True)
        self._thread.start()

    def __call__(self, event: str, trial: TrialRecord) -> None:
        if self._closing:
            return
        known = self._times.get(trial.id, Times())
        if event == "start" and known.began is None:
            self._times[trial.id] = replace(known, began=time.time())
        elif event == "verdict":
            self._times[trial.id] = replace(known, ended=time.time())
        self._change([trial])
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise OSError(f"{FILE} could not be written: {problem}")

    def close(self, *, abandon: bool = False) -> None:
        """Write the rest; what has not ended waits from now on.

        Args:
            abandon: write nothing more: the run is another driver's.
        """
        if abandon:
            with self._lock:
                self._changed = {}
            self._closing = True
            self._awake.set()
            return
        unfinished = [trial for trial in list(self._record.trials.values()) if not trial.final]
        self._change([replace(trial, state="pending") for trial in unfinished])
        self._closing = True
        self._awake.set()
        self._thread.join(timeout=_CLOSE_SECONDS)

    def _change(self, trials: Iterable[TrialRecord]) -> None:
        with self._lock:
            # A record as it is now: the driver goes on with its own.
            self._changed |= {trial.id: replace(trial) for trial in trials}
        self._awake.set()

    def _keep_copying(self) -> None:
        copy: Copy | None = None
        while self._awake.wait():
            self._awake.clear()
            with self._lock:
                changed, self._changed = self._changed, {}
            if self._closing and not changed:
                return
            try:
                copy = copy or open_file(self._path, self._name, self._recipes, self._record)
                for trial in changed.values():
                    copy.sync(trial, self._times.get(trial.id, Times()))
            except Exception as error:
                if self._closing:
                    return
                copy, self._problem = None, f"{type(error).__name__}: {error}"
                self._put_off(changed)
            if self._closing:
                self._awake.set()

    def _put_off(self, changed: dict[str, TrialRecord]) -> None:
        """Wait a while; then all is to be told again, as the file may have to be made anew."""
        with self._lock:
            everything = {trial.id: replace(trial) for trial in list(self._record.trials.values())}
            self._changed = everything | changed | self._changed
        end = time.monotonic() + _AGAIN_SECONDS
        while not self._closing and time.monotonic() < end:
            time.sleep(0.2)
        self._awake.set()
