"""Sentences of the page: what is trained on, how far the search came, and what to try where it came to nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from gan.terminal import one_line
from search.report.data.report_data import ReportData, Row
from search.report.text import formatting as text
from search.run.record import LOST

_NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")
_REASONS_SHOWN = 5


def subtitle(data: ReportData) -> str:
    """Return data, image size and date, on one line."""
    size = data.evaluation["size"] or data.settings.get("size")
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return " · ".join(
        str(part) for part in (data.settings.get("data"), f"{size} px" if size else "", f"as of {now}") if part
    )


def published_params(data: ReportData, best: Row) -> dict[str, Any]:
    """Return the published settings of a trial's recipe; nothing if they are the trial's own, or did not run."""
    if best.source == "published":
        return {}
    same = (row for row in data.rows if row.source == "published" and row.recipe == best.recipe)
    return next((row.params or {} for row in same), {})


def why_no_winner(data: ReportData) -> str:
    """Say why there is no generator yet."""
    trials = len(data.leaderboard)
    if not trials:
        return "The sweep has not begun a trial yet."
    if data.state == "running":
        return "No trial has been evaluated yet."
    for state in LOST:
        if data.counts.get(state) == trials:
            return (
                f"All {trials} trials {state}, before a single evaluation." if trials > 1 else f"Its one trial {state}."
            )
    return f"No trial reached an evaluation: {text.counts(data)}."


def tips(data: ReportData) -> list[str]:
    """Return what to try in a sweep without a trial of full length; nothing while it runs."""
    if data.state == "running" or not data.leaderboard or data.counts.get("finished"):
        return []
    remedies = {
        "diverged": "Trials diverged: search lower learning rates (space: lr_g, lr_d in the sweep's YAML),"
        " for wgan a smaller clip, or try another recipe.",
        "failed": "Trials failed; their reasons are below. Where memory ran out: a smaller batch, or more of"
        " the GPU for each trial (--gpus-per-trial).",
        "stopped": "Trials were stopped early: a longer grace_kimg gives them a chance.",
    }
    known = [remedy for state, remedy in remedies.items() if data.counts.get(state)]
    return ["No trial has run to its full length.", *known]


def reasons(data: ReportData) -> list[str]:
    """Return why trials diverged or failed, the most frequent reason first; numbers in them do not count."""
    groups: dict[str, list[str]] = {}
    for row in data.rows:
        if row.state in LOST and row.reason:
            reason = f"{row.state}: {one_line(row.reason)}"
            groups.setdefault(_NUMBER.sub("", reason), []).append(reason)
    largest = sorted(groups.values(), key=len, reverse=True)[:_REASONS_SHOWN]
    return [f"{len(group)} × {group[0]}" + (", or alike" if len(set(group)) > 1 else "") for group in largest]
