"""Where settings lie: coordinates that trials of all recipes share, and how far apart they matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gan.recipe.recipe import Recipe
from gan.settings import Choices, Range, Space, Value
from search.algorithm.space import RECIPE

LENGTHS = {
    RECIPE: 9.0,
    "batch": 1.6,
    "lr_g": 0.5,
    "lr_d": 0.5,
    "clip": 0.5,
    "rho": 0.9,
    "beta1": 1.0,
    "beta2": 10.0,
    "ema_kimg": 5.0,
    "dropout": 4.0,
    "l2_lambda": 9.0,
}
LENGTH = 2.0
"""Over what share of its default range a parameter changes what trials come to; any other parameter's.

A search sees too few trials to learn them. These are those of the highest likelihood over 2,000 recorded trials, on two
sets of images that agree on them, rounded: `python benchmarks/learn_kernel.py`.
"""


def ends(space: Range, half: float = 0.0) -> tuple[float, float]:
    """Return a range's ends on its own scale; those of whole numbers wider by `half`, for what is rounded."""
    low, high = (space.low - half, space.high + half) if space.integer else (space.low, space.high)
    return (math.log(low), math.log(high)) if space.log else (float(low), float(high))


def share_of(space: Range, value: float) -> float:
    """Return where a value lies in a range: 0 at its low end, 1 at its high end; beyond them outside [0, 1]."""
    low, high = ends(space)
    return ((math.log(value) if space.log else value) - low) / (high - low) if high > low else 0.5


class Axes:
    """The coordinates of settings: one for each parameter that any recipe searches, the same in all of them.

    A parameter without effect in a recipe lies in the middle. Numbers to choose from are equally far apart. Other
    values have a coordinate each, as recipes have.

    Attributes:
        names: of the parameter that each coordinate is of, or `RECIPE`.
        lengths: of the kernel, for each coordinate; longer where less than the default range is searched.
    """

    def __init__(self, recipes: dict[str, Recipe]) -> None:
        self._recipes = list(recipes)
        spaces: dict[str, list[Space]] = {}
        usual: dict[str, Space | None] = {}
        for recipe in recipes.values():
            for name, (known, space) in recipe.searchable().items():
                spaces.setdefault(name, []).append(space)
                usual[name] = known.search
        self._axes = {name: _joined(found) for name, found in spaces.items()}
        self._choices = {name: _places(axis) for name, axis in self._axes.items() if isinstance(axis, Choices)}
        self.names = [RECIPE] * len(recipes) if len(recipes) > 1 else []
        lengths = [LENGTHS[RECIPE]] * len(self.names)
        for name, axis in self._axes.items():
            many = len(self._choices[name][None]) if name in self._choices else 1
            self.names += [name] * many
            lengths += [LENGTHS.get(name, LENGTH) * _stretch(usual[name], axis)] * many
        self.lengths = np.array(lengths)

    def place(self, recipe: str, params: dict[str, Value]) -> list[float]:
        """Return the coordinates of a recipe's sampled parameters."""
        place = [0.5 * (recipe == name) for name in self._recipes] if len(self._recipes) > 1 else []
        for name, axis in self._axes.items():
            value = params.get(name)
            if isinstance(axis, Choices):
                place += self._choices[name][value]
            else:
                place.append(0.5 if value is None else share_of(axis, float(value)))
        return place


def _places(choices: Choices) -> dict[Value | None, list[float]]:
    """Return the coordinates of each value to choose from, and of none."""
    count = len(choices.values)
    found: dict[Value | None, list[float]]
    if _numeric(choices.values):
        found = {value: [index / max(1, count - 1)] for index, value in enumerate(choices.values)}
        return found | {None: [0.5]}
    # Two different values are as far apart as the ends of a range.
    found = {value: [math.sqrt(0.5) * (value == other) for other in choices.values] for value in choices.values}
    return found | {None: [0.0] * count}


def _joined(spaces: Sequence[Space]) -> Space:
    """Return one space that holds those of all recipes."""
    ranges = [space for space in spaces if isinstance(space, Range)]
    values: list[Any] = []
    for space in spaces:
        values.extend([space.low, space.high] if isinstance(space, Range) else space.values)
    if ranges and _numeric(values):
        return Range(min(values), max(values), log=all(space.log for space in ranges) and min(values) > 0)
    values = list(dict.fromkeys(values))
    return Choices(tuple(sorted(values) if _numeric(values) else values))


def _stretch(usual: Space | None, searched: Space) -> float:
    """Return how much farther the default space reaches than what is searched; 1 where they are not of one kind."""
    if isinstance(usual, Range) and isinstance(searched, Range) and usual.log == searched.log:
        (low, high), (least, most) = ends(usual), ends(searched)
        return (high - low) / (most - least) if most > least else 1.0
    if isinstance(usual, Choices) and isinstance(searched, Choices) and len(searched.values) > 1:
        numbers = _numeric(usual.values) and _numeric(searched.values)
        return (len(usual.values) - 1) / (len(searched.values) - 1) if numbers else 1.0
    return 1.0


def _numeric(values: Sequence[Value]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
