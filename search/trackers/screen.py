"""The screen of a running sweep: lines of text for any width from 40 columns on.

Plain lines rather than rich's tables: with one, a refresh of 40 lines takes nine times as long, at one refresh a
second 6% of a core.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from gan.terminal import one_line
from search.cluster.watch import Use
from search.report.text.formatting import NOTHING, STATES, STYLES, duration, kimg, number, short, state_label
from search.run.record import FINAL, TrialRecord

NARROW = 60
"""Below this many columns the table has only its most important columns."""

_DOT = " · "
_WIDEST_RECIPE = 24
_LEAST_ROWS = 3
_BEST_ROWS = 3
_SETTING_LINES = 4


@dataclass(frozen=True)
class View:
    """What the screen shows at one moment.

    Attributes:
        name: of the run.
        metric: short name of its distances: FID or FD.
        counts: how many trials are in each of `STATES`.
        elapsed, remaining: seconds since the launch, and about how many it still takes.
        best: the trial of the lowest distance so far.
        best_settings: its values of the searched parameters.
        running: trials that run.
        ranked: all that have a distance, best first.
        use: of the cluster.
        events: (seconds since the launch, text), the latest last.
    """

    name: str
    metric: str
    counts: Counter[str]
    elapsed: float
    remaining: float | None
    best: TrialRecord | None
    running: Sequence[TrialRecord]
    ranked: Sequence[TrialRecord]
    best_settings: Mapping[str, object] = field(default_factory=dict)
    use: Use | None = None
    events: Sequence[tuple[float, str]] = field(default_factory=tuple)


def render(view: View, width: int, height: int) -> list[Text]:
    """Return the lines of a screen: none wider than `width`, and no more than `height` unless that is very small."""
    head = _head(view, width)
    events = _events(view, width)
    rows = max(_LEAST_ROWS, height - len(head) - len(events) - 4)
    table = _table(view, width, rows)
    return [*head, *([Text(), *table] if table else []), *([Text(), *events] if events else [])]


def clock(seconds: float) -> str:
    """Write a time as a clock does: 3:07, 1:12:40."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_counts(counts: Counter[str]) -> list[str]:
    """Write how many trials are in each state."""
    return [f"{counts[state]} {state}" for state in STATES if counts[state]]


def format_use(use: Use) -> str:
    """Write how much of the cluster is in use."""
    kinds = (("CPUs", use.cpus), ("GPUs", use.gpus))
    parts = [f"{taken:g} of {total:g} {kind}" for kind, (taken, total) in kinds if total]
    return ", ".join([*parts, f"{len(use.nodes)} node" + ("" if len(use.nodes) == 1 else "s")])


def format_best(trial: TrialRecord, metric: str) -> str:
    """Write a trial's best distance, with its recipe and when it was reached."""
    at = trial.last.get("best_kimg")
    return f"{metric} {number(trial.best_fid)}: {trial.id} {trial.recipe}" + (f" at {kimg(at)} kimg" if at else "")


# ---- the head


def _head(view: View, width: int) -> list[Text]:
    ended = sum(view.counts[state] for state in FINAL)
    title = [view.name, f"{ended} of {view.counts.total()} ended", clock(view.elapsed)]
    if view.remaining is not None:
        title.append(f"about {duration(view.remaining)} left")
    lines = [_text(line, style="bold") for line in _flow(title, width)]
    lines += [_text(line) for line in _flow(format_counts(view.counts), width)]
    if view.best is not None:
        lines += [_text(line, style="green") for line in _wrap(f"best {format_best(view.best, view.metric)}", width)]
        settings = [f"{name} {short(value)}" for name, value in view.best_settings.items()]
        lines += [_text(line, style="dim") for line in _flow(settings, width, indent="  ")[:_SETTING_LINES]]
    if view.use is not None:
        lines += [_text(line, style="dim") for line in _wrap(f"in use: {format_use(view.use)}", width)]
    return lines


def _flow(parts: list[str], width: int, indent: str = "") -> list[str]:
    """Join parts by dots into lines; a line breaks only between parts."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1] + _DOT + part) <= width:
            lines[-1] += _DOT + part
        else:
            lines += [cut(indent + part, width)]
    return lines


def _wrap(text: str, width: int, hanging: int = 2, most: int = 2) -> list[str]:
    lines = textwrap.wrap(text, width, subsequent_indent=" " * hanging)
    return lines if len(lines) <= most else [*lines[: most - 1], cut(" ".join([lines[most - 1], "…"]), width)]


def cut(text: str, width: int) -> str:
    """Shorten a text to a width in columns, with an ellipsis for the rest."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"


def _text(line: str, style: str = "") -> Text:
    # Characters of double width may make a line longer than planned.
    return Text(line, style=style, no_wrap=True, overflow="ellipsis")


# ---- the table


def _table(view: View, width: int, most: int) -> list[Text]:
    trials, hidden = _shown(view, most - 1)
    if not trials:
        return []
    head, *rows = [_titles(view.metric, width), *(_cells(trial, width) for trial in trials)]
    widths = [max(cell_len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    # The recipe's name is cut first, so that the numbers fit.
    spare = width - (sum(widths) + 2 * (len(widths) - 1))
    widths[1] = max(3, min(widths[1] + min(0, spare), _WIDEST_RECIPE))
    lines = [_text(_line(head, widths, width), style="bold")]
    lines += [
        _text(_line(row, widths, width), style=STYLES.get(trial.state, ""))
        for row, trial in zip(rows, trials, strict=True)
    ]
    if hidden:
        lines.append(_text(f"… and {hidden} more that run", style="dim"))
    return lines


def _shown(view: View, most: int) -> tuple[list[TrialRecord], int]:
    """Return the best trials and the running ones, at most `most`, and the number of running ones that do not fit."""
    best = [trial for trial in view.ranked if trial.state != "running"]
    kept = best[: max(_BEST_ROWS, most - len(view.running))][:most]
    running = list(view.running)[: max(0, most - len(kept))]
    return kept + running, len(view.running) - len(running)


def _titles(metric: str, width: int) -> tuple[str, ...]:
    if width < NARROW:
        return ("trial", "recipe", f"best {metric}", "state")
    return ("trial", "recipe", "kimg", f"best {metric}", metric, "G loss", "D loss", "state")


def _cells(trial: TrialRecord, width: int) -> tuple[str, ...]:
    name = f"{trial.recipe}*" if trial.source == "published" else trial.recipe
    if width < NARROW:
        return (trial.id, name, number(trial.best_fid), state_label(trial.state, trial.kimg))
    last = trial.last
    losses = (_loss(last.get("g_loss")), _loss(last.get("d_loss")))
    measured = (kimg(trial.kimg), number(trial.best_fid), number(last.get("fid")))
    return (trial.id, name, *measured, *losses, state_label(trial.state, trial.kimg))


def _loss(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.1e}"


def _line(cells: Sequence[str], widths: Sequence[int], width: int) -> str:
    last = len(cells) - 1
    aligned = [
        set_cell_size(cut(cell, size), size) if i in (0, 1, last) else cell.rjust(size)
        for i, (cell, size) in enumerate(zip(cells, widths, strict=True))
    ]
    return cut("  ".join(aligned).rstrip(), width)


def _events(view: View, width: int) -> list[Text]:
    lines: list[Text] = []
    for at, text in view.events:
        time = clock(at).rjust(5)
        wrapped = _wrap(f"{time}  {one_line(text)}", width, hanging=len(time) + 2, most=2 if width >= NARROW else 3)
        lines += [_text(line, style="dim") for line in wrapped]
    return lines
