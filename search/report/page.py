"""report.html: the whole run on one self-contained page, which nothing is loaded for."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from gan.storage import Storage
from search.report import text
from search.report.data import Comparison, ReportData, Row
from search.report.pictures import Picture, inline, over_training, winner_picture
from search.report.plots import Plot
from search.report.style import STYLE

PAGE = "report.html"
ROWS = 50
"""Trials of the leaderboard that are shown at once; the others fold out."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_NOT_FID = "Not the standard FID: compare it with its like only."
_TITLES = {
    "fid.png": ("How each trial went", "Best distance against training; lower is better."),
    "best_over_time.png": ("The sweep over time", "Every evaluation, and the best so far."),
    "losses.png": ("Losses", "Of the winner, of published settings and of trials that diverged."),
}


def write_page(run: Storage, data: ReportData, plots: Mapping[str, Plot]) -> None:
    """Write report.html, whole or not at all."""
    run.write_bytes(PAGE, page(run, data, plots).encode())


def page(run: Storage, data: ReportData, plots: Mapping[str, Plot]) -> str:
    """Return the page, with pictures from the run and the plots that are given."""
    parts = (
        _hero(run, data),
        _advice(data),
        _leaderboard(data),
        _published(data),
        _plots(plots),
        _grids(run, data),
        _saved(data),
        _settings(data),
    )
    body = "\n".join(part for part in parts if part)
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(data.name)} · gan-search</title>\n<style>{STYLE}</style></head>\n"
        f"<body><main>\n{_header(data)}\n{body}\n</main></body></html>\n"
    )


# ---- sections, from the top


def _header(data: ReportData) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    size = data.evaluation["size"] or data.settings.get("size")
    what = " · ".join(
        str(part) for part in (data.settings.get("data"), f"{size} px" if size else None, text.counts(data)) if part
    )
    return (
        f"<header><h1>{escape(data.name)}</h1>{_state(data.state)}"
        f'<span class="soft">{escape(what)} · as of {now}</span></header>'
    )


def _hero(run: Storage, data: ReportData) -> str:
    winner = data.winner
    if winner is None:
        return _section("No generator yet", f"<p>{escape(_why_none(data))}</p>")
    picture = winner_picture(run, data)
    faces = ""
    if picture is not None:
        alternative = f"Samples of the best generator, {winner.id}"
        caption = f"Samples of the best generator, after {text.kimg(winner.best_kimg)} kimg"
        faces = f"<figure>{_image(picture, alternative, 'faces')}<figcaption>{caption}</figcaption></figure>"
    plain = "" if faces else " plain"
    return f'<section class="hero{plain}">{faces}<div>{_winner(data, winner)}</div></section>'


def _winner(data: ReportData, winner: Row) -> str:
    facts: dict[str, Any] = {"trial": f"{winner.id} ({winner.source})", "recipe": winner.recipe}
    facts |= {"state": winner.state, "best at": f"{text.kimg(winner.best_kimg)} kimg"}
    facts |= {name: text.short(value) for name, value in (winner.params or {}).items()}
    parts = [
        f'<h2>The best generator</h2><div class="big">{text.number(winner.best_fid)}</div>',
        f'<p class="soft">{escape(data.metric)}, {_samples(data)}; lower is better.</p>',
        "" if data.metric == "FID" else f'<p class="soft">{_NOT_FID}</p>',
        f"<p>{escape(_beyond(data))}</p>" if data.comparisons else "",
        _facts(facts),
        _use(data),
    ]
    return "".join(parts)


def _use(data: ReportData) -> str:
    if data.best is None or data.best.bundle is None:
        return "<p>Its generator is no longer kept.</p>"
    export = f"gan-search export {shlex.quote(data.uri)} --out my-gan"
    sample = "gan-search sample my-gan -n 16 --grid --out samples.png"
    return f"<h3>Use it</h3><pre>{escape(export)}\n{sample}</pre>"


def _beyond(data: ReportData) -> str:
    """Say how far the search came beyond the best of the published settings."""
    winner = data.winner
    known = [row for row in data.rows if row.source == "published" and row.best_fid is not None]
    if winner is None or not known:
        return ""
    if winner.source == "published":
        return "Published settings are the best so far: the search has found none better."
    best = min(known, key=lambda row: row.best_fid or 0.0)
    share = 1 - (winner.best_fid or 0.0) / (best.best_fid or 1.0)
    known_best = f"{best.recipe}: {text.number(best.best_fid)}"
    return f"{text.percent(share)} lower than the best published settings ({known_best})."


def _why_none(data: ReportData) -> str:
    if not data.leaderboard:
        return "The sweep has not begun a trial yet."
    if data.state == "running":
        return "No trial has been evaluated yet."
    return f"No trial came as far as an evaluation: {text.counts(data)}."


def _advice(data: ReportData) -> str:
    """Where a sweep has come to nothing, or not to its end: say so, and what to try."""
    if data.state == "running":
        return ""
    tips = []
    if data.state == "interrupted":
        tips.append(f"The sweep was interrupted. Go on with: gan-search resume {shlex.quote(data.uri)}")
    if data.leaderboard and not data.counts.get("finished"):
        tips += ["No trial has run to its full length.", *_remedies(data.counts)]
    elif not tips:
        return ""
    reasons = Counter(f"{row.state}: {text.one_line(row.reason)}" for row in data.rows if _is_lost(row))
    lines = [*tips, *(f"{count} × {reason}" for reason, count in reasons.most_common(5))]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return _section("What to try", f"<ul>{items}</ul>") if items else ""


def _remedies(counts: dict[str, int]) -> list[str]:
    tips = {
        "diverged": "Trials diverged: search lower learning rates (space: lr_g, lr_d in the sweep's YAML),"
        " for wgan a smaller clip, or try another recipe.",
        "failed": "Trials failed; their reasons are below. Where memory ran out: a smaller batch, or more of"
        " the GPU for each trial (--gpus-per-trial).",
        "stopped": "Trials were stopped early: a longer grace_kimg gives them a chance.",
    }
    return [tip for state, tip in tips.items() if counts.get(state)]


def _is_lost(row: Row) -> bool:
    return row.state in ("diverged", "failed") and bool(row.reason)


def _leaderboard(data: ReportData) -> str:
    rows = data.leaderboard
    if not rows:
        return ""
    short = f'<abbr title="{escape(data.metric)}">{data.metric_short}</abbr>'
    head = ["#", "trial", "recipe", "state", f"best {short}", "at kimg", "kimg", "time"]
    head += ["settings", "reason"]
    numeric = {0, 4, 5, 6, 7}
    first, rest = rows[:ROWS], rows[ROWS:]
    content = _table(head, [_trial(row) for row in first], numeric, label="leaderboard", marks=_marks(first))
    if rest:
        more = _table(head, [_trial(row) for row in rest], numeric, label="other trials")
        content += f"<details><summary>{len(rest):,} more trials</summary>{more}</details>"
    return _section("Leaderboard", content)


def _trial(row: Row) -> list[str]:
    return [
        "" if row.rank is None else str(row.rank),
        escape(row.id),
        escape(str(row.recipe)) + ("<br>published" if row.source == "published" else ""),
        _state(row.state),
        text.number(row.best_fid),
        text.kimg(row.best_kimg),
        text.kimg(row.kimg),
        text.duration(row.seconds),
        escape(text.params(row.params)),
        escape(text.one_line(row.reason)),
    ]


def _marks(rows: Sequence[Row]) -> list[str]:
    return ["winner" if row.rank == 1 else "" for row in rows]


def _published(data: ReportData) -> str:
    if not data.comparisons:
        return ""
    name = data.metric_short
    head = ["recipe", f"published {name}", f"found {name}", "change", "at kimg", "trials"]
    rows = [_comparison(comparison) for comparison in data.comparisons]
    content = _table(head, rows, {1, 2, 3, 4}, label="published settings against found ones")
    note = "The best of each at equal training: as many images as both have seen."
    return _section("Published settings against found ones", f'<p class="soft">{note}</p>{content}')


def _comparison(comparison: Comparison) -> list[str]:
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
        text.kimg(comparison.kimg),
        escape(trials),
    ]


def _plots(plots: Mapping[str, Plot]) -> str:
    figures = []
    for name, (title, caption) in _TITLES.items():
        if name in plots:
            scroll = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(title)}">'
            image = (
                f'<picture><source media="(prefers-color-scheme: dark)" srcset="{inline(plots[name].dark)}">'
                f'<img src="{inline(plots[name].light)}" alt="{escape(title)}: plot"></picture>'
            )
            figures.append(
                f'<figure class="plot"><h3>{title}</h3>{scroll}{image}</div><figcaption>{caption}</figcaption></figure>'
            )
    return _section("Plots", "".join(figures)) if figures else ""


def _grids(run: Storage, data: ReportData) -> str:
    lost = [row for row in data.rows if row.state == "diverged" and row != data.winner]
    shown = [("The winner", data.winner), ("Diverged", lost[-1] if lost else None)]
    content = ""
    for title, row in shown:
        pictures = over_training(run, data, row) if row is not None else []
        if row is None or not pictures:
            continue
        reason = f'<p class="soft">{escape(text.one_line(row.reason))}</p>' if row.reason else ""
        figures = "".join(_grid(picture, row, data) for picture in pictures)
        heading = f"{title}: {row.id}, {row.recipe}"
        content += f'<h3>{escape(heading)}</h3>{reason}<div class="grids">{figures}</div>'
    return _section("Samples over training", content) if content else ""


def _grid(picture: Picture, row: Row, data: ReportData) -> str:
    caption = f"{text.kimg(picture.kimg)} kimg · {data.metric_short} {text.number(picture.fid)}"
    return (
        f"<figure>{_image(picture, f'Samples of {row.id} after {text.kimg(picture.kimg)} kimg')}"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _saved(data: ReportData) -> str:
    budget = data.budget
    ended = sum(row.state in ("finished", "stopped", "diverged", "failed") for row in data.rows)
    full = ended * (data.total_kimg or 0.0)
    spent, trained = text.duration(budget.wall_seconds), text.duration(budget.trial_seconds)
    facts: dict[str, Any] = {
        "trials": text.counts(data),
        "images shown": f"{budget.kimg:,.1f} kimg",
        "time": f"{spent} in all; the trials' own times add up to {trained}",
    }
    if budget.saved_fraction is not None:
        facts["at full length"] = f"{full:,.1f} kimg for the {ended} trials that have ended"
        facts["saved"] = f"{text.percent(budget.saved_fraction)} of that, by ending trials early"
    return _section("What stopping saved", _facts(facts)) if data.leaderboard else ""


def _settings(data: ReportData) -> str:
    parts = [
        f"<h3>Command</h3><pre>{escape(data.command)}</pre>" if data.command else "",
        "<h3>Evaluation</h3>" + _facts({**data.evaluation, "measures": data.metric}),
        "<h3>Settings</h3>" + _facts(data.settings) if data.settings else "",
        "<h3>Versions</h3>" + _facts(data.versions) if data.versions else "",
    ]
    return _section("How it was made", "".join(parts))


# ---- pieces


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _state(state: str) -> str:
    return f'<span class="state {escape(state)}">{escape(state)}</span>'


def _samples(data: ReportData) -> str:
    generated, real = data.evaluation["samples"], data.evaluation["reference_samples"]
    return f"{generated or '?'} samples against {real or '?'} real images"


def _facts(facts: dict[str, Any]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(_value(value))}</td></tr>'
        for name, value in facts.items()
        if value is not None and value not in ({}, [])
    )
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_value(inner) for inner in value)
    return value if isinstance(value, str) else json.dumps(value)


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: set[int],
    *,
    label: str,
    marks: Sequence[str] = (),
) -> str:
    """Return a table of cells that are HTML already; on a narrow screen it scrolls by itself."""
    kinds = [' class="n"' if index in numeric else "" for index in range(len(head))]
    wide = {"settings", "reason"}
    cells = [' class="w"' if name in wide else kind for name, kind in zip(head, kinds, strict=True)]
    titles = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in zip(head, kinds, strict=True))
    body = []
    for index, row in enumerate(rows):
        mark = f' class="{marks[index]}"' if index < len(marks) and marks[index] else ""
        content = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, cells, strict=True))
        body.append(f"<tr{mark}>{content}</tr>")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _image(picture: Picture, alternative: str, kind: str = "") -> str:
    look = ' style="image-rendering: pixelated"' if picture.enlarge else ""
    named = f' class="{kind}"' if kind else ""
    return (
        f'<img{named}{look} width="{picture.width}" height="{picture.height}"'
        f' alt="{escape(alternative)}" src="{picture.uri}">'
    )
