"""How a prior is learnt from recorded trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gan.recipe.recipe import Recipe
from gan.settings import Value
from search.algorithm.prior import Constants, Prior, Row, Task, expected_quantiles, settings_key


@dataclass(frozen=True)
class Table:
    """The results of several settings on one set of images, at one task.

    Attributes:
        images: name of the set.
        settings: recipe of the prior, and parameters, of each trial.
        results: [N], lower is better; infinite for lost trials.
    """

    images: str
    task: Task
    settings: list[tuple[str, dict[str, Value]]]
    results: np.ndarray


ROUNDS = 4
"""How often scores are taken anew under the model of the round before."""


def learn(
    recipes: dict[str, Recipe], tables: Sequence[Table], constants: Constants | None = None, most: int = 1000
) -> Prior:
    """Return the prior that some results teach.

    Scores depend on what is expected of the other settings of a table (see `expected_quantiles`), so they are taken
    several times, under the model of the time before. At first nothing is expected.

    Args:
        most: rows kept. Those of most sets come first, then the best ones and others in turn.
    """
    constants = constants or Constants()
    prior = Prior(recipes, constants=constants, sets=tuple(sorted({table.images for table in tables})))
    scores = [expected_quantiles(table.results, np.zeros(len(table.results)), 1.0) for table in tables]
    for _ in range(ROUNDS):
        prior = Prior(recipes, _thinned(_rows(tables, scores), most), [], constants, prior.sets)
        for index, table in enumerate(tables):
            points = np.concatenate([prior.points(recipe, [params]) for recipe, params in table.settings])
            means = prior.mean(points, [table.task] * len(points))
            scores[index] = expected_quantiles(table.results, means, math.sqrt(constants.residual))
    return Prior(recipes, _thinned(_rows(tables, scores), most), [], constants, prior.sets)


def _rows(tables: Sequence[Table], scores: Sequence[np.ndarray]) -> list[Row]:
    """Return the mean score of each settings at each task, over sets of images."""
    found: dict[tuple[str, Task], list[float]] = {}
    settings: dict[tuple[str, Task], tuple[str, dict[str, Value]]] = {}
    for table, values in zip(tables, scores, strict=True):
        for (recipe, params), score in zip(table.settings, values, strict=True):
            key = settings_key(recipe, params), table.task
            settings[key] = recipe, params
            found.setdefault(key, []).append(float(score))
    return [Row(*settings[key], key[1], float(np.mean(values)), len(values)) for key, values in found.items()]


def _thinned(rows: list[Row], most: int) -> list[Row]:
    ordered = sorted(rows, key=lambda row: (-row.sets, row.score))
    several = [row for row in ordered if row.sets > 1][:most]
    single = [row for row in ordered if row.sets == 1]
    room = most - len(several)
    if room >= len(single):
        return several + single
    best, rest = single[: room // 2], single[room // 2 :]
    step = len(rest) / max(1, room - len(best))
    return several + best + [rest[int(index * step)] for index in range(room - len(best))]
