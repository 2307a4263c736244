"""The exact commands that a report shows, ready to be pasted into a shell."""

from __future__ import annotations

import shlex
from typing import Any

from search.report.data.report_data import ReportData, Row
from search.run.event_schema import is_number

PROGRAM = "gan-search"


def use(data: ReportData) -> str:
    """Return the commands that export the winner and sample it."""
    export = f"{PROGRAM} export {shlex.quote(data.uri)} --out my-generator"
    return f"{export}\n{PROGRAM} sample my-generator -n 64 --seed 0 --grid --out samples.png"


def resume(data: ReportData, more: int = 0) -> str:
    return f"{PROGRAM} resume {shlex.quote(data.uri)}" + (f" --trials +{more}" if more else "")


def report(data: ReportData) -> str:
    return f"{PROGRAM} report {shlex.quote(data.uri)}"


def retrain(data: ReportData, row: Row) -> str | None:
    """Return the command that trains a trial alone, to the same numbers on the same kind of machine.

    None if the run's records are incomplete.
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
        # They change the last digits of all numbers.
        "threads": max(1, int(cpus)) if is_number(cpus := settings.get("cpus_per_trial")) else None,
    }
    options = [word for name, value in wanted.items() if value is not None for word in (f"--{name}", _word(value))]
    changes = {**(settings.get("settings") or {}), **(row.params or {} if row.source != "published" else {})}
    sets = [word for name, value in changes.items() for word in ("--set", f"{name}={_word(value)}")]
    return shlex.join([PROGRAM, "train", *options, *sets, "--out", f"{row.id}-again"])


def _recipe(data: ReportData, row: Row) -> str | None:
    """Return the recipe as it was given to the sweep: its name, or its file."""
    given = data.settings.get("recipes")
    if not isinstance(given, list) or row.recipe is None:
        return None
    if row.recipe in given:
        return row.recipe
    names = list(data.spaces)
    return dict(zip(names, given, strict=True)).get(row.recipe) if len(names) == len(given) else None


def _word(value: Any) -> str:
    """Write a setting so that reading it gives the same value: floats in full."""
    return repr(value) if isinstance(value, float) else str(value)
