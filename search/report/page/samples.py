"""Samples over training, of the winner and of a trial that was lost."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from gan.storage.storage import Storage
from search.report.data.pictures import Picture, over_training
from search.report.data.report_data import ReportData, Row
from search.report.page.charts import picture
from search.report.page.html import image, section
from search.report.plots.drawing import Plot
from search.report.plots.training_plots import REAL_AND_FAKE
from search.report.text import formatting as text


def samples(run: Storage, data: ReportData, plots: Mapping[str, Plot]) -> str:
    """Return sample grids from the first to the last evaluation, on the same latents, and real images beside."""
    lost = [row for row in data.rows if row.state == "diverged" and row != data.winner]
    content = "".join(
        _trial(run, data, title, row)
        for title, row in (("The winner", data.winner), ("Diverged", lost[-1] if lost else None))
        if row is not None
    )
    if REAL_AND_FAKE in plots:
        title = "Real images beside samples"
        content += f'<figure class="chart"><h3>{title}</h3>{picture(plots[REAL_AND_FAKE], title)}</figure>'
    return section("samples", "Samples over training", content)


def _trial(run: Storage, data: ReportData, title: str, row: Row) -> str:
    pictures = over_training(run, data, row)
    if not pictures:
        return ""
    reason = f'<p class="soft">{escape(text.one_line(row.reason))}</p>' if row.reason else ""
    figures = "".join(_grid(picture, row, data) for picture in pictures)
    heading = f"{title}: {row.id}, {row.recipe}"
    return f'<h3>{escape(heading)}</h3>{reason}<div class="grids">{figures}</div>'


def _grid(picture: Picture, row: Row, data: ReportData) -> str:
    at = text.kimg(picture.kimg)
    caption = f"{at} kimg · {data.metric_short} {text.number(picture.fid)}"
    shown = image(picture, f"Samples of {row.id} after {at} kimg")
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"
