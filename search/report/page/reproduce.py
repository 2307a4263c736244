"""How a run was made: exact commands, the identity of its evaluation, settings and versions."""

from __future__ import annotations

from search.report.data.report_data import ReportData
from search.report.page.html import command, facts, section
from search.report.text import commands


def how_it_was_made(data: ReportData) -> str:
    """Return what another needs to make the same again."""
    told = {
        "Settings": data.settings,
        "Evaluation": {"measures": data.metric, **data.evaluation},
        "Versions": data.versions,
    }
    panels = "".join(f"<div><h3>{title}</h3>{facts(values)}</div>" for title, values in told.items() if values)
    return section("made", "How it was made", f'{_commands(data)}<div class="panels wide">{panels}</div>')


def _commands(data: ReportData) -> str:
    winner = data.winner
    told = {
        "This sweep": data.command,
        "More trials": commands.resume(data, more=20) if data.leaderboard else "",
        "This page, anew": commands.report(data),
        "The best generator": commands.use(data) if data.best is not None and data.best.bundle else "",
        "The winner's training by itself": (commands.retrain(data, winner) or "") if winner is not None else "",
    }
    return "".join(f"<h3>{title}</h3>{command(line)}" for title, line in told.items() if line)
