"""Pieces of HTML that the page is made of. What comes from outside is escaped here or by who calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from search.report.data.pictures import Picture
from search.report.page.style import PALETTE

_HYPHENED = re.compile(r"(?<!\S)(?=\S{2,30}(?!\S))\S*-\S*")
"""A word that a browser would break at a hyphen, and that fits a line of the narrowest screen."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its title as HTML, and how its cells look.

    Attributes:
        kind: "n" numbers, "w" long text, "r" the row's own name, or none.
    """

    title: str
    kind: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of HTML that sorts by another value than its text."""

    html: str
    value: float | str | None


def section(ident: str, title: str, content: str) -> str:
    """Return a section under a heading; nothing if it has no content."""
    if not content:
        return ""
    return (
        f'<section id="{ident}" aria-labelledby="{ident}-title"><h2 id="{ident}-title">{title}</h2>{content}</section>'
    )


def state_badge(state: str, told: str | None = None) -> str:
    """Return a state in its colour, in other words if there are any."""
    return f'<span class="state {escape(state)}">{escape(told or state)}</span>'


def command(line: str) -> str:
    """Return a command to be copied; lines break between its words, not at the hyphens of an option."""
    words = _HYPHENED.sub(r'<span class="whole">\g<0></span>', escape(line))
    return f"<pre>{words}</pre>"


def swatch(recipe: int) -> str:
    """Return a spot in a recipe's colour."""
    return f'<span class="swatch c{recipe % len(PALETTE)}" aria-hidden="true"></span>'


def facts(values: Mapping[str, Any]) -> str:
    """Return a table of names and values; those not known are left out."""
    rows = (
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(plain(value))}</td></tr>'
        for name, value in values.items()
        if value is not None and value not in ({}, [])
    )
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def plain(value: Any) -> str:
    """Write a setting, which may be a list or a mapping, on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {plain(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(plain(inner) for inner in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str | Cell]],
    *,
    label: str,
    kind: str = "",
    marks: Sequence[str] = (),
    first: int | None = None,
) -> str:
    """Return a table of cells that are HTML already; on a narrow screen it scrolls by itself.

    Args:
        kind: a class of the table.
        marks: a class of each row.
        first: rows that are there at once. The others are in a table of their own, in a `noscript`: where scripts run,
            they are text until a script makes rows of them.
    """
    looks = [f' class="{column.kind}"' if column.kind else "" for column in columns]
    titles = "".join(f'<th scope="col"{look}>{column.title}</th>' for column, look in zip(columns, looks, strict=True))
    body = []
    for index, row in enumerate(rows):
        mark = f' class="{marks[index]}"' if index < len(marks) and marks[index] else ""
        cells = (_cell(cell, column, look) for cell, column, look in zip(row, columns, looks, strict=True))
        body.append(f"<tr{mark}>{''.join(cells)}</tr>")
    shown = _table(titles, body[:first], kind, label)
    later = "" if first is None or len(body) <= first else _table(titles, body[first:], kind, f"{label}, the others")
    return scrolling(f"{shown}<noscript>{later}</noscript>" if later else shown, label)


def _table(titles: str, rows: Sequence[str], kind: str, label: str) -> str:
    named = f' class="{kind}"' if kind else ""
    return (
        f'<table{named}><caption class="unseen">{escape(label)}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(cell: str | Cell, column: Column, look: str) -> str:
    content, value = (cell.html, cell.value) if isinstance(cell, Cell) else (cell, None)
    sorts = "" if value is None else f' data-v="{escape(str(value))}"'
    if column.kind == "r":
        return f'<th scope="row"{look}{sorts}>{content}</th>'
    return f"<td{look}{sorts}>{content}</td>"


def scrolling(content: str, label: str, kind: str = "") -> str:
    """Return a region that scrolls sideways by itself, by keyboard too."""
    named = f" {kind}" if kind else ""
    return f'<div class="scroll{named}" role="region" tabindex="0" aria-label="{escape(label)}">{content}</div>'


def image(picture: Picture, alternative: str, kind: str = "") -> str:
    """Return a picture; small ones are shown with their pixels as squares."""
    classes = " ".join(name for name in (kind, "pixels" if picture.enlarge else "") if name)
    named = f' class="{classes}"' if classes else ""
    return (
        f'<img{named} width="{picture.width}" height="{picture.height}" decoding="async"'
        f' alt="{escape(alternative)}" src="{picture.uri}">'
    )
