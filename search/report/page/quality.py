"""Evidence that the best generators neither collapsed nor copied.

Every report of a trial tells how far its samples differ from one another, so that much is always known. Precision,
recall, diversity and copies are known of a winner that `evaluate RUN --top K` has judged.
"""

from __future__ import annotations

from html import escape

from gan.storage.storage import Storage
from search.report.data.assessed import BESIDE
from search.report.data.pictures import LARGEST, load
from search.report.data.report_data import ReportData, Row
from search.report.page.html import Column, image, section, table
from search.report.text import formatting as text

SHOWN = 5
"""The best trials whose spread is told."""


def evidence(run: Storage, data: ReportData) -> str:
    """Return what is known of collapse and memorisation; nothing where nothing is."""
    return section("evidence", "Collapse and memorisation", _spread(data) + _assessed(run, data))


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
    return [escape(row.id), escape(str(row.recipe)), text.percent(row.spread), escape(text.standing_of(row))]


def _assessed(run: Storage, data: ReportData) -> str:
    known = data.assessed
    if known is None:
        return ""
    columns = [Column("figure", "r"), Column("value"), Column("meaning", "w")]
    rows = [[escape(cell) for cell in line] for line in known.lines]
    picture = load(run, BESIDE, LARGEST)
    beside = "" if picture is None else _beside(image(picture, "Samples, each above the training image nearest to it"))
    return f"<h3>{escape(known.trial)}, evaluated</h3>{table(columns, rows, label='evaluation')}{beside}"


def _beside(picture: str) -> str:
    caption = "Samples, each above the training image nearest to it in feature space."
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
