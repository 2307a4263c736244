"""The page's charts: a place for each, its plot as a picture where no scripts run, and the tables beside them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from search.report.data.pictures import inline
from search.report.data.report_data import ReportData
from search.report.page.chart_data import recipe_names
from search.report.page.html import Cell, Column, scrolling, section, swatch, table
from search.report.page.importance import FEWEST, Importance, Influence
from search.report.plots.plots import Plot, loss_panels
from search.report.text import formatting as text

_NO_SCRIPT = "This chart needs JavaScript; leaderboard.csv beside this page holds its data."


def progress(data: ReportData, plots: Mapping[str, Plot]) -> str:
    """Return how the sweep went: its best over time, and each trial over its training."""
    if not data.evaluations:
        return ""
    content = _chart(
        "over-time",
        f"Best {data.metric_short} against time",
        "Every evaluation is a point; the line is the best so far. Lower is better.",
        plots.get("best_over_time.png"),
    ) + _chart(
        "curves",
        f"Best {data.metric_short} of each trial against its training",
        "A line is a trial, a cross its end where it was lost.",
        plots.get("fid.png"),
    )
    return section("progress", "How the search went", content)


def parameters(data: ReportData, judged: list[Importance]) -> str:
    """Return which parameters decided, and how results lie against each."""
    if not any(row.params for row in data.leaderboard):
        return ""
    content = _importance(data, judged)
    content += '<div class="controls needs-script" id="recipe-choice"></div>'
    content += _chart(
        "parallel",
        "All settings of each trial",
        f"A line is a trial, from setting to setting to its best {data.metric_short}; the best in colour.",
    )
    content += _chart(
        "scatter",
        f"Best {data.metric_short} against each parameter",
        "Full marks ran to their end, hollow ones did not or have not yet, crosses were lost; those without any"
        " evaluation lie along the top.",
    )
    return section("parameters", "Parameters", content)


def losses(data: ReportData, plots: Mapping[str, Plot]) -> str:
    """Return the losses of the winner, of published settings and of trials that diverged."""
    if not loss_panels(data):
        return ""
    caption = "Of the winner, of published settings and of trials that diverged; each on a scale of its own."
    return section("losses", "Losses", _chart("losses", "", caption, plots.get("losses.png")))


def _chart(kind: str, title: str, caption: str, plot: Plot | None = None) -> str:
    """Return the place that a script draws a chart into."""
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    fallback = f"<p>{_NO_SCRIPT}</p>" if plot is None else picture(plot, title or kind, "turns")
    return (
        f'<figure class="chart" data-chart="{kind}">{heading}<figcaption>{escape(caption)}</figcaption>'
        f'<div class="drawn"></div><noscript>{fallback}</noscript></figure>'
    )


def picture(plot: Plot, title: str, kind: str = "") -> str:
    """Return a plot as a picture, which scrolls where there is no room for it.

    Args:
        kind: "turns" has dark ground turn it dark, which does no good to samples.
    """
    look = f" {kind}" if kind else ""
    return scrolling(f'<img class="plotted{look}" src="{inline(plot.light)}" alt="{escape(title)}: plot">', title)


# ---- importance


def _importance(data: ReportData, judged: list[Importance]) -> str:
    if not judged:
        return ""
    if all(one.missing for one in judged):
        told = ", ".join(f"{one.recipe} {one.trials}" for one in judged)
        why = f"Too few trials to tell: of each recipe {FEWEST} must have ended, some of them with a result"
        return f'<h3>What decided</h3><p class="soft">{escape(f"{why} ({told} so far).")}</p>'
    places = {name: place for place, name in enumerate(recipe_names(data))}
    tables = "".join(_recipe(one, places.get(one.recipe, 0)) for one in judged)
    note = (
        "How the best of a recipe's trials differ from all of them (Optuna's PED-ANOVA). The mark on a bar is what"
        " shuffled results reach once in 20 times: a bar that ends before it says nothing."
    )
    return f'<h3>What decided</h3><p class="soft">{note}</p><div class="panels wide">{tables}</div>'


def _recipe(one: Importance, place: int) -> str:
    head = f"<h4>{swatch(place)}{escape(one.recipe)}, {one.trials} trials</h4>"
    if one.missing:
        return f'<div>{head}<p class="soft">{escape(one.missing)}</p></div>'
    largest = max(max(known.share, known.chance or 0.0) for known in one.influences) or 1.0
    columns = [
        Column("parameter", "r"),
        Column("importance"),
        Column(f"middle half of the best {one.top}"),
    ]
    rows = [_influence(known, place, largest) for known in one.influences]
    label = f"importance of {one.recipe}'s parameters"
    unmeasured = all(known.chance is None for known in one.influences)
    note = '<p class="soft">What chance gives was not measured: too many trials for the time.</p>' if unmeasured else ""
    return f"<div>{head}{table(columns, rows, label=label, kind='tight')}{note}</div>"


def _influence(known: Influence, place: int, largest: float) -> list[str | Cell]:
    share = text.percent(known.share)
    name = f"{escape(known.name)} <small>{escape(known.searched)}</small>"
    return [name, f"{_bar(known, largest)} {share}", escape(known.best)]


def _bar(known: Influence, largest: float) -> str:
    """Draw a share as a bar, with a mark at what chance gives; the number stands beside it."""
    width = 100 * known.share / largest
    weak = " weak" if known.chance is not None and known.share <= known.chance else ""
    mark = ""
    if known.chance is not None:
        x = 100 * known.chance / largest
        mark = (
            f'<line class="chance" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="10" vector-effect="non-scaling-stroke"></line>'
        )
    return (
        f'<svg class="influence{weak}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="0" y="2" width="{width:.1f}" height="6"></rect>{mark}</svg>'
    )
