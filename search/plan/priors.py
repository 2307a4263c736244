"""The prior that a sweep begins with: the shipped one, a file, or what earlier sweeps taught; see `--prior`."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np

from gan.errors import InputError
from gan.storage.storage import Storage
from gan.terminal import one_line
from search.algorithm.learning import Table, learn_more
from search.algorithm.prior import Prior, Task
from search.run.outcome import Outcome
from search.run.record import SweepRecord, TrialRecord, read_record
from search.run.run_folder import PRIOR, SETTINGS, open_run, read_settings

NONE, SHIPPED = "none", "shipped"
LEVELS = (0.25, 0.5, 1.0)
"""Shares of a sweep's length at which its trials are compared, each with those that came as far."""
FEWEST = 4
"""Trials that a comparison needs."""
_CHANNELS, _IMAGES = 3, 5000
"""Assumed of the data of runs that do not tell: those of version 0.1.0."""


def load_prior(name: str | None, run: Storage, storage: str) -> Prior | None:
    """Return the prior that a sweep begins with, or went on with since; None for none.

    Args:
        name: "none", "shipped", or files and earlier runs, separated by commas. Runs add to the file before them, or
            to the shipped prior.
        run: the sweep's folder. If it holds a prior that was named alike, that is the one, whatever is shipped since.
        storage: where a run is looked for that is named without a folder.

    Raises:
        InputError: there is no such file or run, or it is damaged.
    """
    if name is None or name == NONE:
        return None
    if run.exists(PRIOR) and run.exists(SETTINGS) and read_settings(run)["settings"].get("prior") == name:
        return _parse(run.read_bytes(PRIOR), f"{run.uri}/{PRIOR}")
    first, *others = [part.strip() for part in name.split(",")]
    if first == SHIPPED or first.endswith(".json"):
        prior = _shipped() if first == SHIPPED else _read(Path(first))
    else:
        prior, others = _shipped(), [first, *others]
    tables = [table for other in others for table in tables_of(prior, other, storage)]
    return learn_more(prior, tables) if others else prior


def identity_of(prior: Prior | None) -> str:
    """Return what identifies a prior: the start of its file's SHA-256, or "none"."""
    return NONE if prior is None else hashlib.sha256(prior.as_bytes()).hexdigest()[:16]


def _shipped() -> Prior:
    return _parse((files("search") / "algorithm" / "prior.json").read_bytes(), SHIPPED)


def _read(path: Path) -> Prior:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"prior: {path}: cannot be read ({one_line(error)})") from None
    return _parse(content, str(path))


def _parse(content: bytes, where: str) -> Prior:
    try:
        return Prior.parse(content)
    except (ValueError, InputError) as error:
        raise InputError(f"prior: {where} is no prior of this version: {one_line(error)}") from None


def tables_of(prior: Prior, name: str, storage: str) -> list[Table]:
    """Return what the trials of an earlier sweep came to.

    Raises:
        InputError: there is no such run, it is damaged or of a newer version, or it teaches nothing.
    """
    if name in (NONE, SHIPPED):
        raise InputError(f"prior: '{name}' stands alone, or first: name runs after it")
    run = open_run(name, storage)
    record = read_record(run)
    if "kimg" not in record.settings:
        raise InputError(f"prior: {run.uri}: its journal is damaged or empty: leave it out")
    # The images, and not the run, are what a score is about: two runs on the same images are one set.
    images = str((record.evaluation or {}).get("data_hash", run.uri))[:16]
    tables = [_table(prior, record, images, level) for level in LEVELS]
    found = [table for table in tables if len(table.settings) >= FEWEST]
    if not found:
        raise InputError(f"prior: {run.uri} has fewer than {FEWEST} trials that teach anything: leave it out")
    return found


def _table(prior: Prior, record: SweepRecord, images: str, level: float) -> Table:
    kimg = float(record.settings["kimg"]) * level
    rows = []
    for trial in record.trials.values():
        result, recipe = _result(trial, kimg), prior.recipe_of(trial.settings)
        if result is not None and recipe is not None:
            known = prior.recipes[recipe].searchable()
            rows.append((recipe, {key: trial.settings[key] for key in known if key in trial.settings}, trial, result))
    size = int((record.evaluation or {}).get("size") or 0)
    height, _, channels = (*record.shape, 1, 1, 1)[:3] if record.shape else (size, size, _CHANNELS)
    settings = rows[0][2].settings if rows else {"width_g": 1, "width_d": 1}
    task = Task.of((height, height, channels), settings, kimg, record.images or _IMAGES)
    return Table(images, task, [(row[0], row[1]) for row in rows], np.array([row[3] for row in rows]))


def _result(trial: TrialRecord, kimg: float) -> float | None:
    """Return a trial's best distance within its first `kimg`; infinite if its settings ended it before; else None."""
    if trial.kimg >= kimg - 1e-6:
        return trial.best_fid_at(kimg)
    lost = trial.outcome is not None and trial.outcome.is_fault_of_settings
    return float("inf") if lost and trial.outcome != Outcome.INFEASIBLE else None
