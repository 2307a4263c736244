"""The record of a run: the events of its journal, folded in order into the state of each trial and of the whole."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from gan.errors import InputError
from gan.settings import to_images
from gan.storage.storage import Storage
from search.run.event_schema import fits_schema, is_number
from search.run.journal import FORMAT, JOURNAL, read_events
from search.run.outcome import Outcome
from search.run.run_folder import EXTENDED

RESCORE_EVENTS = ("rescore", "rescored")
"""Events that no launch wrote. They may come days after the sweep, and its wall-clock time leaves them out."""

TIME_BUDGET = "time budget"
"""Cause of an end: the run's own time budget."""

FINAL = ("finished", "stopped", "diverged", "failed")
"""States of a trial that is never trained again."""
LOST = ("diverged", "failed")
"""Those of them whose settings or machine ended the training."""

_TRIAL_EVENTS = ("trial", "start", "report", "retry", "verdict")
"""Events of a trial, as a `search.trackers.trackers.Listener` is called with."""


@dataclass(frozen=True)
class Rescore:
    """A trial's best generator, judged again by better features or with more samples than in the search.

    Attributes:
        fid: mean over the draws; None if samples were not finite.
        fids: of each draw of latents.
        metric: name of the distance.
        kimg: age of the generator.
        evaluation: identity of the measurement.
        generator_sha256: of the weights that were judged.
    """

    fid: float | None
    fids: list[float | None]
    kimg: float
    evaluation: dict[str, Any]
    metric: str
    generator_sha256: str

    @property
    def std(self) -> float | None:
        """Standard deviation over the draws; None for a single one."""
        known = [fid for fid in self.fids if fid is not None]
        return statistics.stdev(known) if len(known) > 1 and len(known) == len(self.fids) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that a bundle and a report show."""
        score = {"metric": self.metric, "fid": self.fid, "fid_std": self.std, "draws": len(self.fids)}
        return score | {"evaluation": self.evaluation}

    def is_like(self, evaluation: dict[str, Any]) -> bool:
        """Tell whether two measurements can be compared. The data's name may differ."""
        return _without_name(self.evaluation) == _without_name(evaluation)


def _without_name(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evaluation.items() if name != "data"}


@dataclass
class TrialRecord:
    """One trial, as far as the journal knows it.

    Attributes:
        id: short, and the name of the trial's folder.
        params: the sampled settings; empty for published ones.
        settings: all settings it trains with.
        provenance: how its settings were chosen: "published", "points", "portfolio", "prior", "model" or "random"; None
            in a comparison, and where version 0.1.0 chose them.
        reports: by kimg, the last one of each.
        state: pending, running, finished, stopped, diverged or failed.
        outcome: of its verdict, finer than the state; None before it.
        draws: FID of its best generator on each of several latent draws, taken after its training;
            None where the samples were not finite.
        rescores: results of re-scoring, the last of each measurement.
    """

    id: str
    recipe: str
    objective: str
    source: str
    params: dict[str, Any]
    settings: dict[str, Any]
    seed: int
    provenance: str | None = None
    state: str = "pending"
    reason: str | None = None
    outcome: Outcome | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    draws: list[float | None] = field(default_factory=list)
    rescores: list[Rescore] = field(default_factory=list)

    @property
    def last(self) -> dict[str, Any]:
        """The last report, or an empty one."""
        return self.reports[-1] if self.reports else {}

    @property
    def best_fid(self) -> float | None:
        value: float | None = self.last.get("best_fid")
        return value

    @property
    def kimg(self) -> float:
        return float(self.last.get("kimg", 0.0))

    @property
    def final(self) -> bool:
        return self.state in FINAL

    def rescored(self, evaluation: dict[str, Any]) -> Rescore | None:
        """Return the result of a measurement of its best generator; None if a better generator followed."""
        alike = (rescore for rescore in self.rescores if rescore.is_like(evaluation))
        return next((rescore for rescore in alike if rescore.kimg == self.last.get("best_kimg")), None)

    def best_fid_at(self, kimg: float) -> float | None:
        """Return its best FID within its first `kimg`."""
        within = [report.get("best_fid") for report in self.reports if report["kimg"] <= kimg + 1e-6]
        return within[-1] if within else None

    def conclude(self, outcome: Outcome, reason: str | None) -> None:
        """Take in the verdict."""
        self.outcome, self.reason = outcome, reason
        # The state comes last: other threads read the record meanwhile.
        self.state = outcome.state

    def add_report(self, report: dict[str, Any]) -> None:
        """Append a report. A resumed trial repeats reports: they replace the earlier ones."""
        self.reports = [old for old in self.reports if old["kimg"] < report["kimg"]] + [report]


@dataclass
class SweepRecord:
    """A run, as far as its journal knows it.

    Attributes:
        settings: the resolved spec of the last launch.
        trials: by id, in order of creation.
        times: (trial, "start" or "verdict") → when, in seconds since 1970; of several starts the first counts.
        wall_seconds: the time of all launches together.
        ended: "finished", "interrupted", or None while a driver runs or after one was killed.
        cause: `TIME_BUDGET` if that ended the last launch, else None.
        promise: what a finished sweep foresees for its winner, trained longer: the fields of `Promise`.
        shape, images: of a row of the data, and number of images to train on; empty and 0 in runs of version 0.1.0.
        rescoring: the last complete re-scoring: {"trials", "evaluation"}.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    trials: dict[str, TrialRecord] = field(default_factory=dict)
    times: dict[tuple[str, str], float] = field(default_factory=dict)
    wall_seconds: float = 0.0
    ended: str | None = None
    cause: str | None = None
    promise: dict[str, Any] | None = None
    shape: tuple[int, ...] = ()
    images: int = 0
    rescoring: dict[str, Any] | None = None

    def ranked(self) -> list[TrialRecord]:
        """Return the trials that have a best FID, best first."""
        judged = [trial for trial in list(self.trials.values()) if trial.best_fid is not None]
        return sorted(judged, key=lambda trial: (trial.best_fid, trial.id))

    def by_evidence(self) -> list[TrialRecord]:
        """Return the trials of `ranked`; the re-scored ones come first, ranked by their new scores.

        Generators are shown and exported in this order. The search, its rungs and the retention go by `ranked`: all
        trials have that number, measured alike.
        """
        rescores = {trial.id: self.rescored(trial) for trial in self.ranked()}
        scores = {name: rescore.fid for name, rescore in rescores.items() if rescore and rescore.fid is not None}
        return sorted(self.ranked(), key=lambda trial: scores.get(trial.id, math.inf))

    def reopen(self, kimg: float) -> None:
        """Prepare for a launch: what has not ended goes on, and so does what was finished at a smaller length."""
        for trial in self.trials.values():
            if not trial.final or (trial.state == "finished" and to_images(trial.kimg) < to_images(kimg)):
                trial.state = "pending"

    def rescored(self, trial: TrialRecord) -> Rescore | None:
        """Return the result of a trial in the last re-scoring, if it took part."""
        if self.rescoring is None or trial.id not in self.rescoring["trials"]:
            return None
        return trial.rescored(self.rescoring["evaluation"])


def read_record(storage: Storage) -> SweepRecord:
    """Read a run's journal.

    Raises:
        InputError: not a run, or one of a newer version.
    """
    return fold(read_events(storage), storage.uri)


def read_extensions(run: Storage) -> dict[str, tuple[Storage, SweepRecord]]:
    """Return the trials of a sweep that were trained on: id → the folder of that training, and its record.

    Raises:
        InputError: one of them is of a newer version.
    """
    folders = {name: run.child(f"{EXTENDED}/{name}") for name in sorted(run.list(EXTENDED))}
    events = {name: filter(fits_schema, read_events(each)) for name, each in folders.items() if each.exists(JOURNAL)}
    records = {name: fold(lines, folders[name].uri) for name, lines in events.items()}
    return {name: (folders[name], record) for name, record in records.items() if name in record.trials}


def fold(events: Iterable[dict[str, Any]], name: str = "run") -> SweepRecord:
    """Fold events, in order, into the record of a sweep."""
    record = SweepRecord()
    for event, record.wall_seconds in timed(events):
        apply(record, event, name)
    return record


def timed(events: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield each event with the seconds that all launches together had taken by then, up to their last events."""
    earlier = launch = seen = 0.0
    begun: float | None = None
    for event in events:
        now = float(event.get("time", 0.0))
        if event["event"] == "sweep":
            earlier, begun = earlier + launch, now
        seen = seen if event["event"] in RESCORE_EVENTS else now
        launch = 0.0 if begun is None else seen - begun
        yield event, earlier + launch


def apply(record: SweepRecord, event: dict[str, Any], name: str = "run") -> None:
    """Apply one event to a record, except for `wall_seconds`.

    Raises:
        InputError: a newer version wrote it.
    """
    kind = event["event"]
    if kind == "sweep":
        _begin(record, event, name)
    elif kind == "trial":
        fields = ("recipe", "objective", "source", "params", "settings", "seed")
        values = {key: event[key] for key in fields}
        trial = TrialRecord(event["trial"], **values, provenance=event.get("provenance"))
        record.trials[trial.id] = trial
    elif kind == "end":
        record.ended, record.cause = event["state"], event.get("cause")
        record.promise = event.get("promise")
    elif kind == "rescored":
        record.rescoring = {"trials": event["trials"], "evaluation": event["evaluation"]}
    elif event.get("trial") in record.trials:
        _apply_to_trial(record.trials[event["trial"]], kind, event)
        if kind in ("start", "verdict") and event.get("time"):
            record.times.setdefault((event["trial"], kind), event["time"])


def _begin(record: SweepRecord, event: dict[str, Any], name: str) -> None:
    if event["format"] > FORMAT:
        version = event["versions"].get("gan-search", "?")
        raise InputError(
            f"{name}: made by a newer gan-search, {version} (journal format {event['format']}); upgrade to read it"
        )
    record.settings, record.evaluation = event["settings"], event["evaluation"]
    record.versions = event["versions"]
    record.shape, record.images = tuple(event.get("shape", ())), event.get("images", 0)
    # The first launch's command: "gan-search resume …" alone reproduces nothing.
    record.command = record.command or event["command"]
    record.ended = record.cause = None
    kimg = record.settings.get("kimg") if isinstance(record.settings, dict) else None
    record.reopen(kimg if is_number(kimg) else 0.0)


def _apply_to_trial(trial: TrialRecord, kind: str, event: dict[str, Any]) -> None:
    if kind == "start" and not trial.final:
        trial.state = "running"
    elif kind == "report":
        trial.add_report({key: value for key, value in event.items() if key not in ("event", "trial")})
    elif kind == "verdict" and not trial.final:
        trial.reason, trial.outcome, trial.state = event.get("reason"), Outcome.of_verdict(event), event["state"]
    elif kind == "draws":
        trial.draws = event["fids"]
    elif kind == "rescore":
        new = Rescore(**{entry.name: event[entry.name] for entry in fields(Rescore)})
        trial.rescores = [old for old in trial.rescores if not old.is_like(new.evaluation)] + [new]


class Follower:
    """Replays a run's events: first the past ones, then new ones. The driver may be another process, or have ended.

    Args:
        run: the run's folder; its journal need not exist yet.

    Attributes:
        run: the run's folder.
        record: the run, as far as its journal was read.
    """

    def __init__(self, run: Storage) -> None:
        self.run = run
        self.record = SweepRecord()
        self._read = 0
        self._size: tuple[int, Any] | None = None

    def news(self) -> Iterator[tuple[str, TrialRecord, float]]:
        """Yield the events since the last call, in order: (event, trial, time).

        Raises:
            InputError: the journal is of a newer version, or another one has taken its place.
        """
        for event in self._unread():
            apply(self.record, event, self.run.uri)
            if event["event"] in _TRIAL_EVENTS and event.get("trial") in self.record.trials:
                at = float(event.get("time") or time.time())
                yield event["event"], self.record.trials[event["trial"]], at

    def _unread(self) -> list[dict[str, Any]]:
        info = self.run.filesystem.get_file_info(f"{self.run.root}/{JOURNAL}")
        size = (info.size, info.mtime_ns) if info.is_file else None
        if size is None or size == self._size:
            return []
        events = read_events(self.run)
        if len(events) < self._read:
            raise InputError(f"{self.run.uri}/{JOURNAL}: was replaced by another; start this command again")
        unread, self._read, self._size = events[self._read :], len(events), size
        return unread
