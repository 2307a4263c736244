"""`gan-search status`: the state of a run as JSON and as a table, at once and without Ray."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from gan.metric import FID
from gan.terminal import one_line
from search.report.data.comparison import ComparisonResult
from search.report.data.report_data import Improvement, ReportData, Row
from search.report.text import commands, comparison_tables
from search.report.text.formatting import (
    STYLES,
    counts,
    duration,
    extended,
    kimg,
    number,
    over_published,
    percent,
    promise,
    reason_of,
    run_state,
    saved,
    state_of,
)

METRIC = "best_fid"
_ENDLESS = 100_000
ROWS = 40
"""Largest number of trials in the table; `--json` has all."""

_TRIAL = [entry.name for entry in fields(Row) if entry.name not in ("rank", "spread", "seed")]
"""Fields of a trial in JSON."""


def as_json(data: ReportData) -> dict[str, Any]:
    """Return the state of a run, as `status --json` prints it; null where not known yet."""
    return {
        "name": data.name,
        "state": data.state,
        "metric": METRIC,
        "evaluation": data.evaluation,
        "trials": [{name: getattr(row, name) for name in _TRIAL} for row in data.rows],
        "best": None if data.best is None else asdict(data.best),
        "budget": asdict(data.budget),
        "over_published": _gain(data.over_published),
        "expected_published": None if data.expected_published is None else asdict(data.expected_published),
        "promise": None if data.promise is None else asdict(data.promise),
        "extended": [asdict(training) for training in data.extended],
        "rescoring": None if data.rescoring is None else asdict(data.rescoring),
        **{name: comparison_tables.as_json(comparison) for name, comparison in _comparisons(data)},
    }


def _gain(compared: Improvement | None) -> dict[str, Any] | None:
    return None if compared is None else {**asdict(compared), "gain": compared.gain}


def _comparisons(data: ReportData) -> list[tuple[str, ComparisonResult]]:
    """Return the result of a comparison, or of a sweep's finalists, with its name in JSON."""
    results = {"comparison": data.comparison, "finalists": data.finalists}
    return [(name, result) for name, result in results.items() if result is not None]


def state_line(data: ReportData) -> str:
    """Return the state of a run, and how to go on if it was interrupted."""
    state = run_state(data, data.state)
    return f"{state}; go on with: {commands.resume(data)}" if data.state == "interrupted" else state


def show(data: ReportData, console: Console) -> None:
    """Print the state of a run: a table that fits the terminal, or plain lines if there is no terminal."""
    if console.is_terminal:
        console.print(render(data, console.width))
        return
    for line in plain(data):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def render(data: ReportData, width: int = 80) -> Group:
    """Return the head and the table of trials for a terminal `width` columns wide."""
    shown, left_out = _shown(data)
    parts: list[Any] = [Text(line, style="" if i else "bold") for i, line in enumerate(_head(data))]
    parts += [Text(), _table(data, shown, width)] if shown else []
    for name, result in _comparisons(data):
        title = Text(f"{name}: {run_state(data, result.state)}", style="bold")
        parts += [Text(), title, comparison_tables.as_table(result, data)]
    return Group(*parts, *(Text(line, style="dim") for line in _tail(data, left_out)))


def plain(data: ReportData) -> list[str]:
    """Return the same as lines of text: aligned, nothing cut short."""
    shown, left_out = _shown(data)
    console = Console(width=_ENDLESS, color_system=None)
    with console.capture() as capture:
        console.print(_table(data, shown, None))
    lines = ["", *(line.rstrip() for line in capture.get().splitlines())]
    for name, result in _comparisons(data):
        title = f"{name}: {run_state(data, result.state)}"
        lines += ["", title, *comparison_tables.as_lines(result, data)]
    return [*_head(data), *(lines if shown else []), *_tail(data, left_out)]


def _table(data: ReportData, rows: list[Row], width: int | None) -> Table:
    """Return the table of trials; with a width, long cells are cut short."""
    narrow = width is not None and width < 60
    wide = width is None or width >= 100
    origins = wide and any(row.provenance for row in rows)
    table = Table(box=None, pad_edge=False, padding=(0, 1), width=None if narrow else width)
    for name, right in _columns(data, narrow=narrow, origins=origins, speed=wide):
        is_cut = width is not None and name != "reason"
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=18 if is_cut else None,
            ratio=1 if width is not None and not is_cut else None,
        )
    for row in rows:
        cells = (Text(cell) for cell in _cells(row, data, narrow=narrow, origins=origins, speed=wide))
        table.add_row(*cells, style=STYLES.get(state_of(row), ""))
    return table


def _columns(data: ReportData, *, narrow: bool, origins: bool, speed: bool) -> list[tuple[str, bool]]:
    """Return each column's title, and whether it is aligned to the right."""
    best = f"best {data.metric_short}"
    if narrow:
        return [("trial", False), ("recipe", False), (best, True), ("state", False)]
    measured = [(name, True) for name in ("kimg", best, "at kimg", data.metric_short)]
    measured += [(name, True) for name in ("time", "img/s")] if speed else []
    if data.rescoring is not None:
        measured.insert(0, (f"re-scored {data.rescoring.metric_short}", True))
    names = ["trial", "recipe", *(["provenance"] if origins else [])]
    return [("#", True), *((name, False) for name in names), *measured, ("state", False), ("reason", False)]


def _cells(row: Row, data: ReportData, *, narrow: bool, origins: bool, speed: bool) -> tuple[str, ...]:
    recipe = one_line(f"{row.recipe}*" if row.source == "published" else str(row.recipe))
    if narrow:
        return (row.id, recipe, number(row.best_fid), state_of(row))
    rank = "" if row.rank is None else str(row.rank)
    measured = [kimg(row.kimg), number(row.best_fid), kimg(row.best_kimg), number(row.fid)]
    measured += [duration(row.seconds), number(row.images_per_second, 0)] if speed else []
    if data.rescoring is not None:
        measured.insert(0, number(row.rescored_fid))
    names = [row.id, recipe, *([row.provenance or ""] if origins else [])]
    return (rank, *names, *measured, state_of(row), reason_of(row))


def _shown(data: ReportData) -> tuple[list[Row], int]:
    """Return the trials to show, always with the running ones, and how many are left out."""
    rows = data.leaderboard
    shown = [row for i, row in enumerate(rows) if i < ROWS or row.state == "running"]
    return shown, len(rows) - len(shown)


def _head(data: ReportData) -> list[str]:
    budget = data.budget
    share = saved(budget.saved_fraction)
    cost = "" if share is None else f", {share} saved by stopping"
    if budget.overhead_fraction is not None:
        cost += f", {percent(budget.overhead_fraction)} of the trials' time in evaluation and checkpoints"
    return [
        f"{data.name}: {state_line(data)}",
        counts(data),
        f"{budget.kimg:,.1f} kimg in {duration(budget.wall_seconds)}{cost}",
    ]


def _tail(data: ReportData, left_out: int) -> list[str]:
    lines = [f"… and {left_out} more; --json has all"] if left_out else []
    if any(row.source == "published" for row in data.rows):
        lines.append("* published settings")
    gain = over_published(data)
    if gain:
        lines.append(gain if data.over_published is None else f"{data.over_published.found}: {gain}")
    if data.promise is not None:
        lines.append(promise(data.promise))
    lines += map(extended, data.extended)
    if data.metric != FID and data.best is not None:
        lines.append(f"{data.metric_short}: {data.metric}, not to be compared with FID")
    if data.rescoring is not None:
        rescoring = data.rescoring
        samples = f"{rescoring.evaluation.get('samples')} samples"
        lines.append(f"re-scored: the best {rescoring.trials}, {rescoring.metric}, {samples}")
    if data.best is not None and data.best.bundle is not None:
        lines.append(f"best generator: {data.best.bundle}")
    return lines
