"""How numbers and settings are written for people, in the terminal and on the page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from search.report.data.report_data import ReportData, Row
from search.run.record import TIME_BUDGET

NOTHING = "–"
PAUSED, TO_COME = "paused", "to come"
"""What people are told of trials that are pending for programs: half trained ones, and those not made yet."""
STATES = ("finished", "stopped", "diverged", "failed", "running", PAUSED, "pending", TO_COME)
"""How trials stand, in the order in which it is told."""


def number(value: float | None, digits: int = 1) -> str:
    """Write a measured number with a fixed count of digits behind the point."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def kimg(value: float | None) -> str:
    """Write a count of thousands of images: 0.5, 25, 12.75."""
    return NOTHING if value is None else f"{round(value, 2):g}"


def short(value: Any) -> str:
    """Write a setting's value with at most three significant digits."""
    if isinstance(value, bool) or not isinstance(value, float):
        return NOTHING if value is None else str(value)
    return f"{value:.3g}"


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.0f}%"


def saved(fraction: float | None) -> str | None:
    """Write the share of training that stopping saved; None where it was none to speak of."""
    return percent(fraction) if fraction is not None and fraction >= 0.005 else None


def duration(seconds: float | None) -> str:
    """Write a time as people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds is None:
        return NOTHING
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def params(values: dict[str, Any] | None) -> str:
    """Write settings on one line."""
    return " · ".join(f"{name} {short(value)}" for name, value in (values or {}).items())


def standing(state: str, kimg: float | None, *, made: bool = True) -> str:
    """Return how a trial stands, as people are told it."""
    if state != "pending":
        return state
    return (PAUSED if kimg else state) if made else TO_COME


def standing_of(row: Row) -> str:
    return standing(row.state, row.kimg, made=row.recipe is not None)


def why(row: Row) -> str:
    """Write why a trial ended, or from where it goes on, on one line."""
    return f"goes on from {kimg(row.kimg)} kimg" if standing_of(row) == PAUSED else one_line(row.reason)


def standings(data: ReportData) -> dict[str, int]:
    """Return how many trials stand how, in the order in which it is told."""
    found = Counter(map(standing_of, data.rows))
    return {state: found[state] for state in STATES if found[state]}


def counts(data: ReportData) -> str:
    """Write how many trials stand how."""
    return ", ".join(f"{count} {state}" for state, count in standings(data).items()) or "no trials yet"


def told(data: ReportData, state: str) -> str:
    """Return a state of the run, or of a part of it, as people are told it."""
    if state != "interrupted" or data.cause != TIME_BUDGET:
        return state
    budget = data.settings.get("time_budget")
    return "ended by its time budget" + (f" of {span(budget)}" if isinstance(budget, (int, float)) else "")


def span(seconds: float) -> str:
    """Write a time as `--time-budget` takes it: 90s, 30m, 2h, 1d."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def one_line(text: str | None) -> str:
    return " ".join((text or "").split())
