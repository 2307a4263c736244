"""The page's tables: every trial, published settings against found ones, and what stopping saved."""

from __future__ import annotations

from html import escape
from typing import Any

from gan.storage.storage import Storage
from search.report.data.pictures import best_picture
from search.report.data.report_data import Comparison, ReportData, Row
from search.report.page.chart_data import recipe_names, shown
from search.report.page.html import Cell, Column, facts, image, section, state_badge, swatch, table
from search.report.text import formatting as text

_FIRST = 50
"""Trials that are shown before one asks for all."""
_ENDED = ("finished", "stopped", "diverged", "failed")


# ---- every trial


def leaderboard(data: ReportData) -> str:
    """Return all trials, best first, with a column for each parameter that is searched."""
    rows = shown(data)
    if not rows:
        return ""
    recipes = {name: place for place, name in enumerate(recipe_names(data))}
    columns = [
        Column("trial", "r"),
        Column("#", "n"),
        Column(_measure(data, "best "), "n"),
        Column("state"),
        Column("recipe"),
        *(Column(title, "n") for title in ("at kimg", "kimg", "time")),
        Column("reason", "w"),
        *(Column(escape(name), "n") for name in data.searched),
    ]
    cells = [_trial(row, recipes[str(row.recipe)], data.searched) for row in rows]
    marks = ["winner" if row.rank == 1 else "" for row in rows]
    content = table(columns, cells, label="leaderboard", kind="sortable", marks=marks, first=_FIRST)
    note = "A parameter is empty where a recipe does not use it. Published settings are marked."
    others = len(data.leaderboard) - len(rows)
    if others:
        note += f" These are the best {len(rows):,}; the other {others:,} are in leaderboard.csv beside this page."
    return section("leaderboard", "Leaderboard", f'<p class="soft">{note}</p>{content}')


def _trial(row: Row, recipe: int, searched: list[str]) -> list[str | Cell]:
    params = row.params or {}
    published = " <small>published</small>" if row.source == "published" else ""
    return [
        escape(row.id),
        "" if row.rank is None else str(row.rank),
        Cell(text.number(row.best_fid), row.best_fid),
        state_badge(text.standing_of(row)),
        f"{swatch(recipe)}{escape(str(row.recipe))}{published}",
        Cell(text.kimg(row.best_kimg), row.best_kimg),
        Cell(text.kimg(row.kimg), row.kimg),
        Cell(text.duration(row.seconds), row.seconds),
        escape(text.why(row)),
        *(_setting(params.get(name)) for name in searched),
    ]


def _setting(value: Any) -> str | Cell:
    return "" if value is None else Cell(escape(text.short(value)), value)


def _measure(data: ReportData, before: str = "") -> str:
    return f'{before}<abbr title="{escape(data.metric)}">{data.metric_short}</abbr>'


# ---- published against found


def published(run: Storage, data: ReportData) -> str:
    """Return what the search found beyond the published settings of each recipe, and how both look."""
    if all(one.published_fid is None and one.found_fid is None for one in data.comparisons):
        return ""
    columns = [
        Column("recipe", "r"),
        Column(_measure(data, "published "), "n"),
        Column(_measure(data, "found "), "n"),
        Column("change", "n"),
        Column("both after", "n"),
        Column("trials", "n"),
    ]
    rows = [_comparison(comparison) for comparison in data.comparisons]
    content = table(columns, rows, label="published settings against found ones")
    note = (
        "The best of each at equal training: after as many kimg as the row says, the most that both have had. With more"
        " training either may have come further, and the leaderboard tells how far."
    )
    settings = "".join(_changes(run, data, comparison) for comparison in data.comparisons)
    return section(
        "published", "Published settings against found ones", f'<p class="soft">{note}</p>{content}{settings}'
    )


def _comparison(comparison: Comparison) -> list[str | Cell]:
    gain = comparison.gain
    change = text.NOTHING
    if gain is not None:
        kind = "gain" if gain > 0 else "loss"
        change = f'<span class="{kind}">{"−" if gain > 0 else "+"}{text.percent(abs(gain))}</span>'
    trials = " → ".join(trial for trial in (comparison.published, comparison.found) if trial)
    return [
        escape(comparison.recipe),
        text.number(comparison.published_fid),
        text.number(comparison.found_fid),
        change,
        text.NOTHING if comparison.kimg is None else f"{text.kimg(comparison.kimg)} kimg",
        escape(trials),
    ]


def _changes(run: Storage, data: ReportData, comparison: Comparison) -> str:
    """Return a recipe's settings, published and found, side by side; open for the winner's recipe."""
    rows = {row.id: row for row in data.rows}
    old, new = rows.get(comparison.published), rows.get(comparison.found or "")
    if old is None or new is None or not new.params:
        return ""
    before = old.params or {}
    values = [
        [escape(name), escape(text.short(before.get(name))), escape(text.short(value))]
        for name, value in new.params.items()
    ]
    columns = [Column("setting", "r"), Column("published", "n"), Column("found", "n")]
    content = table(columns, values, label=f"settings of {comparison.recipe}, published and found", kind="tight")
    winner = data.winner
    is_winner = winner is not None and winner.id in (old.id, new.id)
    pictures = _side_by_side(run, data, old, new) if is_winner else ""
    opened = " open" if is_winner else ""
    return f"<details{opened}><summary>{escape(comparison.recipe)}: what changed</summary>{content}{pictures}</details>"


def _side_by_side(run: Storage, data: ReportData, old: Row, new: Row) -> str:
    figures = ""
    for title, row in (("Published", old), ("Found", new)):
        picture = best_picture(run, row)
        if picture is not None:
            caption = (
                f"{title}: {row.id}, {text.kimg(picture.kimg)} kimg, {data.metric_short} {text.number(picture.fid)}"
            )
            shown = image(picture, f"Samples of {row.id} at its best")
            figures += f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"
    return f'<div class="pair">{figures}</div>' if figures else ""


# ---- what stopping saved


def saved(data: ReportData) -> str:
    """Return what the sweep has cost, and how much of that stopping spared."""
    if not data.leaderboard:
        return ""
    budget = data.budget
    spent, trained = text.duration(budget.wall_seconds), text.duration(budget.trial_seconds)
    known: dict[str, Any] = {"time": f"{spent} in all; the trials' own times add up to {trained}"}
    if budget.overhead_fraction is not None:
        known["overhead"] = f"{text.percent(budget.overhead_fraction)} of that went into evaluation and checkpoints"
    share = text.saved(budget.saved_fraction)
    if share is not None:
        known["saved"] = f"{share} of the training that full trials would have taken"
    elif budget.saved_fraction is not None:
        known["saved"] = "nothing: every trial that has ended ran to its full length"
    bars = "" if share is None else _bars(data)
    return section("saved", "What stopping saved", facts(known) + bars + _by_state(data))


def _ended(data: ReportData) -> dict[str, tuple[int, float]]:
    """Return state → (trials, kimg spent), of those that have ended."""
    sums: dict[str, tuple[int, float]] = {}
    for state in _ENDED:
        kimgs = [row.kimg or 0.0 for row in data.rows if row.state == state]
        if kimgs:
            sums[state] = len(kimgs), sum(kimgs)
    return sums


def _bars(data: ReportData) -> str:
    """Draw the training of all ended trials at full length: what each state took of it, and what was saved."""
    total = data.total_kimg
    ended = _ended(data)
    full = sum(count for count, _ in ended.values()) * (total or 0.0)
    if not full:
        return ""
    bars, x = "", 0.0
    for state, (_, kimg) in ended.items():
        width = 100 * min(kimg / full, 1.0)
        bars += f'<rect class="bar {state}" x="{x:.2f}" y="0" width="{width:.2f}" height="6"></rect>'
        x += width
    spoken = ", ".join(f"{state} {text.percent(kimg / full)}" for state, (_, kimg) in ended.items())
    label = f"Of the training at full length: {spoken}, saved {text.percent(max(0.0, 1 - x / 100))}"
    return (
        f'<svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<rect class="rest" x="0" y="0" width="100" height="6"></rect>{bars}</svg>'
        '<p class="soft">The whole bar is the training of these trials at full length; what is grey was saved.</p>'
    )


def _by_state(data: ReportData) -> str:
    total = data.total_kimg
    rows = [
        [
            f'<span class="key bar {state}" aria-hidden="true"></span>{state}',
            str(count),
            f"{kimg:,.1f}",
            text.NOTHING if total is None else f"{count * total:,.1f}",
            (text.saved(1 - kimg / (count * total)) if total else None) or text.NOTHING,
        ]
        for state, (count, kimg) in _ended(data).items()
    ]
    titles = ("trials", "kimg spent", "kimg at full length", "saved")
    columns = [Column("ended as", "r"), *(Column(title, "n") for title in titles)]
    return table(columns, rows, label="what stopping saved, by how trials ended", kind="tight") if rows else ""
