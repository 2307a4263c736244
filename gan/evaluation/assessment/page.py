"""An assessment for people: one self-contained page, a picture and the figures as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from gan.evaluation.assessment.assessment import Assessment, Pairs
from gan.evaluation.assessment.lines import JSON, PAGE, PICTURE, Line, lines
from gan.metric import FID
from gan.storage.storage import Storage
from gan.tensors.images import encode_png, grid

_LEAST_SIDE = 64  # pixels a side under which images are enlarged by whole factors to be seen at all


def write_assessment(
    folder: Storage, name: str, assessment: Assessment, facts: Mapping[str, Any] | None = None
) -> None:
    """Write evaluation.json, neighbours.png and evaluation.html; each whole or not at all.

    Args:
        folder: where to.
        name: of the generator.
        assessment: what was found.
        facts: what else the JSON is to say.
    """
    summary = {"bundle": name, **(facts or {}), **assessment.as_dict()}
    folder.write_bytes(JSON, json.dumps(summary, indent=2).encode())
    if assessment.pairs:
        sheets = [_sheet(pairs) for pairs in assessment.pairs]
        folder.write_bytes(PICTURE, encode_png(np.concatenate(sheets)))
    folder.write_bytes(PAGE, page(name, assessment).encode())


# ---- the page


_STYLE = """
:root { color-scheme: light dark; --soft: #5c6570; --line: #d8dde3; --ground: #fff; --ink: #16191d }
@media (prefers-color-scheme: dark) { :root { --soft: #9aa4af; --line: #363c44; --ground: #14171a; --ink: #e8ebee } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600 } td.value { white-space: nowrap; font-variant-numeric: tabular-nums }
td { overflow-wrap: anywhere } .soft, figcaption, td.soft { color: var(--soft) }
figure { margin: 1rem 0 } img { max-width: 100%; height: auto; image-rendering: pixelated }
@media (max-width: 40rem) { tr, th, td { display: block; border: 0; padding: .1rem 0 } tr { padding: .5rem 0;
  border-bottom: 1px solid var(--line) } }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_NOT_FID = "{metric}: no FID as published, to be compared with its like only (same features, counts and data)."


def page(name: str, assessment: Assessment) -> str:
    """Return the page, with its pictures in it."""
    found = assessment.as_dict()
    own = assessment.identity.metric
    note = "" if own == FID else f'<p class="soft">{escape(_NOT_FID.format(metric=own))}</p>'
    body = "".join(
        [
            f"<h1>{escape(name)}</h1>{note}",
            f"<h2>Figures</h2>{_figures(lines(found))}",
            _missing(found),
            *(_figure(pairs) for pairs in assessment.pairs),
            f"<h2>Measured with</h2>{_facts(found['evaluation'])}",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation of {escape(name)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def _figures(said: list[Line]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(name)}</th><td class="value">{escape(value)}</td>'
        f'<td class="soft">{escape(meaning)}</td></tr>'
        for name, value, meaning in said
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _missing(found: dict[str, Any]) -> str:
    wanted = {
        "fid_infinity": "The distance at infinity was not measured: it takes over twice as many samples as features.",
        "memorisation": "Copying was not looked for: there are too few held-out images to measure by.",
    }
    return "".join(f'<p class="soft">{escape(text)}</p>' for name, text in wanted.items() if found[name] is None)


def _figure(pairs: Pairs) -> str:
    data = base64.b64encode(encode_png(_sheet(pairs))).decode()
    caption = "Above: generated. Below: the training image nearest to it in feature space."
    alternative = f"{escape(pairs.title)}, each above the training image nearest to it"
    return (
        f"<h2>Beside their neighbours: {escape(pairs.title)}</h2><figure>"
        f'<img alt="{alternative}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _facts(facts: dict[str, Any]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(name)}</th><td>{escape("–" if value is None else str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _sheet(pairs: Pairs) -> np.ndarray:
    """Lay generated images over their neighbours: uint8 [H', W', C]."""
    both = np.concatenate([pairs.generated, pairs.neighbours])
    factor = -(-_LEAST_SIDE // both.shape[1])
    enlarged = both.repeat(factor, 1).repeat(factor, 2)
    return grid(enlarged, columns=len(pairs.generated), pad=4)
