"""What a sweep shows in the terminal while it runs: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import Counter, deque

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gan.terminal import note
from search.journal import SweepRecord, TrialRecord

_ROWS = 8
_EVENTS = 4


class Progress:
    """A listener that keeps the terminal up to date, on standard error.

    Args:
        record: kept up to date by the recorder.
        trials: how many there will be.
        quiet: show nothing.
    """

    def __init__(self, record: SweepRecord, trials: int, *, quiet: bool = False) -> None:
        self._record = record
        self._trials = trials
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=1)
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)
            self._live = None

    def __call__(self, event: str, trial: TrialRecord) -> None:
        line = _describe(event, trial)
        if line is None or self._quiet:
            return
        if self._live is not None:
            self._events.append(line)
        else:
            note(f"[{_clock(time.monotonic() - self._began)}] {line}")

    def _render(self) -> Group:
        counts = Counter(trial.state for trial in list(self._record.trials.values()))
        counts["pending"] += self._trials - len(self._record.trials)
        states = "  ".join(f"{count} {state}" for state, count in counts.items() if count)
        table = Table(box=None, pad_edge=False)
        for name in ("trial", "recipe", "kimg", "best FID", "FID", "G loss", "D loss", "state"):
            table.add_column(name, justify="left" if name in ("trial", "recipe", "state") else "right")
        for trial in self._shown():
            table.add_row(*_cells(trial))
        head = Text(f"{states}  ·  {_clock(time.monotonic() - self._began)}", style="bold")
        return Group(
            head,
            table,
            *(Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in self._events),
        )

    def _shown(self) -> list[TrialRecord]:
        running = [trial for trial in list(self._record.trials.values()) if trial.state == "running"]
        best = [trial for trial in self._record.ranked() if trial not in running]
        return (best[: max(3, _ROWS - len(running))] + running)[: 2 * _ROWS]


def _describe(event: str, trial: TrialRecord) -> str | None:
    name = f"{trial.id} {trial.recipe}" + (" (published)" if trial.source == "published" else "")
    if event == "report":
        last = trial.last
        fid = "–" if last["fid"] is None else f"{last['fid']:.1f}"
        best = "–" if last["best_fid"] is None else f"{last['best_fid']:.1f}"
        rate = f", {last['images_per_second']:.0f} img/s" if last["images_per_second"] else ""
        return f"{name}: {last['kimg']:g} kimg, FID {fid} (best {best}){rate}"
    if event == "verdict":
        return f"{name}: {trial.state}" + (f" ({trial.reason})" if trial.reason else "")
    if event == "retry":
        return f"{name}: its process was lost, it goes on from its checkpoint"
    return f"{name}: starts" if event == "start" else None


def _cells(trial: TrialRecord) -> tuple[str, ...]:
    last = trial.last

    def number(name: str, digits: int) -> str:
        value = last.get(name)
        return "–" if value is None else f"{value:.{digits}f}"

    numbers = (
        f"{trial.kimg:g}",
        number("best_fid", 1),
        number("fid", 1),
        number("g_loss", 2),
        number("d_loss", 2),
    )
    return (trial.id, trial.recipe, *numbers, trial.state)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
