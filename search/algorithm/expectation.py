"""What a prior expects of one search: its recipes, images and length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gan.errors import InputError
from gan.recipe.recipe import Recipe
from gan.settings import Value
from search.algorithm.forecast import Forecast
from search.algorithm.prior import Prior, Task


class Expectation:
    """What a prior expects of the settings of one search.

    Args:
        recipes: those of the search. The prior expects nothing of a recipe that it does not know: its scores are 0.
        shape: of an image: height, width, channels.
        kimg: length of a trial.
        images: number of images to train on.
    """

    def __init__(
        self, prior: Prior, recipes: dict[str, Recipe], shape: tuple[int, ...], kimg: float, images: int
    ) -> None:
        self._prior = prior
        self._recipes = recipes
        self._known = {name: prior.recipe_like(recipe) for name, recipe in recipes.items()}
        self._tasks = {name: Task.of(shape, recipe.settings, kimg, images) for name, recipe in recipes.items()}
        self.deviation = math.sqrt(prior.constants.residual)
        """Standard deviation of scores around the means that are expected."""

    def means(
        self, recipes: Sequence[str], params: Sequence[dict[str, Value]], kimg: Sequence[float] | None = None
    ) -> np.ndarray:
        """Return the expected scores [N] of settings, by default at the end of their trials."""
        means = np.zeros(len(recipes))
        for name, known in self._known.items():
            rows = [index for index, recipe in enumerate(recipes) if recipe == name]
            if known is None or not rows:
                continue
            settings = self._recipes[name].settings
            points = self._prior.points(known, [settings | params[index] for index in rows])
            task = self._tasks[name]
            tasks = [task if kimg is None else task.at(kimg[index]) for index in rows]
            means[rows] = self._prior.mean(points, tasks)
        return means

    def best(self, trainings: float) -> Forecast | None:
        """Return what to expect of so many full trainings of the recipes that the prior knows; see `Prior.best`."""
        known = {name: recipe for name, recipe in self._known.items() if recipe is not None}
        # The widths of recipes differ little: the first one's task stands for all.
        return self._prior.best(list(known.values()), self._tasks[next(iter(known))], trainings) if known else None

    def promise(self, recipe: str, params: dict[str, Value]) -> Forecast | None:
        """Return what to expect of settings that are trained `LONGER` times as long; see `Prior.promise`."""
        known = self._known.get(recipe)
        if known is None:
            return None
        return self._prior.promise(known, self._recipes[recipe].settings | params, self._tasks[recipe])

    def portfolio(self) -> tuple[list[tuple[str, dict[str, Value]]], int]:
        """Return recipe and searched parameters of the portfolio's settings, best first, and how many are left out.

        Settings are left out if they lie outside the search's space. Those of other recipes are not counted.
        """
        # Of several recipes with the same parts, the first gets them.
        names = {known: name for name, known in reversed(self._known.items())}
        inside: list[tuple[str, dict[str, Value]]] = []
        left_out = 0
        for known, settings in self._prior.portfolio:
            if known in names:
                try:
                    inside.append((names[known], self._recipes[names[known]].complete(settings)))
                except InputError:
                    left_out += 1
        return inside, left_out
