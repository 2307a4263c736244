"""Evidence that the best generators neither collapsed nor copied.

Every report of a trial tells how far its samples differ from one another, so that much is always known. What a later
`evaluate` measured (precision, recall, diversity, memorisation) is shown where the run's data has it, in `evidence`:
a list of mappings or dataclasses, one an evaluation, whose names are shown as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from html import escape
from typing import Any

from search.report import text
from search.report.data import ReportData, Row
from search.report.html import Column, facts, section, table

SHOWN = 5
"""The best trials whose spread is told."""


def evidence(data: ReportData) -> str:
    """Return what is known of collapse and memorisation; nothing where nothing is."""
    return section("evidence", "Collapse and memorisation", _spread(data) + _evaluated(data))


def _spread(data: ReportData) -> str:
    rows = [row for row in data.leaderboard if row.spread is not None and row.rank is not None][:SHOWN]
    if not rows:
        return ""
    columns = [Column("trial", "r"), Column("recipe"), Column("spread of its best samples", "n"), Column("state")]
    note = (
        "How far the pixels of a trial's best samples differ from sample to sample, as a share of how far those of real"
        " images do. Near zero, all samples are one image."
    )
    content = table(columns, [_row(row) for row in rows], label="spread of samples", kind="tight")
    return f'<p class="soft">{note}</p>{content}'


def _row(row: Row) -> list[str]:
    return [escape(row.id), escape(str(row.recipe)), text.percent(row.spread), escape(row.state)]


def _evaluated(data: ReportData) -> str:
    found = getattr(data, "evidence", None) or []
    named = [known for known in map(_as_mapping, found) if known]
    return "".join(f"<h3>Evaluated</h3>{facts(known)}" for known in named)


def _as_mapping(known: Any) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(known) and not isinstance(known, type):
        return dataclasses.asdict(known)
    return known if isinstance(known, Mapping) else {}
