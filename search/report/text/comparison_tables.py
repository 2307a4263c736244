"""A comparison as tables: CSV for spreadsheets, Markdown for people, JSON for programs, lines for the terminal."""

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
from search.report.data.comparison import CONFIDENCE, ESTIMATE, ComparisonResult, Difference, Estimate, RecipeResult
from search.report.data.report_data import ReportData
from search.report.text.formatting import NOTHING, number

CSV, MARKDOWN, JSON = "compare.csv", "compare.md", "compare.json"

HEAD = (
    "recipe",
    "best: mean ± std over seeds",
    "95% interval",
    "final: mean ± std over seeds",
    "best on fresh latents: mean",
    "std over draws",
    "behind the first (95% interval)",
    "diverged",
)
"""Titles of the table that people read, in Markdown, terminal and page; `cells` returns a line of it."""

_ESTIMATES = ("best_fid", "final_fid", "redrawn_fid")
_DIFFERENCE = ("mean", "low", "high")


def write_tables(run: Storage, data: ReportData, comparison: ComparisonResult) -> None:
    """Write compare.csv, compare.md and compare.json, each whole or not at all."""
    run.write_bytes(CSV, as_csv(comparison, data.evaluation["features"]))
    run.write_bytes(MARKDOWN, as_markdown(comparison, data).encode())
    run.write_bytes(JSON, json.dumps({**as_json(comparison), "evaluation": data.evaluation}, indent=2).encode())


# ---- for programs


def as_json(comparison: ComparisonResult) -> dict[str, Any]:
    """Return a comparison as plain values; null where not known.

    `std_over_seeds` is between trainings of one recipe, `std_over_draws` between draws of latents for
    one trained generator; intervals are of the mean over training seeds.
    """
    return {
        "run": comparison.uri,
        "state": comparison.state,
        "kimg": comparison.kimg,
        "seeds": comparison.seeds,
        "draws": comparison.draws,
        "confidence": CONFIDENCE,
        "winner": comparison.winner.name if comparison.winner else None,
        "recipes": [_recipe_json(recipe) for recipe in comparison.recipes],
    }


def _recipe_json(recipe: RecipeResult) -> dict[str, Any]:
    known = {name: getattr(recipe, name) for name in _ESTIMATES}
    estimates = {name: None if value is None else value.as_dict() for name, value in known.items()}
    if estimates["redrawn_fid"] is not None:
        estimates["redrawn_fid"]["std_over_draws"] = recipe.draws_std
    return {
        "rank": recipe.rank,
        "name": recipe.name,
        "objective": recipe.objective,
        "source": recipe.source,
        "params": recipe.params,
        **estimates,
        "behind_first": None if recipe.behind is None else vars(recipe.behind),
        "diverged": recipe.diverged,
        "failed": recipe.failed,
        "without_fid": recipe.without_fid,
        "trials": [vars(seed) for seed in recipe.seeds],
    }


def as_csv(comparison: ComparisonResult, features: str | None) -> bytes:
    """Return one line for each recipe; `features` says what the distances were measured with."""
    text = io.StringIO()
    lines = [_flat(recipe, features) for recipe in comparison.recipes]
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue().encode()


def _flat(recipe: RecipeResult, features: str | None) -> dict[str, Any]:
    values = _recipe_json(recipe)
    line: dict[str, Any] = {
        "rank": recipe.rank,
        "recipe": recipe.name,
        "objective": recipe.objective,
        "source": recipe.source,
    }
    line |= {"features": features, "trainings": len(recipe.seeds)}
    line |= {name: values[name] for name in ("diverged", "failed", "without_fid")}
    for name in _ESTIMATES:
        line |= {f"{name}_{key}": (values[name] or {}).get(key) for key in ESTIMATE}
    line["redrawn_fid_std_over_draws"] = recipe.draws_std
    return line | {f"behind_first_{key}": (values["behind_first"] or {}).get(key) for key in _DIFFERENCE}


# ---- for people


def as_markdown(comparison: ComparisonResult, data: ReportData) -> str:
    """Return a table for a document, below a line that says what was measured."""
    rows = [cells(recipe) for recipe in comparison.recipes]
    lines = [_line(HEAD), _line(["---"] + ["---:"] * (len(HEAD) - 1)), *map(_line, rows)]
    sentences = (f"{note}." for note in notes(comparison))
    return "\n".join([f"{_measured(comparison, data)}.", "", *lines, "", *sentences, ""])


def as_lines(comparison: ComparisonResult, data: ReportData) -> list[str]:
    """Return the same, aligned for the terminal."""
    rows = [cells(recipe) for recipe in comparison.recipes]
    return [_measured(comparison, data), *table(rows, HEAD).splitlines(), *notes(comparison)]


def as_table(comparison: ComparisonResult, data: ReportData) -> Table:
    """Return the most important columns for a terminal, however narrow."""
    best = f"best {data.metric_short}: mean ± std over {comparison.seeds} seeds"
    shown = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("recipe", best, "95% interval", "diverged"):
        shown.add_column(name, justify="left" if name == "recipe" else "right", overflow="fold")
    for recipe in comparison.recipes:
        line = cells(recipe)
        shown.add_row(*(Text(cell) for cell in (*line[:3], line[-1])))
    return shown


def cells(recipe: RecipeResult) -> list[str]:
    """Return a recipe's line of the table whose titles are `HEAD`."""
    best, redrawn = recipe.best_fid, recipe.redrawn_fid
    failed = f", {recipe.failed} failed" if recipe.failed else ""
    return [
        recipe.name,
        _mean(best),
        _interval(best),
        _mean(recipe.final_fid),
        number(redrawn.mean, 2) if redrawn else NOTHING,
        number(recipe.draws_std, 2),
        NOTHING if recipe.behind is None else f"{number(recipe.behind.mean, 2)} ({_interval(recipe.behind)})",
        f"{recipe.diverged} of {len(recipe.seeds)}{failed}",
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


def _measured(comparison: ComparisonResult, data: ReportData) -> str:
    identity = data.evaluation
    return (
        f"{data.metric} of {identity['samples'] or '?'} samples against {identity['reference_samples'] or '?'} real"
        f" images of {identity['data'] or '?'}, {comparison.kimg:g} kimg each; lower is better"
    )


def notes(comparison: ComparisonResult) -> list[str]:
    """Say what the numbers mean, and what they leave out."""
    sentences = ["In brackets: how many training seeds. Best: the lowest of a training's evaluations"]
    if comparison.draws:
        sentences.append(
            f"Fresh latents: each training's best generator judged on {comparison.draws} other draws of latents"
        )
    if any(recipe.diverged for recipe in comparison.recipes):
        sentences.append("A training that diverged counts with its best before that, and has no final distance")
    missing = [f"{recipe.without_fid} of {recipe.name}" for recipe in comparison.recipes if recipe.without_fid]
    if missing:
        sentences.append(f"Ended before their first evaluation, so in no mean: {', '.join(missing)}")
    return sentences


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
