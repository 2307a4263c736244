"""report.html: the whole run on one self-contained page, which nothing is loaded for."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from gan.storage.storage import Storage
from search.report.data.report_data import ReportData
from search.report.page import charts, embed, summary, tables
from search.report.page.chart_data import payload
from search.report.page.compared import compared
from search.report.page.importance import importance
from search.report.page.quality import evidence
from search.report.page.reproduce import how_it_was_made
from search.report.page.samples import samples
from search.report.page.style import style_sheet
from search.report.plots.plots import Plot

PAGE = "report.html"


def write_page(run: Storage, data: ReportData, plots: Mapping[str, Plot]) -> None:
    """Write report.html, whole or not at all."""
    run.write_bytes(PAGE, page(run, data, plots).encode())


def page(run: Storage, data: ReportData, plots: Mapping[str, Plot]) -> str:
    """Return the page, with pictures from the run and the plots that are given."""
    sections = {
        "Best": summary.hero(run, data),
        "What to try": summary.advice(data),
        "Progress": charts.progress(data, plots),
        "Leaderboard": tables.leaderboard(data),
        "Parameters": charts.parameters(data, importance(data)),
        "Losses": charts.losses(data, plots),
        "Samples": samples(run, data, plots),
        "Published": tables.published(run, data),
        "Compared": compared(data, plots),
        "Evidence": evidence(run, data),
        "Saved": tables.saved(data),
        "How it was made": how_it_was_made(data),
    }
    shown = {title: content for title, content in sections.items() if content}
    style, head, body = style_sheet(), embed.script(embed.HEAD), embed.script(embed.BODY)
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{embed.policy(style, (head, body))}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(data.name)} · gan-search</title>\n<style>{style}</style>\n"
        f"<script>{head}</script></head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f"<header>{summary.header(data)}{_themes()}{_contents(shown)}</header>\n"
        f'<main id="content">\n{"".join(shown.values())}\n</main>\n'
        '<div id="live" class="unseen" aria-live="polite"></div>\n'
        f'<script type="application/json" id="{embed.DATA_ID}">{embed.as_json(payload(data))}</script>\n'
        f"<script>{body}</script>\n</body></html>\n"
    )


def _contents(sections: Mapping[str, str]) -> str:
    """Return links to the sections that there are."""
    idents = (content.partition('id="')[2].partition('"')[0] for content in sections.values())
    links = "".join(f'<li><a href="#{ident}">{title}</a></li>' for title, ident in zip(sections, idents, strict=True))
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _themes() -> str:
    """Return the choice between the system's theme and the two others; it needs scripts."""
    choices = "".join(
        f'<label><input type="radio" name="theme" value="{value}"{" checked" if value == "system" else ""}>'
        f"<span>{title}</span></label>"
        for value, title in (("system", "System"), ("light", "Light"), ("dark", "Dark"))
    )
    return f'<fieldset class="themes needs-script"><legend class="unseen">Theme</legend>{choices}</fieldset>'
