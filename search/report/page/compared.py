"""What trainings on several seeds say: of a run that is a comparison, and of a sweep's finalists.

Both are read from `ReportData.contest` and `.finalists` where a run has them: `standings`, best first, with the mean of
each one's best distance over its seeds, the interval that holds it, and how far it is behind the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from search.report.data.contest import ComparisonResult, Difference, Estimate, RecipeResult
from search.report.data.report_data import ReportData
from search.report.page.charts import picture
from search.report.page.html import Column, section, table
from search.report.plots.drawing import Plot
from search.report.text import formatting as text

_PICTURES = {
    "fid": ("Distance against training, mean and spread over seeds", "turns"),
    "means": ("Means over seeds, with their intervals", "turns"),
    "grids": ("Samples side by side", ""),
}
"""Plot → what it shows, and how it is shown on dark ground (see `charts.picture`)."""


def compared(data: ReportData, plots: Mapping[str, Plot]) -> str:
    """Return who won over several seeds, by how much, and how it looks; nothing where nothing was compared."""
    content = _contest(data, "Over training seeds", data.contest, plots, "compare")
    content += _contest(data, "The finalists on fresh seeds", data.finalists, plots, "finalists")
    return section("compared", "Compared", content)


def _contest(
    data: ReportData, title: str, contest: ComparisonResult | None, plots: Mapping[str, Plot], prefix: str
) -> str:
    pictures = "".join(
        f'<figure class="chart"><h4>{told}</h4>{picture(plots[f"{prefix}_{name}.png"], told, look)}</figure>'
        for name, (told, look) in _PICTURES.items()
        if f"{prefix}_{name}.png" in plots
    )
    if contest is None or not contest.standings:
        return pictures
    short = data.metric_short
    columns = [
        Column("settings", "r"),
        Column("trainings", "n"),
        Column(f"best {short}, mean ± std", "n"),
        Column("95% interval of the mean", "n"),
        Column("behind the first", "n"),
        Column("± over latent draws", "n"),
        Column("lost", "n"),
    ]
    state = text.told(data, contest.state)
    note = f"Each was trained on {contest.seeds} seeds for {text.kimg(contest.kimg)} kimg ({state})."
    content = table(columns, [_standing(standing) for standing in contest.standings], label=title)
    return f'<h3>{title}</h3><p class="soft">{escape(note)}</p>{content}{pictures}'


def _standing(standing: RecipeResult) -> list[str]:
    best, behind = standing.best_fid, standing.behind
    spread = "" if best is None or best.std is None else f" ± {text.number(best.std)}"
    source = " <small>published</small>" if standing.source == "published" else ""
    return [
        f"{escape(standing.name)}{source}",
        str(len(standing.seeds)),
        text.NOTHING if best is None else f"{text.number(best.mean)}{spread}",
        _interval(best),
        text.NOTHING if behind is None else f"{text.number(behind.mean)} ({_interval(behind)})",
        text.number(standing.draws_std, 2),
        str(standing.diverged + standing.failed),
    ]


def _interval(known: Estimate | Difference | None) -> str:
    if known is None or known.low is None or known.high is None:
        return text.NOTHING
    return f"{text.number(known.low)} to {text.number(known.high)}"
