"""The head of the page: what ran, the best generator so far, and what to try where there is none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import Any

from gan.metric import FID
from gan.storage.storage import Storage
from search.report.data.pictures import winner_picture
from search.report.data.report_data import ReportData, Row
from search.report.page.html import Column, command, image, section, state_badge, table
from search.report.text import commands
from search.report.text import formatting as text

_ENDED_EARLY = ("diverged", "failed")
_NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")
_REASONS_SHOWN = 5
_NOT_FID = "Not the standard FID: compare it with its like only."


def header(data: ReportData) -> str:
    """Return name and state of the run, what it trains on, and how its trials stand."""
    size = data.evaluation["size"] or data.settings.get("size")
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    known = (data.settings.get("data"), f"{size} px" if size else None, f"as of {now}")
    what = " · ".join(str(part) for part in known if part)
    chips = "".join(
        f'<li class="state {state}"><b>{count}</b> {state}</li>' for state, count in text.standings(data).items()
    )
    trials = f'<ul class="chips" aria-label="trials by state">{chips}</ul>' if chips else ""
    return (
        f"<h1>{escape(data.name)} {state_badge(data.state, text.told(data, data.state))}</h1>"
        f'<p class="soft">{escape(what)}</p>{trials or "<p>no trials yet</p>"}'
    )


def hero(run: Storage, data: ReportData) -> str:
    """Return the winner: its faces first, then its distance, its settings, and how to use it."""
    winner = data.winner
    if winner is None:
        return section("best", "No generator yet", f"<p>{escape(_why_none(data))}</p>")
    picture = winner_picture(run, data)
    faces = ""
    if picture is not None:
        alternative = f"Samples of the best generator, {winner.id}"
        caption = f"Samples of the best generator, {winner.id}, after {text.kimg(winner.best_kimg)} kimg"
        faces = f"<figure>{image(picture, alternative, 'faces')}<figcaption>{caption}</figcaption></figure>"
    kind = "hero" if faces else "hero plain"
    return (
        f'<section id="best" class="{kind}" aria-labelledby="best-title">{faces}'
        f"<div>{_winner(data, winner)}</div></section>"
    )


def _winner(data: ReportData, winner: Row) -> str:
    how = "published settings" if winner.source == "published" else "found by the search"
    where = f"{winner.id} · {winner.recipe} · {how} · {text.standing_of(winner)}"
    parts = [
        f'<h2 id="best-title">The best generator</h2><p class="big">{text.number(winner.best_fid)}</p>',
        f'<p class="soft">{escape(data.metric)}, {_samples(data)}; lower is better.',
        "" if data.metric == FID else f" {_NOT_FID}",
        f"</p><p><b>{escape(where)}</b></p>",
        _rescored(data, winner),
        f"<p>{escape(_beyond(data))}</p>" if data.comparisons else "",
        _settings(data, winner),
        _use(data),
    ]
    return "".join(parts)


def _rescored(data: ReportData, winner: Row) -> str:
    """Say what judging the best again has found, by which the winner was chosen."""
    told = data.rescoring
    if told is None or winner.rescored_fid is None:
        return ""
    std = "" if winner.rescored_std is None else f" ± {text.number(winner.rescored_std)}"
    how = f"{told.metric}, {_count(told.evaluation.get('samples'))} samples, {told.draws} draws of latents"
    return (
        f"<p>Re-scored: <b>{text.number(winner.rescored_fid)}{std}</b>"
        f' <span class="soft">({escape(how)}; the best of the {told.trials} that were)</span></p>'
    )


def _settings(data: ReportData, winner: Row) -> str:
    """Return the winner's settings beside the published ones of its recipe."""
    published = _published(data, winner)
    columns = [Column("setting", "r"), Column("winner", "n"), *([Column("published", "n")] if published else [])]
    rows = [
        [escape(name), escape(text.short(value)), *([escape(text.short(published.get(name)))] if published else [])]
        for name, value in (winner.params or {}).items()
    ]
    return table(columns, rows, label="settings of the best generator", kind="tight") if rows else ""


def _published(data: ReportData, winner: Row) -> dict[str, Any]:
    if winner.source == "published":
        return {}
    same = (row for row in data.rows if row.source == "published" and row.recipe == winner.recipe)
    return next((row.params or {} for row in same), {})


def _use(data: ReportData) -> str:
    if data.best is None or data.best.bundle is None:
        return "<p>Its generator is not kept.</p>"
    return f"<h3>Use it</h3>{command(commands.use(data))}"


def _beyond(data: ReportData) -> str:
    """Say how far the search came beyond the best of the published settings, at equal training."""
    winner = data.winner
    known = [row for row in data.rows if row.source == "published" and row.best_fid is not None]
    if winner is None or not known:
        return ""
    if winner.source == "published":
        longest = max((row.kimg or 0.0 for row in data.rows if row.source == "sampled"), default=0.0)
        short = f" Its trials have had {text.kimg(longest)} kimg at most." if longest < (winner.kimg or 0.0) else ""
        where = f"after {text.kimg(winner.kimg)} kimg"
        return f"Published settings are the best so far, {where}: the search has found none better.{short}"
    best = min(known, key=lambda row: row.best_fid or 0.0)
    kimg = min(winner.kimg or 0.0, best.kimg or 0.0)
    mine, theirs = (data.curves[row.id].best_at(kimg) for row in (winner, best))
    if mine is None or not theirs:
        return ""
    share = f"{text.percent(abs(1 - mine / theirs))} {'lower' if mine <= theirs else 'higher'}"
    published = f"the best published settings ({best.recipe}: {text.number(theirs)})"
    return f"{share} than {published}, both after {text.kimg(kimg)} kimg."


def _samples(data: ReportData) -> str:
    generated, real = data.evaluation["samples"], data.evaluation["reference_samples"]
    return f"{_count(generated)} samples against {_count(real)} real images"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "?"


def _why_none(data: ReportData) -> str:
    if not data.leaderboard:
        return "The sweep has not begun a trial yet."
    if data.state == "running":
        return "No trial has been evaluated yet."
    lost = {state: data.counts.get(state, 0) for state in _ENDED_EARLY}
    made = len(data.leaderboard)
    for state, count in lost.items():
        if count == made:
            return f"All {made} trials {state}, before a single evaluation." if made > 1 else f"Its one trial {state}."
    return f"No trial came as far as an evaluation: {text.counts(data)}."


# ---- where a sweep has come to nothing, or not to its end


def advice(data: ReportData) -> str:
    """Say what is missing and what to try; nothing for a sweep that has reached its end well."""
    if data.state == "running":
        return ""
    tips = []
    if data.state == "interrupted":
        tips.append(
            f"The sweep was {text.told(data, data.state)}. Go on with: <code>{escape(commands.resume(data))}</code>"
        )
    if data.leaderboard and not data.counts.get("finished"):
        tips += ["No trial has run to its full length.", *map(escape, _remedies(data.counts))]
    elif not tips:
        return ""
    items = "".join(f"<li>{line}</li>" for line in [*tips, *map(escape, _reasons(data))])
    return section("advice", "What to try", f"<ul>{items}</ul>")


def _reasons(data: ReportData) -> list[str]:
    """Return why trials were lost, the most frequent reason first; reasons that differ in numbers alone are one."""
    told: dict[str, list[str]] = {}
    for row in data.rows:
        if row.state in _ENDED_EARLY and row.reason:
            reason = f"{row.state}: {text.one_line(row.reason)}"
            told.setdefault(_NUMBER.sub("", reason), []).append(reason)
    groups = sorted(told.values(), key=len, reverse=True)[:_REASONS_SHOWN]
    return [f"{len(group)} × {group[0]}" + (", or alike" if len(set(group)) > 1 else "") for group in groups]


def _remedies(counts: dict[str, int]) -> list[str]:
    tips = {
        "diverged": "Trials diverged: search lower learning rates (space: lr_g, lr_d in the sweep's YAML),"
        " for wgan a smaller clip, or try another recipe.",
        "failed": "Trials failed; their reasons are below. Where memory ran out: a smaller batch, or more of"
        " the GPU for each trial (--gpus-per-trial).",
        "stopped": "Trials were stopped early: a longer grace_kimg gives them a chance.",
    }
    return [tip for state, tip in tips.items() if counts.get(state)]
