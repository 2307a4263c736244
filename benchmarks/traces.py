"""Recorded trials: what `record_trials.py` writes, and replays read.

A file holds one JSON object a line, gzipped: first what all trials have in common, then one trial each.
It is written whole and renamed, so one that was broken off in between is as it was before.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from gan.objectives import Objective
from gan.recipe.recipe import Recipe
from gan.storage.storage import Storage
from gan.training.divergence import FailureDetector
from gan.training.trainer import COLUMNS, CycleStats
from search.plan.spec import make_spec

FOLDER = Path(__file__).parent / "traces"
FORMAT = 1


@dataclass(frozen=True)
class Stretch:
    """One of the stretches of a report after which the losses are judged (`gan.training.run.LOSS_CHECKS` a report).

    Attributes:
        d_loss, g_loss: means over the stretch; None where not finite.
        finite: whether every loss and every weight of the generator is.
    """

    d_loss: float | None
    g_loss: float | None
    finite: bool

    def stats(self) -> CycleStats:
        """Return it as the trainer would, as far as `FailureDetector` needs it."""
        means = {"d_loss": _number(self.d_loss), "g_loss": _number(self.g_loss)}
        row = [means.get(column, 0.0) for column in COLUMNS]
        return CycleStats(np.array([row]), 0, None, self.finite, 0.0, 0.0)


@dataclass(frozen=True)
class TracedReport:
    """One report of a recorded trial.

    Attributes:
        fid, spread: of the samples; None where they were not finite.
        train_seconds, eval_seconds: of processor time, on one core.
    """

    fid: float | None
    spread: float | None
    train_seconds: float
    eval_seconds: float
    stretches: list[Stretch]

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.eval_seconds


@dataclass(frozen=True)
class Verdict:
    """Where the divergence rule would have ended a trial.

    Attributes:
        report: index of the report in which it says so.
        stretches: of that report that were trained.
        judged: whether its samples were evaluated; they are not where a loss decided.
        reason: in the rule's words.
    """

    report: int
    stretches: int
    judged: bool
    reason: str


@dataclass(frozen=True)
class Trace:
    """A trial that was trained to its full length, whatever became of it.

    Attributes:
        source: "published", "sampled" from the whole space, or "near" to the best of other recordings.
        params: what was sampled.
        reports: one at every interval; fewer than all only where nothing was finite any more.
    """

    trial: int
    recipe: str
    source: str
    seed: int
    params: dict[str, Any]
    reports: list[TracedReport]

    @property
    def best_fid(self) -> float | None:
        """The best over the full length."""
        return min((report.fid for report in self.reports if report.fid is not None), default=None)

    @property
    def seconds(self) -> float:
        return sum(report.seconds for report in self.reports)

    def verdict(self, detector: FailureDetector, interval: float) -> Verdict | None:
        """Let a fresh detector look at the trial as `TrainingRun` does; say where it ends it, if it does."""
        verdicts = (self.judge(index, detector, interval) for index in range(len(self.reports)))
        return next((verdict for verdict in verdicts if verdict is not None), None)

    def judge(self, index: int, detector: FailureDetector, interval: float) -> Verdict | None:
        """Let a detector that has seen the reports before look at the next; say whether it ends the trial there."""
        report = self.reports[index]
        for count, stretch in enumerate(report.stretches, 1):
            reason = detector.check_losses(stretch.stats())
            if reason:
                return Verdict(index, count, False, reason)
        reason = detector.check_samples(interval * (index + 1), report.fid, report.spread)
        return Verdict(index, len(report.stretches), True, reason) if reason else None

    def seconds_of(self, report: int, verdict: Verdict | None = None) -> float:
        """Return what a report costs, the one with which a verdict ends the trial being cut short."""
        found = self.reports[report]
        if verdict is None or report < verdict.report or verdict.judged:
            return found.seconds
        return found.train_seconds * verdict.stretches / len(found.stretches)

    def seconds_until(self, verdict: Verdict | None) -> float:
        """Return what the trial costs if a verdict ends it there."""
        last = len(self.reports) - 1 if verdict is None else verdict.report
        return sum(self.seconds_of(index, verdict) for index in range(last + 1))


@dataclass
class TraceSet:
    """The trials recorded on one data set.

    Attributes:
        common: geometry, evaluation identity, versions: what all trials have in common.
    """

    common: dict[str, Any]
    traces: list[Trace] = field(default_factory=list)

    @property
    def interval(self) -> float:
        """Thousands of images between two reports."""
        return float(self.common["interval_kimg"])

    @property
    def kimg(self) -> float:
        return float(self.common["kimg"])

    @property
    def single(self) -> float:
        """FID of a single image: see `gan.training.divergence.FailureDetector`."""
        return float(self.common["single_image_fid"])

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.common["shape"])

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """The recipes that trials were sampled for, with the settings that all had in common."""
        spec = {"data": self.common["data"], "settings": self.common["settings"], "space": self.common.get("space", {})}
        return make_spec({**spec, "recipes": self.common["recipes"]}).load_recipes()

    def settings(self, trace: Trace) -> dict[str, Any]:
        """Return all that a trial was trained with."""
        return dict(self.recipes[trace.recipe].with_settings(trace.params).settings)

    def objective(self, trace: Trace) -> Objective:
        return self.recipes[trace.recipe].with_settings(trace.params).objective

    def verdict(
        self, trace: Trace, rule: Callable[[Objective, tuple[int, ...], float], FailureDetector] = FailureDetector
    ) -> Verdict | None:
        """Say where the divergence rule (or another, of the same interface) would have ended a trial."""
        return trace.verdict(rule(self.objective(trace), self.shape, self.single), self.interval)


def read_traces(path: Path) -> TraceSet:
    """Read a file of recorded trials.

    Raises:
        ValueError: another format.
    """
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = TraceSet(json.loads(next(lines)))
        if found.common["format"] != FORMAT:
            raise ValueError(f"{path}: format {found.common['format']}, not {FORMAT}")
        found.traces = [_parse(json.loads(line)) for line in lines]
    return found


def read_named(name: str) -> TraceSet:
    """Return the recordings of a name (`faces`) or file; end the script in one line where there are none."""
    path = Path(name) if name.endswith(".gz") else FOLDER / f"{name}.jsonl.gz"
    if not path.is_file():
        known = ", ".join(sorted(found.name.removesuffix(".jsonl.gz") for found in FOLDER.glob("*.jsonl.gz")))
        print(f"{name}: there are no such recordings; choose of {known}, or name a file", file=sys.stderr)
        sys.exit(2)
    return read_traces(path)


def read_joined(names: str) -> TraceSet:
    """Return recordings of one kind as one: `faces`, `faces+faces-2`, or files; costs are scaled to the first's.

    The script ends in one line where they were not recorded alike.
    """
    first, *others = map(read_named, names.split("+"))
    costs = Costs(first)
    for other in others:
        if _alike(other) != _alike(first):
            print(f"{names}: these were not recorded alike, so no search can have both", file=sys.stderr)
            sys.exit(2)
        # They may be of another machine, and of other settings, which take another time anywhere.
        expected = fmean(
            sum(costs.of(trace.recipe, other.settings(trace))) * len(trace.reports) for trace in other.traces
        )
        scale = expected / fmean(trace.seconds for trace in other.traces)
        for trace in other.traces:
            reports = [
                replace(report, train_seconds=scale * report.train_seconds, eval_seconds=scale * report.eval_seconds)
                for report in trace.reports
            ]
            first.traces.append(replace(trace, reports=reports))
    return first


def _alike(traces: TraceSet) -> dict[str, Any]:
    """Return what recordings must have in common to be searched together: all but how settings were drawn."""
    return {name: value for name, value in traces.common.items() if name not in ("published_seeds", "near")}


class Costs:
    """Mean seconds of training and of evaluation a report, of recorded trials with the same work to do."""

    WORK = ("batch", "n_critic", "ema_kimg")

    def __init__(self, traces: TraceSet) -> None:
        self._found: dict[tuple[Any, ...], list[tuple[float, float]]] = defaultdict(list)
        for trace in traces.traces:
            settings = traces.settings(trace)
            means = tuple(fmean(getattr(r, part) for r in trace.reports) for part in ("train_seconds", "eval_seconds"))
            for kind in self._kinds(trace.recipe, settings):
                self._found[kind].append(means)  # type: ignore[arg-type]

    def of(self, recipe: str, settings: dict[str, Any]) -> tuple[float, float]:
        """Return both, of the most similar work that was recorded."""
        found = next(self._found[kind] for kind in self._kinds(recipe, settings) if kind in self._found)
        train, judge = zip(*found, strict=True)
        return fmean(train), fmean(judge)

    def _kinds(self, recipe: str, settings: dict[str, Any]) -> list[tuple[Any, ...]]:
        work = [settings.get(name) for name in self.WORK]
        return [(recipe, *work[:known]) for known in range(len(work), -1, -1)]


IMAGES = {"faces": 50_000, "fashion-mnist": 60_000}
"""Images to train on, of the sets whose first recordings do not tell."""


def set_of(traces: TraceSet) -> str:
    """Return the name of the set that was recorded: `horse` of "folder:horse"."""
    scheme, _, place = str(traces.common["data"]).partition(":")
    return place if scheme == "folder" else scheme


def images_of(traces: TraceSet) -> int:
    """Return how many images there were to train on."""
    return int(traces.common.get("images") or IMAGES[set_of(traces)])


def mean_seconds(traces: TraceSet) -> float:
    """Return what a sampled trial costs that nobody stops."""
    return fmean(trace.seconds for trace in traces.traces if trace.source == "sampled")


def write_traces(path: Path, traces: TraceSet) -> None:
    """Write a file of recorded trials; the same trials give the same bytes."""
    lines = [json.dumps(traces.common), *(json.dumps(_compact(trace), allow_nan=False) for trace in traces.traces)]
    content = gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)
    Storage(str(path.parent)).write_bytes(path.name, content)


def _compact(trace: Trace) -> dict[str, Any]:
    reports = [
        [
            _short(report.fid),
            _short(report.spread),
            round(report.train_seconds, 3),
            round(report.eval_seconds, 3),
            [[_short(part.d_loss), _short(part.g_loss), int(part.finite)] for part in report.stretches],
        ]
        for report in trace.reports
    ]
    params = {name: _short(value) for name, value in trace.params.items()}
    return {**asdict(trace), "params": params, "reports": reports}


def _parse(entry: dict[str, Any]) -> Trace:
    reports = [
        TracedReport(*values, [Stretch(d, g, bool(finite)) for d, g, finite in stretches])
        for *values, stretches in entry["reports"]
    ]
    return Trace(**{**entry, "reports": reports})


def _short(value: Any) -> Any:
    """Five digits are more than repeated trainings agree on."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
