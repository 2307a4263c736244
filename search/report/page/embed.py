"""What the page carries in itself: style, scripts and data, and the policy that allows these and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

HEAD = ("theme.js",)
"""Scripts that run before anything is shown, so that a chosen theme does not flash."""

BODY = ("base.js", "scales.js", "marks.js", "tooltip.js", "chart.js", "views.js", "parallel.js", "table.js", "main.js")
"""Scripts that run once the page is there; each uses those before it."""

DATA_ID = "data"


def script(names: Sequence[str]) -> str:
    """Return scripts of `assets/` as one, in a scope of its own."""
    folder = files("search.report.page").joinpath("assets")
    content = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return f'"use strict";\n{{\n{content}\n}}\n'


def policy(style: str, scripts: Sequence[str]) -> str:
    """Return a content security policy under which the page runs what it came with, and loads nothing.

    Each script and style is named by its hash: whatever else got into the page would not run.
    """
    allowed = " ".join(_hash(content) for content in scripts)
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {allowed};"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def as_json(value: Any) -> str:
    """Return JSON that can stand inside a script element: no name in it, however chosen, can end that element.

    Raises:
        ValueError: a number is not finite.
    """
    content = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
