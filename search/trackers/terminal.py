"""What a sweep shows in the terminal while it runs: a live screen, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from gan.metric import metric_of, short_name
from gan.terminal import note
from search.cluster.watch import ClusterWatch
from search.report.text.formatting import TO_COME, duration, state_label
from search.run.record import SweepRecord, TrialRecord
from search.trackers.remaining_time import Later, RemainingTime
from search.trackers.screen import View, clock, format_best, format_counts, format_use, render

_EVENTS = 4
_SUMMARY_SECONDS = 60.0
"""Between two summaries among plain lines."""


class Progress:
    """A listener that keeps the terminal up to date, on standard error.

    Args:
        record: kept up to date by the recorder.
        trials: planned in all.
        watch: of the cluster.
        quiet: show nothing.
        time_left: returns the seconds that remain of the time budget; None without one.
        later, stops: what follows the trials, and whether they may be stopped early; see `RemainingTime`.
    """

    def __init__(
        self,
        record: SweepRecord,
        trials: int,
        *,
        watch: ClusterWatch | None = None,
        quiet: bool = False,
        time_left: Callable[[], float | None] = lambda: None,
        later: Later | None = None,
        stops: bool = True,
    ) -> None:
        self._record = record
        self._trials = trials
        self._watch = watch
        self._quiet = quiet
        self._time_left = time_left
        self._later = later or Later()
        self._stops = stops
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._events: deque[tuple[float, str]] = deque(maxlen=_EVENTS)
        self._launched = time.monotonic()
        self._began: float | None = None
        self._kimg_before = sum(trial.kimg for trial in record.trials.values()) or self._later.before
        self._last_summary = self._launched

    def __enter__(self) -> Progress:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._screen, refresh_per_second=1)
            self._live.__enter__()
        if self._record.trials:
            self.notice(_resumed(self._record, self._trials))
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)
            self._live = None

    def __call__(self, event: str, trial: TrialRecord) -> None:
        if event == "start" and self._began is None:
            self._began = time.monotonic()
        line = _describe(event, trial, self._metric)
        if line is None:
            return
        if self._live is None or event in ("verdict", "retry"):
            self.notice(line)
        self._summarise()

    def notice(self, text: str) -> None:
        """Show an event: among the last events of the screen, or as a plain line."""
        at = time.monotonic() - self._launched
        if self._live is not None:
            self._events.append((at, text))
        elif not self._quiet:
            note(f"[{clock(at)}] {text}")

    @property
    def _metric(self) -> str:
        return short_name(metric_of(self._record.evaluation))

    def _screen(self) -> Group:
        return Group(*render(self.view(), self._console.width, self._console.height))

    def view(self) -> View:
        """Return what to show now. (Called from the screen's own thread.)"""
        trials = list(self._record.trials.values())
        counts = Counter(state_label(trial.state, trial.kimg) for trial in trials)
        counts[TO_COME] += max(0, self._trials - len(trials))
        ranked = self._record.ranked()
        return View(
            name=str(self._record.settings.get("name", "sweep")),
            metric=self._metric,
            counts=counts,
            elapsed=time.monotonic() - self._launched,
            remaining=self._remaining(trials),
            best=ranked[0] if ranked else None,
            best_settings=_settings(ranked[0], trials) if ranked else {},
            running=[trial for trial in trials if trial.state == "running"],
            ranked=ranked,
            use=self._watch.use if self._watch else None,
            events=list(self._events),
        )

    def _remaining(self, trials: list[TrialRecord]) -> float | None:
        total = self._record.settings.get("kimg")
        if self._began is None or not total:
            return None
        budget = self._time_left()
        if budget is not None and self._later.fills_budget:
            return max(0.0, budget)
        shown = sum(trial.kimg for trial in trials) - self._kimg_before
        remaining = RemainingTime(trials, self._trials, total, self._later, stops=self._stops)
        seconds = remaining.seconds(shown, time.monotonic() - self._began)
        return seconds if seconds is None or budget is None else max(0.0, min(seconds, budget))

    def _summarise(self) -> None:
        """Write a summary of the whole sweep among the plain lines, if one is due."""
        now = time.monotonic()
        if self._live is not None or self._quiet or now - self._last_summary < _SUMMARY_SECONDS:
            return
        self._last_summary = now
        view = self.view()
        parts = [", ".join(format_counts(view.counts))]
        if view.best is not None:
            parts.append(f"best {format_best(view.best, view.metric)}")
        if view.use is not None:
            parts.append(f"in use: {format_use(view.use)}")
        if view.remaining is not None:
            parts.append(f"about {duration(view.remaining)} left")
        self.notice("; ".join(parts))


def _settings(trial: TrialRecord, trials: list[TrialRecord]) -> dict[str, Any]:
    """Return a trial's values of the searched parameters; for published settings, of those that others sampled."""
    others = (list(other.params) for other in trials if other.recipe == trial.recipe and other.params)
    names = list(trial.params) or next(others, ["lr_g", "lr_d"])
    return {name: trial.settings[name] for name in names if name in trial.settings}


def _resumed(record: SweepRecord, planned: int) -> str:
    done = sum(trial.final for trial in record.trials.values())
    begun = sum(not trial.final and bool(trial.reports) for trial in record.trials.values())
    parts = [f"{done} of {planned} trials have their verdict"]
    if begun:
        parts.append(f"{begun} go{'es' if begun == 1 else ''} on from a checkpoint")
    return f"going on: {', '.join(parts)}"


def _describe(event: str, trial: TrialRecord, metric: str) -> str | None:
    name = f"{trial.id} {trial.recipe}" + (" (published)" if trial.source == "published" else "")
    if event == "report":
        last = trial.last
        now, best = ("–" if last[key] is None else f"{last[key]:.1f}" for key in ("fid", "best_fid"))
        rate = f", {last['images_per_second']:.0f} img/s" if last["images_per_second"] else ""
        return f"{name}: {last['kimg']:g} kimg, {metric} {now} (best {best}){rate}"
    if event == "verdict":
        at = f" at {trial.kimg:g} kimg" if trial.kimg else ""
        return f"{name}: {trial.state}{at}" + (f" ({trial.reason})" if trial.reason else "")
    if event == "retry":
        return f"{name}: its process was lost, it goes on from its checkpoint"
    return f"{name}: starts" if event == "start" else None
