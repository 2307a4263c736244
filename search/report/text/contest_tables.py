"""A comparison as tables: csv for spreadsheets, Markdown for people, JSON for programs, lines for the terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from gan.storage.storage import Storage
from gan.terminal import table
from search.report.data.contest import CONFIDENCE, ComparisonResult, Difference, Estimate, RecipeResult
from search.report.data.report_data import ReportData
from search.report.text.formatting import NOTHING, number

CSV, MARKDOWN, JSON = "compare.csv", "compare.md", "compare.json"

_ESTIMATES = ("best_fid", "final_fid", "redrawn_fid")


def write_tables(run: Storage, data: ReportData, contest: ComparisonResult) -> None:
    """Write compare.csv, compare.md and compare.json, each whole or not at all."""
    run.write_bytes(CSV, as_csv(contest, data.evaluation["features"]))
    run.write_bytes(MARKDOWN, as_markdown(contest, data).encode())
    run.write_bytes(JSON, json.dumps({**as_json(contest), "evaluation": data.evaluation}, indent=2).encode())


# ---- for programs


def as_json(contest: ComparisonResult) -> dict[str, Any]:
    """Return a comparison as plain values; null where not known.

    `std_over_seeds` is between trainings of one recipe, `std_over_draws` between draws of latents for
    one trained generator; intervals are of the mean over training seeds.
    """
    return {
        "run": contest.uri,
        "state": contest.state,
        "kimg": contest.kimg,
        "seeds": contest.seeds,
        "draws": contest.draws,
        "confidence": CONFIDENCE,
        "winner": contest.winner.name if contest.winner else None,
        "recipes": [_standing(standing) for standing in contest.standings],
    }


def _standing(standing: RecipeResult) -> dict[str, Any]:
    redrawn = _estimate(standing.redrawn_fid)
    return {
        "rank": standing.rank,
        "name": standing.name,
        "objective": standing.objective,
        "source": standing.source,
        "params": standing.params,
        "best_fid": _estimate(standing.best_fid),
        "final_fid": _estimate(standing.final_fid),
        "redrawn_fid": None if redrawn is None else {**redrawn, "std_over_draws": standing.draws_std},
        "behind_first": _difference(standing.behind),
        "diverged": standing.diverged,
        "failed": standing.failed,
        "without_fid": standing.without_fid,
        "trials": [vars(seed) for seed in standing.seeds],
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "mean": estimate.mean,
        "std_over_seeds": estimate.std,
        "low": estimate.low,
        "high": estimate.high,
        "seeds": estimate.count,
    }


def _difference(difference: Difference | None) -> dict[str, Any] | None:
    return None if difference is None else vars(difference)


def as_csv(contest: ComparisonResult, features: str | None) -> bytes:
    """Return one line a recipe; `features` says what the distances were measured with."""
    text = io.StringIO()
    lines = [_flat(standing, features) for standing in contest.standings]
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue().encode()


def _flat(standing: RecipeResult, features: str | None) -> dict[str, Any]:
    line: dict[str, Any] = {
        "rank": standing.rank,
        "recipe": standing.name,
        "objective": standing.objective,
        "source": standing.source,
        "features": features,
        "trainings": len(standing.seeds),
        "diverged": standing.diverged,
        "failed": standing.failed,
        "without_fid": standing.without_fid,
    }
    for name in _ESTIMATES:
        told = _estimate(getattr(standing, name)) or dict.fromkeys(("mean", "std_over_seeds", "low", "high", "seeds"))
        line |= {f"{name}_{key}": value for key, value in told.items()}
    line["redrawn_fid_std_over_draws"] = standing.draws_std
    behind = _difference(standing.behind) or dict.fromkeys(("mean", "low", "high"))
    return line | {f"behind_first_{key}": value for key, value in behind.items()}


# ---- for people


def as_markdown(contest: ComparisonResult, data: ReportData) -> str:
    """Return a table for a document, with what it was measured with above it."""
    rows = [_cells(standing) for standing in contest.standings]
    lines = [_line(_HEAD), _line(["---"] + ["---:"] * (len(_HEAD) - 1)), *map(_line, rows)]
    return "\n".join([f"{_measured(contest, data)}.", "", *lines, "", *(f"{note}." for note in _notes(contest)), ""])


def as_lines(contest: ComparisonResult, data: ReportData) -> list[str]:
    """Return the same, aligned for the terminal."""
    rows = [_cells(standing) for standing in contest.standings]
    return [_measured(contest, data), *table(rows, _HEAD).splitlines(), *_notes(contest)]


def as_table(contest: ComparisonResult, data: ReportData) -> Table:
    """Return the most important of it for a terminal, however narrow."""
    head = ("recipe", f"best {data.metric_short}: mean ± std over {contest.seeds} seeds", "95% interval", "diverged")
    shown = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in head:
        shown.add_column(name, justify="left" if name == "recipe" else "right", overflow="fold")
    for standing in contest.standings:
        cells = _cells(standing)
        shown.add_row(*(Text(cell) for cell in (cells[0], cells[1], cells[2], cells[-1])))
    return shown


_HEAD = (
    "recipe",
    "best: mean ± std over seeds",
    "95% interval",
    "final: mean ± std over seeds",
    "best on fresh latents: mean",
    "std over draws",
    "behind the first (95% interval)",
    "diverged",
)


def _cells(standing: RecipeResult) -> list[str]:
    best, redrawn = standing.best_fid, standing.redrawn_fid
    return [
        standing.name,
        _mean(best),
        _interval(best),
        _mean(standing.final_fid),
        number(redrawn.mean, 2) if redrawn else NOTHING,
        number(standing.draws_std, 2),
        _behind(standing.behind),
        f"{standing.diverged} of {len(standing.seeds)}",
    ]


def _mean(estimate: Estimate | None) -> str:
    if estimate is None:
        return NOTHING
    spread = "" if estimate.std is None else f" ± {number(estimate.std, 2)}"
    return f"{number(estimate.mean, 2)}{spread} ({estimate.count})"


def _interval(estimate: Estimate | Difference | None) -> str:
    if estimate is None or estimate.low is None:
        return NOTHING
    return f"{number(estimate.low, 2)} to {number(estimate.high, 2)}"


def _behind(difference: Difference | None) -> str:
    if difference is None:
        return NOTHING
    return f"{number(difference.mean, 2)} ({_interval(difference)})"


def _measured(contest: ComparisonResult, data: ReportData) -> str:
    told = data.evaluation
    return (
        f"{data.metric} of {told['samples'] or '?'} samples against {told['reference_samples'] or '?'} real images of"
        f" {told['data'] or '?'}, {contest.kimg:g} kimg each; lower is better"
    )


def _notes(contest: ComparisonResult) -> list[str]:
    """Say what the numbers mean, and what they leave out."""
    notes = ["In brackets: how many training seeds. Best: the lowest of a training's evaluations"]
    if contest.draws:
        notes.append(f"Fresh latents: each training's best generator judged on {contest.draws} other draws of latents")
    if any(standing.diverged for standing in contest.standings):
        notes.append("A training that diverged counts with its best before that, and has no final distance")
    missing = [f"{standing.without_fid} of {standing.name}" for standing in contest.standings if standing.without_fid]
    if missing:
        notes.append(f"Ended before their first evaluation, so in no mean: {', '.join(missing)}")
    return notes


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
