"""The conditional search space, derived from what recipes, objectives and networks declare."""

from __future__ import annotations

from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from gan.recipe.recipe import Recipe, active
from gan.settings import Range, Space, Value

RECIPE = "recipe"


def distribution(space: Space) -> BaseDistribution:
    """Return Optuna's distribution for the search space of one parameter."""
    if isinstance(space, Range):
        if space.integer:
            return IntDistribution(int(space.low), int(space.high), log=space.log)
        return FloatDistribution(space.low, space.high, log=space.log)
    return CategoricalDistribution(space.values)


def label(recipe: str, name: str) -> str:
    """Return a parameter's name in the study.

    It contains the recipe's name, since ranges may differ between recipes; the sampler joins their axes.
    """
    return f"{recipe}.{name}"


def suggest(trial: Trial, recipes: dict[str, Recipe]) -> tuple[str, dict[str, Value]]:
    """Sample a recipe, then the parameters that are active in it; return both."""
    name = trial.suggest_categorical(RECIPE, list(recipes))
    recipe = recipes[name]
    settings, chosen = recipe.settings, {}
    for parameter, (known, space) in recipe.searchable().items():
        if active(known, settings):
            value = _suggest(trial, label(name, parameter), distribution(space))
            settings[parameter] = chosen[parameter] = value
    return name, chosen


def _suggest(trial: Trial, name: str, wanted: BaseDistribution) -> Value:
    if isinstance(wanted, IntDistribution):
        return trial.suggest_int(name, wanted.low, wanted.high, log=wanted.log)
    if isinstance(wanted, FloatDistribution):
        return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)
    assert isinstance(wanted, CategoricalDistribution)
    value: Any = trial.suggest_categorical(name, wanted.choices)
    return value


def as_study_parameters(
    recipe: Recipe, recipes: dict[str, Recipe], params: dict[str, Value]
) -> tuple[dict[str, Any], dict[str, BaseDistribution]] | None:
    """Return a trial's parameters and distributions in the study's form.

    None if a value lies outside the search space, as a published value may: Optuna cannot learn from it.
    """
    values: dict[str, Any] = {RECIPE: recipe.name}
    spaces: dict[str, BaseDistribution] = {RECIPE: CategoricalDistribution(list(recipes))}
    settings = recipe.settings | params
    for name, (known, space) in recipe.searchable().items():
        if not active(known, settings):
            continue
        spaces[label(recipe.name, name)] = distribution(space)
        values[label(recipe.name, name)] = value = settings[name]
        if value not in space:
            return None
    return values, spaces
