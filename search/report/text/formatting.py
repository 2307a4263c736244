"""How numbers, settings and states are written for people, in the terminal and on the page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gan.terminal import one_line
from search.report.data.report_data import Extended, Promise, ReportData, Row
from search.run.record import LOST, TIME_BUDGET

NOTHING = "–"
PAUSED, TO_COME = "paused", "to come"
"""Labels for people of two kinds of pending trials: half trained ones, and those that do not exist yet."""
STATES = ("finished", "stopped", "diverged", "failed", "running", PAUSED, "pending", TO_COME)
"""All state labels, in the order in which they are listed."""
STYLES = {"finished": "green", "running": "cyan", PAUSED: "yellow", "pending": "dim"} | dict.fromkeys(LOST, "red")
"""State label → style of its line in a terminal."""


def number(value: float | None, digits: int = 1) -> str:
    """Write a measured number with a fixed number of decimals."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "?"


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
    """Write the share of training that stopping saved; None if that is under half a percent."""
    return percent(fraction) if fraction is not None and fraction >= 0.005 else None


def duration(seconds: float | None) -> str:
    """Write a time: 45 s, 12 min, 3 h 20 min."""
    if seconds is None:
        return NOTHING
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def state_label(state: str, kimg: float | None, *, exists: bool = True) -> str:
    """Return a trial's state for people, with two more labels for pending trials."""
    if state != "pending":
        return state
    return (PAUSED if kimg else state) if exists else TO_COME


def state_of(row: Row) -> str:
    return state_label(row.state, row.kimg, exists=row.recipe is not None)


def origin(row: Row) -> str:
    """Write how a trial's settings were chosen."""
    listed = {"points": "from the sweep's list of points", "portfolio": "from the prior's portfolio"}
    return "published settings" if row.source == "published" else listed.get(str(row.provenance), "found by the search")


def reason_of(row: Row) -> str:
    """Write on one line why a trial ended, or where it goes on."""
    return f"goes on from {kimg(row.kimg)} kimg" if state_of(row) == PAUSED else one_line(row.reason or "")


def state_counts(data: ReportData) -> dict[str, int]:
    """Return state label → number of trials, in the order of `STATES`."""
    numbers = Counter(map(state_of, data.rows))
    return {state: numbers[state] for state in STATES if numbers[state]}


def counts(data: ReportData) -> str:
    """Write how many trials are in each state."""
    return ", ".join(f"{count} {state}" for state, count in state_counts(data).items()) or "no trials yet"


def over_published(data: ReportData) -> str:
    """Say how far the search came beyond published settings, at equal training; "" if there is nothing to say."""
    winner = data.winner
    if winner is not None and winner.source == "published" and data.comparison is None:
        longest = max((row.kimg or 0.0 for row in data.rows if row.source == "sampled"), default=0.0)
        short = f" Its trials have had {kimg(longest)} kimg at most." if longest < (winner.kimg or 0.0) else ""
        where = f"after {kimg(winner.kimg)} kimg" + (", where they were stopped" if winner.state == "stopped" else "")
        return f"Published settings are the best so far, {where}: the search has found none better.{short}"
    compared = data.over_published
    if compared is None or compared.gain is None:
        return ""
    share = f"{percent(abs(compared.gain))} {'lower' if compared.gain >= 0 else 'higher'}"
    which = "best published settings" if compared.full else "published settings that were trained longest"
    text = f"{share} than the {which} ({compared.recipe}: {number(compared.published_fid)}),"
    text += f" both after {kimg(compared.kimg)} kimg."
    if not compared.full:
        text += " No published settings have been trained to the full length."
    expected = data.expected_published
    if expected is not None:
        between = f"{number(expected.low)} to {number(expected.high)} with a probability of {percent(expected.level)}"
        text += f" Those of {expected.recipe} would be expected at {number(expected.fid)} there ({between})."
    return text


def promise(foreseen: Promise) -> str:
    """Say what more training of the winner's settings promises."""
    between = f"{foreseen.low:.2g} to {foreseen.high:.2g} with a probability of {percent(foreseen.level)}"
    return (
        f"Trained to {kimg(foreseen.kimg)} kimg, such settings came to {foreseen.ratio:.2g} times their distance on"
        f" other images ({between})."
    )


def extended(training: Extended) -> str:
    """Say what further training of a trial has come to."""
    ratio = training.best_fid / training.from_fid if training.from_fid else 1.0
    best = f"{number(training.from_fid)} → {number(training.best_fid)} ({ratio:.2g} times)"
    best += f" at {kimg(training.best_kimg)} kimg"
    if training.best_kimg <= training.from_kimg:
        best = f"no better than {number(training.from_fid)} so far" if training.state == "running" else "no better"
    reached = f"from {kimg(training.from_kimg)} to {kimg(training.kimg)} kimg"
    if training.kimg < training.planned_kimg and training.state in ("running", "interrupted"):
        reached += f" of {kimg(training.planned_kimg)}"
    reason = f": {one_line(training.reason)}" if training.reason else ""
    return f"{training.trial}, trained on {reached}: {best} ({training.state}{reason})"


def run_state(data: ReportData, state: str) -> str:
    """Write the state of the run, or of its finalists."""
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
