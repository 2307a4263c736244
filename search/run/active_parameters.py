"""Which settings of a trial have an effect, from the recipes in a run's files."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from gan.errors import InputError
from gan.settings import Parameter
from gan.storage.storage import Storage
from search.run.record import SweepRecord
from search.run.run_folder import read_settings

Recipes = Mapping[str, Mapping[str, Any]]
"""Recipe → {"settings": …, "space": …}, as in a run's identity."""


def recipes_of(run: Storage, record: SweepRecord) -> Recipes:
    """Return the recipes of a run from its sweep.yaml; if that is damaged, as far as its trials show them."""
    try:
        saved = (read_settings(run)["identity"] or {}).get("recipes")
    except InputError:
        saved = None
    if isinstance(saved, Mapping) and all(isinstance(recipe, Mapping) for recipe in saved.values()):
        return {str(name): recipe for name, recipe in saved.items()}
    recipes: dict[str, dict[str, Any]] = {}
    for trial in record.trials.values():
        space = recipes.setdefault(trial.recipe, {"settings": trial.settings, "space": {}})["space"]
        for name, value in trial.params.items():
            space[name] = [*dict.fromkeys([*space.get(name, ()), value])]
    return recipes


def searched(recipes: Recipes) -> list[str]:
    """Return the parameters that any recipe searches, in the order of the settings."""
    names = {name for recipe in recipes.values() for name in recipe.get("space") or {}}
    known = dict.fromkeys(name for recipe in recipes.values() for name in recipe.get("settings") or {})
    return [name for name in known if name in names]


def values_of(name: str, recipes: Recipes) -> list[Any]:
    """Return the values of one setting that are known beforehand: published ones, choices and ends of ranges."""
    values = []
    for recipe in recipes.values():
        if name in (recipe.get("settings") or {}):
            values.append(recipe["settings"][name])
        space = (recipe.get("space") or {}).get(name)
        values += [space["low"], space["high"]] if isinstance(space, Mapping) else list(space or ())
    return values


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def has_effect(name: str, settings: Mapping[str, Any]) -> bool:
    """Tell whether a setting has an effect, given the others (Adam's β₁ has none under RMSprop)."""
    from gan.recipe.recipe import active

    parameter = declared(settings).get(name)
    return parameter is None or active(parameter, dict(settings))


def declared(settings: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the parameters that a training with these settings has, by name."""
    from gan.recipe.recipe import PARTS

    return _declared(tuple((kind, str(settings.get(kind, default))) for kind, (_, default) in PARTS.items()))


@functools.lru_cache(maxsize=64)
def _declared(part_names: tuple[tuple[str, str], ...]) -> dict[str, Parameter]:
    from gan.recipe.recipe import declarations

    try:
        return declarations(dict(part_names))
    except (InputError, ImportError):
        # A part from somebody's own package, which need not be installed where the run is looked at.
        return {}
