"""Coordinates of settings, shared by all recipes, and the kernel's length scale along each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from gan.recipe.recipe import Recipe
from gan.settings import Choices, Range, Space, Value
from search.algorithm.space import RECIPE

LENGTH_SCALES = {
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
DEFAULT_LENGTH_SCALE = 2.0
"""Kernel length scale of each parameter, in units of its default range, and of any other parameter.

A search sees too few trials to learn them. These maximise the likelihood of 2,000 recorded trials, rounded; two image
sets agree on them (`python benchmarks/learn_kernel.py`).
"""


def bounds(space: Range, margin: float = 0.0) -> tuple[float, float]:
    """Return a range's bounds, as logarithms on a log scale; those of integers are first widened by `margin`."""
    widened = margin if space.integer else 0.0
    return _bounds(space.low - widened, space.high + widened, space.log)


@cache
def _bounds(low: float, high: float, log: bool) -> tuple[float, float]:
    return (math.log(low), math.log(high)) if log else (float(low), float(high))


def position(space: Range, value: float) -> float:
    """Return a value's position in a range: 0 at the low bound, 1 at the high bound, outside [0, 1] beyond them."""
    low, high = bounds(space)
    return ((math.log(value) if space.log else value) - low) / (high - low) if high > low else 0.5


class Axes:
    """The coordinates of settings: one for each parameter that any recipe searches, shared by all recipes.

    A parameter without effect in a recipe is placed in the middle. Numeric choices are evenly spaced. Other choices,
    and recipes, are one-hot: one coordinate for each value.

    Attributes:
        names: for each coordinate, the name of its parameter, or `RECIPE`.
        length_scales: the kernel's length scale along each coordinate; longer where a search covers only part of the
            default range.
    """

    def __init__(self, recipes: dict[str, Recipe]) -> None:
        self._recipes = list(recipes)
        spaces: dict[str, list[Space]] = {}
        defaults: dict[str, Space | None] = {}
        for recipe in recipes.values():
            for name, (known, space) in recipe.searchable().items():
                spaces.setdefault(name, []).append(space)
                defaults[name] = known.search
        self._axes = {name: _joined(each) for name, each in spaces.items()}
        self._choices = {name: _coordinates(axis) for name, axis in self._axes.items() if isinstance(axis, Choices)}
        self.names = [RECIPE] * len(recipes) if len(recipes) > 1 else []
        length_scales = [LENGTH_SCALES[RECIPE]] * len(self.names)
        for name, axis in self._axes.items():
            dimensions = len(self._choices[name][None]) if name in self._choices else 1
            self.names += [name] * dimensions
            length_scale = LENGTH_SCALES.get(name, DEFAULT_LENGTH_SCALE) * _stretch(defaults[name], axis)
            length_scales += [length_scale] * dimensions
        self.length_scales = np.array(length_scales)

    def place(self, recipe: str, params: dict[str, Value]) -> list[float]:
        """Return the coordinates of a recipe's parameters, which need not lie within the spaces."""
        place = [0.5 * (recipe == name) for name in self._recipes] if len(self._recipes) > 1 else []
        for name, axis in self._axes.items():
            value = params.get(name)
            if isinstance(axis, Choices):
                known = self._choices[name]
                place += known[value] if value in known else _between(axis, value, known)
            else:
                place.append(0.5 if value is None else position(axis, float(value)))
        return place


def _coordinates(choices: Choices) -> dict[Value | None, list[float]]:
    """Return the coordinates of each choice, and those of None: a parameter that a recipe does not have."""
    count = len(choices.values)
    places: dict[Value | None, list[float]]
    if _numeric(choices.values):
        places = {value: [index / max(1, count - 1)] for index, value in enumerate(choices.values)}
        return places | {None: [0.5]}
    # Two different values are as far apart as the two bounds of a range.
    places = {value: [math.sqrt(0.5) * (value == other) for other in choices.values] for value in choices.values}
    return places | {None: [0.0] * count}


def _between(choices: Choices, value: Value | None, known: dict[Value | None, list[float]]) -> list[float]:
    """Return the coordinates of a value that is none of the choices: between two numbers, or of no effect."""
    if value is None or not _numeric([*choices.values, value]):
        return known[None]
    numbers = [float(choice) for choice in choices.values]
    return [float(np.interp(float(value), numbers, [known[choice][0] for choice in choices.values]))]


def _joined(spaces: Sequence[Space]) -> Space:
    """Return one space that contains the spaces of all recipes."""
    ranges = [space for space in spaces if isinstance(space, Range)]
    values: list[Any] = []
    for space in spaces:
        values.extend([space.low, space.high] if isinstance(space, Range) else space.values)
    if ranges and _numeric(values):
        return Range(min(values), max(values), log=all(space.log for space in ranges) and min(values) > 0)
    values = list(dict.fromkeys(values))
    return Choices(tuple(sorted(values) if _numeric(values) else values))


def _stretch(default: Space | None, searched: Space) -> float:
    """Return the width of the default space divided by that of the searched one; 1 if their kinds differ."""
    if isinstance(default, Range) and isinstance(searched, Range) and default.log == searched.log:
        (low, high), (least, most) = bounds(default), bounds(searched)
        return (high - low) / (most - least) if most > least else 1.0
    if isinstance(default, Choices) and isinstance(searched, Choices) and len(searched.values) > 1:
        numeric = _numeric(default.values) and _numeric(searched.values)
        return (len(default.values) - 1) / (len(searched.values) - 1) if numeric else 1.0
    return 1.0


def _numeric(values: Sequence[Value]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
