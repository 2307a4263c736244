"""A run as Optuna's own tools see it: a copy of the journal as a study, for optuna-dashboard and notebooks.

The copy is never read back: the study that proposes settings lives in the driver's memory
(`search.trials.searcher`). A copy that cannot be written, or that disagrees with the journal, is made again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from gan.storage.storage import Storage
from search.algorithm.space import RECIPE
from search.run.active_parameters import Recipes, has_effect, is_number, recipes_of, searched, values_of
from search.run.record import SweepRecord, TrialRecord

FILE = "study.journal"
"""In a run's folder; `optuna-dashboard RUN/study.journal` opens it."""

STATES = {
    "pending": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    # Ended early by us. Optuna has no other word for it; the user attribute `verdict` tells them apart.
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

_TRIAL = "trial"
_SECONDS = 1.0
"""Between two looks of the driver's copy for changes."""

_RETRY_SECONDS = 30.0
"""Until a copy that could not be written is tried again."""

_LOCK_SECONDS = 5
_CLOSE_SECONDS = 30.0
"""How long a driver waits, at its end, for the rest of the copy."""


class Disagrees(Exception):
    """A copy contradicts the journal."""


class StudyCopy:
    """A study in any of Optuna's storages, brought up to date with a run's record.

    Args:
        storage: of Optuna; a study of the run's name in it is continued.
        run: the run's folder.
        record: of the run: its settings, its evaluation.

    Raises:
        Disagrees: the storage holds another study.
    """

    def __init__(self, storage: BaseStorage, run: Storage, record: SweepRecord) -> None:
        self._storage = storage
        self._recipes = recipes_of(run, record)
        self._spaces = distributions(self._recipes)
        self._study = self._open(str(record.settings.get("name") or run.root.rpartition("/")[2]), record)
        self._numbers: dict[str, int] = {}
        self._written: dict[str, tuple[str, float]] = {}
        for trial in storage.get_all_trials(self._study, deepcopy=False):
            name = trial.user_attrs.get(_TRIAL)
            if not isinstance(name, str) or name in self._numbers:
                raise Disagrees(f"trial {trial.number} is not one of ours")
            self._numbers[name] = trial._trial_id

    def _open(self, name: str, record: SweepRecord) -> int:
        studies = self._storage.get_all_studies()
        if [study.study_name for study in studies] == [name]:
            return int(studies[0]._study_id)
        if studies:
            raise Disagrees("it holds another study")
        study = int(self._storage.create_new_study([StudyDirection.MINIMIZE], name))
        evaluation = record.evaluation or {}
        self._storage.set_study_system_attr(study, "study:metric_names", [_metric(evaluation.get("features"))])
        attributes = {name: evaluation.get(name) for name in ("features", "samples", "data", "size")}
        for key, value in {**attributes, "kimg": record.settings.get("kimg")}.items():
            if value is not None:
                self._storage.set_study_user_attr(study, key, value)
        return study

    def update(self, record: SweepRecord, *, driven: bool) -> None:
        """Write what has changed since the last call.

        Args:
            record: of the run. Its driver may change it meanwhile: the next call writes the rest.
            driven: whether a driver is at work; without one a running trial is shown as waiting.

        Raises:
            Disagrees: the copy has a trial or a verdict that the journal does not have.
        """
        if not self._numbers.keys() <= record.trials.keys():
            raise Disagrees("it has trials that the journal does not have")
        for trial in list(record.trials.values()):
            # Read before the rest: a driver sets the state of a trial last.
            state = "pending" if trial.state == "running" and not driven else trial.state
            if self._written.get(trial.id) == (state, trial.kimg):
                continue
            snapshot = replace(trial, state=state)
            if trial.id in self._numbers:
                self._change(self._numbers[trial.id], snapshot)
            else:
                new = self._frozen(snapshot, record.times)
                self._numbers[trial.id] = self._storage.create_new_trial(self._study, new)
            self._written[trial.id] = (state, snapshot.kimg)

    def _frozen(self, trial: TrialRecord, times: dict[tuple[str, str], float]) -> FrozenTrial:
        """Return a trial that the copy does not have yet."""
        state, params = _state(trial), self._parameters(trial)
        frozen = create_trial(
            state=state,
            values=_values(trial) if state.is_finished() else None,
            params=params,
            distributions={name: self._spaces[name] for name in params},
            user_attrs=_attributes(trial),
            intermediate_values=_intermediate(trial),
        )
        # By default both are the present time.
        if frozen.datetime_start is not None and (trial.id, "start") in times:
            frozen.datetime_start = datetime.fromtimestamp(times[trial.id, "start"])
        if frozen.datetime_complete is not None and (trial.id, "verdict") in times:
            frozen.datetime_complete = datetime.fromtimestamp(times[trial.id, "verdict"])
        return frozen

    def _change(self, number: int, trial: TrialRecord) -> None:
        """Write what is new of a trial that the copy has."""
        known, state = self._storage.get_trial(number), _state(trial)
        if known.state.is_finished():
            if known.state != state:
                raise Disagrees(f"{trial.id} has another verdict")
            return
        if state.is_finished() and known.state == TrialState.WAITING:
            self._storage.set_trial_state_values(number, TrialState.RUNNING)
        elif state != known.state and not state.is_finished():
            self._storage.set_trial_state_values(number, state)
        for step, value in _intermediate(trial).items():
            if known.intermediate_values.get(step) != value:
                self._storage.set_trial_intermediate_value(number, step, value)
        if state.is_finished():
            for key, value in _attributes(trial).items():
                if known.user_attrs.get(key) != value:
                    self._storage.set_trial_user_attr(number, key, value)
            self._storage.set_trial_state_values(number, state, _values(trial))

    def _parameters(self, trial: TrialRecord) -> dict[str, Any]:
        """Return a trial's values of the searched parameters, published settings included."""
        space = (self._recipes.get(trial.recipe) or {}).get("space") or {}
        published = {name: trial.settings[name] for name in space if name in trial.settings}
        chosen = published if trial.source == "published" else trial.params
        active = {name: value for name, value in chosen.items() if has_effect(name, trial.settings)}
        values = {RECIPE: trial.recipe, **active}
        return {name: value for name, value in values.items() if _holds(self._spaces.get(name), value)}


def _metric(features: Any) -> str:
    """Return the name of a trial's value: distances of other features than Inception's are not FID."""
    return "best_fid" if features in ("inception", None) else f"best_fid ({features} features)"


def distributions(recipes: Recipes) -> dict[str, BaseDistribution]:
    """Return one distribution for each searched parameter, wide enough for every recipe and its published value.

    The study that proposes settings keeps recipes apart. For people one `lr_g` is better than three, and
    Optuna's importance takes only parameters that have the same distribution in all trials.
    """
    spaces: dict[str, BaseDistribution] = {RECIPE: CategoricalDistribution(list(recipes))} if recipes else {}
    for name in searched(recipes):
        values = values_of(name, recipes)
        candidates = [(recipe.get("space") or {}).get(name) for recipe in recipes.values()]
        ranges = [space for space in candidates if isinstance(space, Mapping)]
        if not ranges or not all(map(is_number, values)):
            choices = list(dict.fromkeys(values))
            spaces[name] = CategoricalDistribution(sorted(choices) if all(map(is_number, choices)) else choices)
            continue
        low, high = min(values), max(values)
        log = low > 0 and all(space.get("log") for space in ranges)
        if all(isinstance(value, int) for value in values):
            spaces[name] = IntDistribution(low, high, log=log)
        else:
            spaces[name] = FloatDistribution(float(low), float(high), log=log)
    return spaces


def _holds(space: BaseDistribution | None, value: Any) -> bool:
    if isinstance(space, CategoricalDistribution):
        return value in space.choices
    return space is not None and is_number(value) and space._contains(space.to_internal_repr(value))


def _state(trial: TrialRecord) -> TrialState:
    state = STATES[trial.state]
    # Optuna wants a value of a complete trial; one that was never evaluated has none.
    return TrialState.FAIL if state == TrialState.COMPLETE and trial.best_fid is None else state


def _values(trial: TrialRecord) -> list[float] | None:
    return None if trial.best_fid is None or _state(trial) == TrialState.FAIL else [trial.best_fid]


def _intermediate(trial: TrialRecord) -> dict[int, float]:
    """Return images shown → best FID so far."""
    reports = ((report["kimg"], report.get("best_fid")) for report in trial.reports)
    return {round(kimg * 1000): best for kimg, best in reports if best is not None}


def _attributes(trial: TrialRecord) -> dict[str, Any]:
    attributes: dict[str, Any] = {_TRIAL: trial.id, "source": trial.source}
    if trial.final:
        last = trial.last
        attributes |= {"verdict": trial.state, "diverged": trial.state == "diverged", "kimg": trial.kimg}
        optional = {"reason": trial.reason, "best_kimg": last.get("best_kimg"), "seconds": last.get("seconds")}
        attributes |= {key: value for key, value in optional.items() if value is not None}
    return attributes


# ---- the file beside a running sweep


def open_file(path: Path, run: Storage, record: SweepRecord) -> StudyCopy:
    """Return the copy in a file, up to date: continued if it agrees with the journal, else made again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def open_copy() -> StudyCopy:
        # A process that holds the lock for longer was killed while it held it.
        lock = JournalFileSymlinkLock(str(path), grace_period=_LOCK_SECONDS)
        copy = StudyCopy(JournalStorage(JournalFileBackend(str(path), lock_obj=lock)), run, record)
        copy.update(record, driven=True)
        return copy

    try:
        _require_whole_end(path)
        return open_copy()
    except Exception:
        # Missing, another study's, or damaged in one of many ways. It is a copy: nothing is lost.
        path.unlink(missing_ok=True)
        return open_copy()


def _require_whole_end(path: Path) -> None:
    """Raise `Disagrees` if a writer was killed in mid-line: Optuna would append the next line to it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) != b"\n":
            raise Disagrees("its last line is torn")


class StudyFile:
    """A listener that keeps the copy in a run's folder up to date, from a thread of its own.

    Optuna waits for the disk at every number it writes, which a driver should not.

    Args:
        run: the run's folder, which must be on this machine.
        record: of the run, kept up to date by the driver.
    """

    def __init__(self, run: Storage, record: SweepRecord) -> None:
        assert run.local_path is not None
        self._run = run
        self._path = run.local_path / FILE
        self._record = record
        self._closing = threading.Event()
        self._abandoned = False
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._keep_copying, name="study copy", daemon=True)
        self._thread.start()

    def __call__(self, event: str, trial: TrialRecord) -> None:
        """Note the time; the thread finds out what has changed. Raise OSError if it could not be written, once."""
        self._record.times.setdefault((trial.id, event), time.time())
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise OSError(f"{FILE} could not be written: {problem}")

    def close(self, *, abandon: bool = False) -> None:
        """Write the rest; trials that have not ended are shown as waiting from now on.

        Args:
            abandon: write nothing more, as another driver has taken the run over.
        """
        self._abandoned = abandon
        self._closing.set()
        if not abandon:
            self._thread.join(timeout=_CLOSE_SECONDS)

    def _keep_copying(self) -> None:
        copy: StudyCopy | None = None
        while not self._abandoned:
            closing = self._closing.is_set()
            try:
                copy = copy or open_file(self._path, self._run, self._record)
                copy.update(self._record, driven=not closing)
            except Exception as error:
                self._problem = f"{type(error).__name__}: {error}"
                copy = None
            if closing:
                return
            self._closing.wait(_SECONDS if copy else _RETRY_SECONDS)
