"""The data of the page's charts as plain values: trials, evaluations, curves and losses, each once, and rounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gan.palette import SERIES
from search.report.data.report_data import ReportData, Row
from search.report.text import formatting as text
from search.run.event_schema import is_number

DIGITS = 5
"""Significant digits of numbers in charts."""

LOSS_POINTS = 500

MOST = 2000
"""Number of trials on the page, the best ones: with tens of thousands it would not open on a phone."""

Point = tuple[float, ...]


def chart_data(data: ReportData) -> dict[str, Any]:
    """Return the data of all charts; trials are in the order of the leaderboard, and named by their place in it."""
    rows, recipes = shown(data), data.recipe_names
    places = {row.id: place for place, row in enumerate(rows)}
    return {
        "metric": data.metric,
        "short": data.metric_short,
        "recipes": recipes,
        "colours": len(SERIES),
        "params": [_parameter(data, name) for name in data.searched],
        "trials": [_trial(data, row, recipes) for row in rows],
        "evaluations": [
            [_number(evaluated.seconds), places[evaluated.trial], _number(evaluated.fid)]
            for evaluated in data.evaluations
            if evaluated.trial in places
        ],
        "losses": [
            {"trial": places[row.id], "why": why, "points": thin(_points(data.curves[row.id].losses))}
            for why, row in data.loss_panels
            if row.id in places
        ],
    }


def shown(data: ReportData) -> list[Row]:
    """Return the trials that the page shows, best first."""
    return data.leaderboard[:MOST]


def _trial(data: ReportData, row: Row, recipes: list[str]) -> dict[str, Any]:
    params = {name: text.short(value) for name, value in (row.params or {}).items()}
    return {
        "id": row.id,
        "recipe": recipes.index(str(row.recipe)),
        "published": row.source == "published",
        "provenance": row.provenance,
        "state": text.state_of(row),
        "rank": row.rank,
        "best": _number(row.best_fid),
        "at": _number(row.best_kimg),
        "kimg": _number(row.kimg),
        "reason": text.reason_of(row),
        "shown": params,
        "params": {name: _value(value) for name, value in (row.params or {}).items()},
        "curve": _points(_best_fids(data, row)),
    }


def _best_fids(data: ReportData, row: Row) -> list[tuple[float, float]]:
    """Return a trial's points (kimg, best FID so far), also of its further training."""
    longer = [point for training in data.extended if training.trial == row.id for point in training.best_fids[1:]]
    return [*(data.curves[row.id].best_fid if row.id in data.curves else []), *longer]


def _parameter(data: ReportData, name: str) -> dict[str, Any]:
    """Return a parameter's axis: its scale and range, or its choices."""
    spaces = [space[name] for space in data.spaces.values() if name in space]
    values = [row.params[name] for row in data.rows if row.params and name in row.params]
    if (spaces and all(isinstance(space, list) for space in spaces)) or not all(map(is_number, values)):
        choices = [value for space in spaces if isinstance(space, list) for value in space]
        return {"name": name, "log": False, "range": [], "choices": _choices([*choices, *values])}
    ranges = [space for space in spaces if isinstance(space, dict)]
    log = any(space.get("log") for space in ranges) and all(value > 0 for value in values)
    ends = [_number(space.get(end)) for space in ranges for end in ("low", "high")]
    return {"name": name, "log": bool(log), "range": [end for end in ends if end is not None], "choices": None}


def _choices(values: Iterable[Any]) -> list[str]:
    distinct = list(dict.fromkeys(value for value in values if isinstance(value, (str, int, float))))
    if all(map(is_number, distinct)):
        distinct.sort()
    return list(dict.fromkeys(text.short(value) for value in distinct))


def _value(value: Any) -> float | int | str | None:
    return _number(value) if is_number(value) else text.short(value)


def _number(value: Any) -> float | int | None:
    """Return a number that JSON can hold, rounded; None for anything else."""
    if not is_number(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _points(points: Iterable[Point]) -> list[list[float]]:
    """Return the points whose numbers are finite, rounded."""
    rounded = ([_number(value) for value in point] for point in points)
    return [[value for value in point if value is not None] for point in rounded if None not in point]


def thin(points: list[list[float]], most: int = LOSS_POINTS) -> list[list[float]]:
    """Return at most `most` points of a curve; its peaks and its last point are kept."""
    if len(points) <= most:
        return points
    stretches = max(1, most // 4 - 1)
    kept = {len(points) - 1}
    for index in range(stretches):
        places = range(index * len(points) // stretches, (index + 1) * len(points) // stretches)
        # Of each stretch, the points where either loss is lowest or highest.
        for loss in (1, 2):
            values = [points[place][loss] for place in places]
            kept |= {places[values.index(min(values))], places[values.index(max(values))]}
    return [points[place] for place in sorted(kept)]
