"""The exact commands that a report tells, ready to be pasted into a shell."""

from __future__ import annotations

import shlex
from typing import Any

from search.report.data.report_data import ReportData, Row

PROGRAM = "gan-search"


def use(data: ReportData) -> str:
    """Return how to export the winner and sample it."""
    return f"{export(data)}\n{PROGRAM} sample my-generator -n 64 --seed 0 --grid --out samples.png"


def export(data: ReportData) -> str:
    return f"{PROGRAM} export {shlex.quote(data.uri)} --out my-generator"


def resume(data: ReportData, more: int = 0) -> str:
    return f"{PROGRAM} resume {shlex.quote(data.uri)}" + (f" --trials +{more}" if more else "")


def report(data: ReportData) -> str:
    return f"{PROGRAM} report {shlex.quote(data.uri)}"


def retrain(data: ReportData, row: Row) -> str | None:
    """Return the command that trains a trial again by itself, to the same numbers on the same kind of machine.

    None where the run does not tell enough.
    """
    settings = data.settings
    recipe = _recipe(data, row)
    if recipe is None or row.seed is None or not settings.get("data") or not data.total_kimg:
        return None
    wanted = {
        "recipe": recipe,
        "data": settings["data"],
        "size": data.evaluation["size"] or settings.get("size"),
        "crop": settings.get("crop"),
        "kimg": f"{data.total_kimg:g}",
        "interval-kimg": data.identity.get("interval_kimg"),
        "features": settings.get("features"),
        "inception-weights": settings.get("inception_weights"),
        "samples": settings.get("samples"),
        "precision": settings.get("precision"),
        "seed": row.seed,
    }
    options = [word for name, value in wanted.items() if value is not None for word in (f"--{name}", _word(value))]
    changes = {**(settings.get("settings") or {}), **(row.params or {} if row.source != "published" else {})}
    sets = [word for name, value in changes.items() for word in ("--set", f"{name}={_word(value)}")]
    return shlex.join([PROGRAM, "train", *options, *sets, "--out", f"{row.id}-again"])


def _recipe(data: ReportData, row: Row) -> str | None:
    """Return what the sweep called a trial's recipe: its name, or the file that it came from."""
    given = data.settings.get("recipes")
    if not isinstance(given, list) or row.recipe is None:
        return None
    if row.recipe in given:
        return row.recipe
    names = list(data.spaces)
    found = dict(zip(names, given, strict=True)) if len(names) == len(given) else {}
    return found.get(row.recipe)


def _word(value: Any) -> str:
    """Write a setting so that it is read back as the same value: floats in full."""
    return repr(value) if isinstance(value, float) else str(value)
