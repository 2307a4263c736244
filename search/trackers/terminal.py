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
from search.trackers.estimate import RemainingTime
from search.trackers.screen import View, clock, counted, distance, render, used

_EVENTS = 4
_SUMMARY_SECONDS = 60.0
"""Between two summaries among plain lines."""


class Progress:
    """A listener that keeps the terminal up to date, on standard error.

    Args:
        record: kept up to date by the recorder.
        trials: how many there will be.
        watch: of the cluster.
        quiet: show nothing.
        time_left: gives what is left of the time budget in seconds; None without one.
    """

    def __init__(
        self,
        record: SweepRecord,
        trials: int,
        *,
        watch: ClusterWatch | None = None,
        quiet: bool = False,
        time_left: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._record = record
        self._trials = trials
        self._watch = watch
        self._quiet = quiet
        self._time_left = time_left
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._events: deque[tuple[float, str]] = deque(maxlen=_EVENTS)
        self._launched = time.monotonic()
        self._began: float | None = None
        self._kimg_before = sum(trial.kimg for trial in record.trials.values())
        self._summed_up = self._launched

    def __enter__(self) -> Progress:
        if not self._quiet and self._console.is_terminal:
            # Text is laid out here, and moves no further than the screen: rich need not measure it.
            self._live = Live(console=self._console, get_renderable=self._screen, refresh_per_second=1)
            self._live.__enter__()
        if self._record.trials:
            self.notice(_going_on(self._record, self._trials))
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
        self._sum_up()

    def notice(self, text: str) -> None:
        """Show something that has happened: among the last events, or as a line."""
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
        """Return what there is to show now. (Called from the screen's own thread.)"""
        trials = list(self._record.trials.values())
        counts = Counter(state_label(trial.state, trial.kimg) for trial in trials)
        counts[TO_COME] += max(0, self._trials - len(trials))
        ranked = self._record.ranked()
        return View(
            name=str(self._record.settings.get("name", "sweep")),
            metric=self._metric,
            counts=counts,
            elapsed=time.monotonic() - self._launched,
            left=self._left(trials),
            best=ranked[0] if ranked else None,
            best_settings=_settings(ranked[0], trials) if ranked else {},
            running=[trial for trial in trials if trial.state == "running"],
            ranked=ranked,
            use=self._watch.use if self._watch else None,
            events=list(self._events),
        )

    def _left(self, trials: list[TrialRecord]) -> float | None:
        total = self._record.settings.get("kimg")
        if self._began is None or not total:
            return None
        shown = sum(trial.kimg for trial in trials) - self._kimg_before
        left = RemainingTime(trials, self._trials, total).seconds_left(shown, time.monotonic() - self._began)
        budget = self._time_left()
        return left if left is None or budget is None else max(0.0, min(left, budget))

    def _sum_up(self) -> None:
        """Among plain lines, say now and then how all of it stands."""
        now = time.monotonic()
        if self._live is not None or self._quiet or now - self._summed_up < _SUMMARY_SECONDS:
            return
        self._summed_up = now
        view = self.view()
        parts = [", ".join(counted(view.counts))]
        if view.best is not None:
            parts.append(f"best {distance(view.best, view.metric)}")
        if view.use is not None:
            parts.append(f"in use: {used(view.use)}")
        if view.left is not None:
            parts.append(f"about {duration(view.left)} left")
        self.notice("; ".join(parts))


def _settings(trial: TrialRecord, trials: list[TrialRecord]) -> dict[str, Any]:
    """Return what was sampled; for published settings, their values of what others of the recipe sampled."""
    others = (list(other.params) for other in trials if other.recipe == trial.recipe and other.params)
    names = list(trial.params) or next(others, ["lr_g", "lr_d"])
    return {name: trial.settings[name] for name in names if name in trial.settings}


def _going_on(record: SweepRecord, planned: int) -> str:
    done = sum(trial.final for trial in record.trials.values())
    begun = sum(not trial.final and bool(trial.reports) for trial in record.trials.values())
    told = [f"{done} of {planned} trials have their verdict"]
    if begun:
        told.append(f"{begun} go{'es' if begun == 1 else ''} on from a checkpoint")
    return f"going on: {', '.join(told)}"


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
