"""How numbers and settings are written for people, in the terminal and on the page."""

from __future__ import annotations

from typing import Any

from search.report.data import ReportData

NOTHING = "–"
STATES = ("finished", "stopped", "diverged", "failed", "running", "pending")
"""In the order in which they are told."""


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


def counts(data: ReportData) -> str:
    """Write how many trials are in each state, those that are there."""
    found = data.counts
    return ", ".join(f"{found[state]} {state}" for state in STATES if found.get(state)) or "no trials yet"


def one_line(text: str | None) -> str:
    return " ".join((text or "").split())
