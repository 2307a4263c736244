"""report.html: the whole run on one page, which carries all that it shows and loads nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from gan import palette
from gan.storage.storage import Storage
from search.report.data import pictures
from search.report.data.report_data import ReportData
from search.report.page import importance, summary
from search.report.page.chart_data import chart_data, shown
from search.report.text import commands, comparison_tables, formatting
from search.run.run_folder import EVIDENCE

PAGE = "report.html"

HEAD_SCRIPTS = ("theme.js",)
"""Scripts that run before anything is shown, so that a chosen theme does not flash."""

BODY_SCRIPTS = tuple(
    f"{name}.js" for name in ("base", "scales", "marks", "tooltip", "chart", "views", "parallel", "table", "main")
)
"""Scripts that run once the page is there; each uses those before it."""

_SECTIONS = {
    "best": "Best",
    "advice": "What to try",
    "extended": "Trained on",
    "progress": "Progress",
    "leaderboard": "Leaderboard",
    "parameters": "Parameters",
    "losses": "Losses",
    "samples": "Samples",
    "published": "Published",
    "compared": "Compared",
    "quality": "Quality",
    "saved": "Saved",
    "reproduce": "Reproduce",
}
"""Id of a section, also the name of its template → its link in the table of contents."""

_HYPHENATED = re.compile(r"(?<!\S)(?=\S{2,30}(?!\S))\S*-\S*")
"""A word that a browser would break at a hyphen, and that fits a line of the narrowest screen."""


def write_page(run: Storage, data: ReportData, plots: Mapping[str, bytes]) -> None:
    """Write report.html, whole or not at all."""
    run.write_bytes(PAGE, page(run, data, plots).encode())


def page(run: Storage, data: ReportData, plots: Mapping[str, bytes]) -> str:
    """Return the page, with pictures of the run and the given plots (file name → PNG)."""
    templates = environment()
    context = {"run": run, "data": data, "plots": plots, "rows": shown(data)}
    sections = {name: templates.get_template(f"{name}.html").render(context).strip() for name in _SECTIONS}
    style, head, body = style_sheet(), script(HEAD_SCRIPTS), script(BODY_SCRIPTS)
    return templates.get_template("page.html").render(
        context,
        sections=[(name, _SECTIONS[name], Markup(content)) for name, content in sections.items() if content],
        policy=Markup(policy(style, (head, body))),
        style=Markup(style),
        head=Markup(head),
        body=Markup(body),
        chart_data=chart_data(data),
    )


@functools.cache
def environment() -> Environment:
    """Return the templates. All that they are given is escaped, unless it is `Markup`."""
    environment = Environment(
        loader=PackageLoader("search.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # JSON in a script element: the filter `tojson` escapes what could end that element.
    environment.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False,
        "allow_nan": False,
        "separators": (",", ":"),
    }
    environment.filters |= {"one_line": one_line, "unbroken": unbroken}
    environment.globals |= {
        "text": formatting,
        "commands": commands,
        "tables": comparison_tables,
        "pictures": pictures,
        "summary": summary,
        "importance": importance,
        "columns_of": columns_of,
        "colours": len(palette.SERIES),
        "evidence": EVIDENCE,
    }
    return environment


def columns_of(first: str, others: Iterable[str], kind: str = "r") -> list[tuple[str, str]]:
    """Return the columns of a table (title, class), numbers but for the first."""
    return [(first, kind), *((title, "n") for title in others)]


def one_line(value: Any) -> str:
    """Write a setting, which may be a list or a mapping, on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one_line(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(one_line, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def unbroken(command: str) -> str:
    """Return a command as HTML whose lines break between words, not at the hyphens of an option."""
    return Markup(_HYPHENATED.sub(r'<span class="whole">\g<0></span>', str(escape(command))))


# ---- style, scripts, and the policy that allows these and nothing else


def style_sheet() -> str:
    """Return the page's CSS. `light-dark()` follows `color-scheme`: the system's, or the one chosen on the page."""
    series = "\n".join(f".c{place} {{ --c: var(--c{place}); }}" for place in range(len(palette.SERIES)))
    return f":root {{ {palette.css_variables()} }}\n{series}\n{_asset('page.css')}"


def script(names: Sequence[str]) -> str:
    """Return scripts of `assets/` as one, in a scope of its own."""
    content = "\n".join(map(_asset, names))
    return f'"use strict";\n{{\n{content}\n}}\n'


def _asset(name: str) -> str:
    return files("search.report.page").joinpath("assets", name).read_text(encoding="utf-8")


def policy(style: str, scripts: Sequence[str]) -> str:
    """Return a content security policy under which the page runs its own scripts and loads nothing.

    Scripts and style are named by their hashes: anything else that got into the page would not run.
    """
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {' '.join(map(_hash, scripts))};"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
