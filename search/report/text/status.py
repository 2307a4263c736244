"""`gan-search status`: how a run stands, as JSON and as a table, at once and without Ray."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from gan.metric import FID
from gan.storage.storage import Storage
from search.report.data.collect import collect
from search.report.data.contest import ComparisonResult
from search.report.data.report_data import ReportData, Row
from search.report.text import commands, contest_tables
from search.report.text.formatting import (
    counts,
    duration,
    kimg,
    number,
    percent,
    saved,
    standing_of,
    told,
    why,
)

METRIC = "best_fid"
ROWS = 40
"""Trials in the table, at most; `--json` has all."""

_TRIAL = (
    "id",
    "recipe",
    "objective",
    "source",
    "state",
    "params",
    "kimg",
    "fid",
    "best_fid",
    "best_kimg",
    "reason",
    "seconds",
    "rescored_fid",
    "rescored_std",
)
_STYLES = {
    "finished": "green",
    "running": "cyan",
    "diverged": "red",
    "failed": "red",
    "paused": "yellow",
    "pending": "dim",
}


def status(run: Storage) -> dict[str, Any]:
    """Return how a run stands, as `status --json` prints it; null where not known yet.

    Raises:
        InputError: this is no run, or one of a newer version.
    """
    return as_json(collect(run))


def as_json(data: ReportData) -> dict[str, Any]:
    """Return the contract of `status --json`."""
    return {
        "name": data.name,
        "state": data.state,
        "metric": METRIC,
        "evaluation": data.evaluation,
        "trials": [{name: getattr(row, name) for name in _TRIAL} for row in data.rows],
        "best": None if data.best is None else asdict(data.best),
        "budget": asdict(data.budget),
        "rescoring": None if data.rescoring is None else asdict(data.rescoring),
        **{name: contest_tables.as_json(contest) for name, contest in _contests(data)},
    }


def _contests(data: ReportData) -> list[tuple[str, ComparisonResult]]:
    """Return what there is to compare: in a comparison, and in a sweep that had finalists."""
    found = {"comparison": data.contest, "finalists": data.finalists}
    return [(name, contest) for name, contest in found.items() if contest is not None]


def standing(data: ReportData) -> str:
    """Return how a run stands, and how to go on with one that was cut short."""
    how = told(data, data.state)
    return f"{how}; go on with: {commands.resume(data)}" if data.state == "interrupted" else how


def show(data: ReportData, console: Console) -> None:
    """Print how a run stands: a table that fits the terminal, or plain lines where there is none."""
    if console.is_terminal:
        console.print(render(data, console.width))
        return
    for line in plain(data):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def render(data: ReportData, width: int = 80) -> Group:
    """Return the head and the table of trials for a terminal `width` columns wide."""
    narrow = width < 60
    table = Table(box=None, pad_edge=False, padding=(0, 1), width=width if not narrow else None)
    for name, right in _columns(data, narrow=narrow):
        rest = name == "reason"
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=None if rest else 18,
            ratio=1 if rest else None,
        )
    shown, left_out = _shown(data)
    for row in shown:
        cells = (Text(cell) for cell in _cells(row, data, narrow=narrow))
        table.add_row(*cells, style=_STYLES.get(standing_of(row), ""))
    parts: list[Any] = [Text(line, style="" if i else "bold") for i, line in enumerate(_head(data))]
    parts += [Text(), table] if shown else []
    for name, contest in _contests(data):
        parts += [
            Text(),
            Text(f"{name}: {told(data, contest.state)}", style="bold"),
            contest_tables.as_table(contest, data),
        ]
    return Group(*parts, *(Text(line, style="dim") for line in _tail(data, left_out)))


def plain(data: ReportData) -> list[str]:
    """Return the same as lines of text: aligned, nothing cut short."""
    shown, left_out = _shown(data)
    columns = _columns(data, narrow=False)
    rows = [tuple(name for name, _ in columns), *(_cells(row, data, narrow=False) for row in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, (_, right) in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in rows
    ]
    for name, contest in _contests(data):
        lines += ["", f"{name}: {told(data, contest.state)}", *contest_tables.as_lines(contest, data)]
    return [*_head(data), *(["", *lines] if shown else []), *_tail(data, left_out)]


def _columns(data: ReportData, *, narrow: bool) -> list[tuple[str, bool]]:
    """Return the columns: name, and whether it is aligned to the right."""
    best = f"best {data.metric_short}"
    if narrow:
        return [("trial", False), ("recipe", False), (best, True), ("state", False)]
    measured = [(name, True) for name in ("kimg", best, "at kimg", data.metric_short)]
    if data.rescoring is not None:
        measured.insert(0, (f"re-scored {data.rescoring.metric_short}", True))
    return [("#", True), ("trial", False), ("recipe", False), *measured, ("state", False), ("reason", False)]


def _cells(row: Row, data: ReportData, *, narrow: bool) -> tuple[str, ...]:
    recipe = f"{row.recipe}*" if row.source == "published" else str(row.recipe)
    if narrow:
        return (row.id, recipe, number(row.best_fid), standing_of(row))
    rank = "" if row.rank is None else str(row.rank)
    measured = [kimg(row.kimg), number(row.best_fid), kimg(row.best_kimg), number(row.fid)]
    if data.rescoring is not None:
        measured.insert(0, number(row.rescored_fid))
    return (rank, row.id, recipe, *measured, standing_of(row), why(row))


def _shown(data: ReportData) -> tuple[list[Row], int]:
    """Return the trials to show, those that run always among them, and how many are left out."""
    rows = data.leaderboard
    kept = [row for i, row in enumerate(rows) if i < ROWS or row.state == "running"]
    return kept, len(rows) - len(kept)


def _head(data: ReportData) -> list[str]:
    budget = data.budget
    share = saved(budget.saved_fraction)
    spared = "" if share is None else f", {share} saved by stopping"
    if budget.overhead_fraction is not None:
        spared += f", {percent(budget.overhead_fraction)} of the trials' time in evaluation and checkpoints"
    return [
        f"{data.name}: {standing(data)}",
        counts(data),
        f"{budget.kimg:,.1f} kimg in {duration(budget.wall_seconds)}{spared}",
    ]


def _tail(data: ReportData, left_out: int) -> list[str]:
    lines = [f"… and {left_out} more; --json has all"] if left_out else []
    if any(row.source == "published" for row in data.rows):
        lines.append("* published settings")
    if data.metric != FID and data.best is not None:
        lines.append(f"{data.metric_short}: {data.metric}, not to be compared with FID")
    if data.rescoring is not None:
        by = data.rescoring
        lines.append(f"re-scored: the best {by.trials}, {by.metric}, {by.evaluation.get('samples')} samples")
    if data.best is not None and data.best.bundle is not None:
        lines.append(f"best generator: {data.best.bundle}")
    return lines
