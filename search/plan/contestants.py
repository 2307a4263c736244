"""Where the settings that a comparison compares come from: recipes, files, trials of other runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from gan.errors import InputError, nearest
from gan.recipe.recipe import Recipe, load_recipe, read_yaml, shipped
from gan.storage.storage import Storage
from search.plan.spec import CompareSpec, Contestant
from search.run.record import SweepRecord, TrialRecord, read_record
from search.run.run_folder import open_run

_TRIAL = re.compile(r"t\d{4,}")


def resolve(spec: CompareSpec) -> CompareSpec:
    """Return the spec with files and trials of other runs read, so that later changes to them do not matter.

    Raises:
        InputError: no such recipe, file, run or trial.
    """
    resolved: list[str | Contestant] = []
    for recipe in spec.recipes:
        resolved.append(_resolve(recipe, spec.storage, resolved) if isinstance(recipe, str) else recipe)
    return spec.model_copy(update={"recipes": resolved})


def _resolve(name: str, storage: str, taken: list[str | Contestant]) -> str | Contestant:
    if name.endswith((".yaml", ".yml")):
        return _from_file(Path(name))
    run, colon, which = name.rpartition(":")
    if name in shipped():
        return name
    if not colon:
        close = nearest(name, shipped())
        raise InputError(f"unknown recipe '{name}': {close} (or give a YAML file, or RUN:1 for the best of a run)")
    return _from_run(name, open_run(run, storage), which, taken)


def _from_file(path: Path) -> Contestant:
    load_recipe(str(path))
    text = read_yaml(path)
    return Contestant(recipe=text | {"name": str(text.get("name") or path.stem)})


def _from_run(name: str, run: Storage, which: str, taken: list[str | Contestant]) -> Contestant:
    trial = _find(name, read_record(run), which)
    short, full = (f"{place}:{trial.id}" for place in (run.root.rpartition("/")[2], run.uri))
    contestant = of_trial(trial, short, f"trial {trial.id} of {run.uri}")
    others = [other for other in taken if isinstance(other, Contestant) and other.name == short]
    # The full address tells two runs of one name in different places apart.
    return contestant if contestant in others or not others else of_trial(trial, full, f"trial {trial.id} of {run.uri}")


def published(name: str, recipe: Recipe) -> Contestant:
    """Return a recipe's own settings as a contestant of the recipe's name."""
    return Contestant(recipe={"name": name, "settings": dict(recipe.settings), "source": "published settings"})


def of_trial(trial: TrialRecord, name: str, origin: str) -> Contestant:
    """Return the settings of a trial as a contestant."""
    recipe = {"name": name, "settings": dict(trial.settings), "source": origin}
    source: Literal["published", "sampled"] = "published" if trial.source == "published" else "sampled"
    return Contestant(recipe=recipe, source=source, params=dict(trial.params))


def _find(name: str, record: SweepRecord, which: str) -> TrialRecord:
    """Return the trial that "RUN:rank" or "RUN:trial" names."""
    if _TRIAL.fullmatch(which):
        if which not in record.trials:
            raise InputError(f"{name}: that run has no trial {which}")
        return record.trials[which]
    if not which.isdecimal() or int(which) < 1:
        raise InputError(f"{name}: after the colon give a rank, such as 1 for the best, or a trial, such as t0007")
    ranked = record.by_evidence()
    if int(which) > len(ranked):
        raise InputError(f"{name}: that run has {len(ranked)} trials with a FID")
    return ranked[int(which) - 1]
