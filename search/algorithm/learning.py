"""How a prior is learnt from recorded trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from gan.recipe.recipe import Recipe
from gan.settings import Value
from search.algorithm.prior import (
    LONGER,
    Constants,
    History,
    Prior,
    Row,
    Task,
    expected_quantiles,
    settings_key,
)


@dataclass(frozen=True)
class Table:
    """The results of several settings on one set of images, at one task.

    Attributes:
        images: name of the set.
        settings: recipe of the prior, and parameters, of each trial.
        results: [N], lower is better; infinite for lost trials.
        kind: of the set: sets of one kind are alike, or share images. Empty: the set is a kind of its own.
        whole: whether these are whole trainings; otherwise, they are the first part of longer ones.
    """

    images: str
    task: Task
    settings: list[tuple[str, dict[str, Value]]]
    results: np.ndarray
    kind: str = ""
    whole: bool = True

    @property
    def group(self) -> str:
        return self.kind or self.images


MOST = 1000
"""Rows of a prior."""
ROUNDS = 4
"""How often scores are taken anew under the model of the round before."""


def learn(
    recipes: dict[str, Recipe], tables: Sequence[Table], constants: Constants | None = None, most: int = MOST
) -> Prior:
    """Return the prior that some results teach.

    Args:
        most: rows kept. Those of most sets come first, then the best ones and others in turn.
    """
    prior = learn_model(recipes, tables, constants or Constants(), most)
    kinds = sorted({table.group for table in tables})
    histories: list[History] = []
    for kind in kinds if len(kinds) > 1 else []:
        unseen = learn_model(recipes, [table for table in tables if table.group != kind], prior.constants, most)
        histories += _histories(unseen, [table for table in tables if table.group == kind])
    return replace(prior, histories=histories)


def learn_model(recipes: dict[str, Recipe], tables: Sequence[Table], constants: Constants, most: int = MOST) -> Prior:
    """Return the model and the portfolio that some results teach.

    Scores depend on what is expected of the other settings of a table (see `expected_quantiles`), so they are taken
    several times, under the model of the time before. At first nothing is expected.
    """
    prior = Prior(recipes, constants=constants, sets=tuple(sorted({table.images for table in tables})))
    falls = _falls(tables)
    scores = [expected_quantiles(table.results, np.zeros(len(table.results)), 1.0) for table in tables]
    for _ in range(ROUNDS):
        prior = replace(prior, rows=_thinned(_rows(tables, scores, falls), most))
        scores = [scores_of(prior, table) for table in tables]
    prior = replace(prior, rows=_thinned(_rows(tables, scores, falls), most))
    return replace(prior, portfolio=choose_portfolio(prior, tables))


def means_of(prior: Prior, settings: Sequence[tuple[str, dict[str, Value]]], task: Task) -> np.ndarray:
    """Return the expected scores [N] of settings at one task."""
    points = np.concatenate([prior.points(recipe, [params]) for recipe, params in settings])
    return prior.mean(points, [task] * len(points))


def scores_of(prior: Prior, table: Table) -> np.ndarray:
    """Return the scores of a table's results, given what the prior expects of its settings."""
    means = means_of(prior, table.settings, table.task)
    return expected_quantiles(table.results, means, math.sqrt(prior.constants.residual))


def _longest(tables: Sequence[Table]) -> list[Table]:
    """Return one table of each set of images, size and width: that of the longest trainings."""
    by_length = sorted(tables, key=lambda table: table.task.kimg)
    return list({(table.images, table.task.size, table.task.width): table for table in by_length}.values())


_Key = tuple[str, Task]


def _rows(tables: Sequence[Table], scores: Sequence[np.ndarray], falls: dict[_Key, float]) -> list[Row]:
    """Return the mean score of each settings at each task, over sets of images."""
    found: dict[_Key, list[float]] = {}
    settings: dict[_Key, tuple[str, dict[str, Value]]] = {}
    for table, values in zip(tables, scores, strict=True):
        for (recipe, params), score in zip(table.settings, values, strict=True):
            key = settings_key(recipe, params), table.task
            settings[key] = recipe, params
            found.setdefault(key, []).append(float(score))
    return [
        Row(*settings[key], key[1], float(np.mean(values)), len(values), falls.get(key))
        for key, values in found.items()
    ]


def _falls(tables: Sequence[Table]) -> dict[_Key, float]:
    """Return how far distances fall from each settings and task to `LONGER` times the length; see `Row`."""
    results = {
        (table.images, settings_key(*settings), table.task): result
        for table in tables
        for settings, result in zip(table.settings, table.results, strict=True)
    }
    found: dict[_Key, list[float]] = {}
    for (images, settings, task), result in results.items():
        longer = results.get((images, settings, task.at(task.kimg * LONGER)), math.inf)
        if 0 < longer <= result < math.inf:
            found.setdefault((settings, task), []).append(math.log(longer / result))
    return {key: float(np.mean(logs)) for key, logs in found.items()}


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


def learn_more(prior: Prior, tables: Sequence[Table]) -> Prior:
    """Return a prior that has learnt from further results, such as those of earlier sweeps.

    Their scores depend on what the prior expects of their settings. The best settings of each set of images take turns
    with the prior's portfolio.
    """
    scores = [scores_of(prior, table) for table in tables]
    own: list[tuple[str, dict[str, Value]]] = []
    longest = _longest(tables)
    orders = [[table.settings[index] for index in np.argsort(table.results)] for table in longest]
    for settings in (entry for turn in zip(*orders, strict=False) for entry in turn):
        if settings not in own:
            own.append(settings)
    turns = (entry for turn in zip_longest(own[:PORTFOLIO], prior.portfolio) for entry in turn if entry is not None)
    portfolio = list({settings_key(*entry): entry for entry in turns}.values())
    sets = tuple(sorted({*prior.sets, *(table.images for table in longest)}))
    return replace(prior, rows=[*prior.rows, *_rows(tables, scores, _falls(tables))], portfolio=portfolio, sets=sets)


# ---- what to expect of a search


TRIED = 64
"""Trials of a history."""
WORST = 3.0
"""Logarithm of a ratio as which worse ones and lost trials count."""


def _histories(prior: Prior, tables: Sequence[Table]) -> list[History]:
    """Return what a search with a prior that has not seen the tables' sets would have come to on them.

    It begins with what was recorded of the portfolio; then come the settings of which the prior expects most.
    """
    found = (_history(prior, table) for table in tables if table.whole)
    return [history for history in found if history is not None]


def _history(prior: Prior, table: Table) -> History | None:
    own = {name: settings_key(name, _own(recipe)) for name, recipe in prior.recipes.items()}
    results: dict[str, list[float]] = {}
    for settings, result in zip(table.settings, table.results, strict=True):
        results.setdefault(settings_key(*settings), []).append(float(result))
    distances = {key: float(np.median(values)) for key, values in results.items()}
    published = {name: distances[key] for name, key in own.items() if 0 < distances.get(key, 0) < math.inf}
    if not published:
        return None
    best = min(published.values())
    places = {settings_key(*settings): place for place, settings in enumerate(prior.portfolio)}
    entries = list({settings_key(*settings): settings for settings in table.settings}.values())
    means = means_of(prior, entries, table.task)
    order = sorted(range(len(entries)), key=lambda i: (places.get(settings_key(*entries[i]), math.inf), means[i]))
    keys = [(entries[index][0], settings_key(*entries[index])) for index in order]
    trials = [(name, distances[key]) for name, key in keys if key not in own.values()][:TRIED]
    logs = [(name, min(WORST, math.log(distance / best))) for name, distance in trials]
    return History(
        table.group, table.task, logs, {name: math.log(distance / best) for name, distance in published.items()}
    )


def _own(recipe: Recipe) -> dict[str, Value]:
    """Return the values that a recipe's own settings have for its searched parameters."""
    return {name: recipe.settings[name] for name in recipe.searchable() if name in recipe.settings}


# ---- the portfolio


PORTFOLIO, EACH = 16, 6
"""Settings in a portfolio, and of each recipe at least."""


def choose_portfolio(prior: Prior, tables: Sequence[Table]) -> list[tuple[str, dict[str, Value]]]:
    """Return settings that are good together: on each set of images, one of them at least.

    They are chosen greedily: each is the one that lowers the mean of the sets' best scores most. A recorded score
    counts as a mean of itself and of what the prior expects; one that was not recorded, as what the prior expects. The
    same is done for each recipe alone, for searches over a few recipes.
    """
    entries: dict[str, tuple[str, dict[str, Value]]] = {}
    for row in sorted(prior.rows, key=lambda row: row.score):
        entries.setdefault(settings_key(row.recipe, row.params), (row.recipe, row.params))
    candidates = list(entries.values())[:CANDIDATES]
    losses = np.array([_losses(prior, table, candidates) for table in _longest(tables)])
    recipes = np.array([recipe for recipe, _ in candidates])
    chosen = _greedy(losses, np.arange(len(candidates)), PORTFOLIO)
    for name in prior.recipes:
        own = np.flatnonzero(recipes == name)
        have = [index for index in chosen if recipes[index] == name]
        more = [index for index in _greedy(losses, own, EACH) if index not in have]
        chosen += more[: max(0, EACH - len(have))]
    return [candidates[index] for index in chosen]


CANDIDATES = 400
"""Settings that a portfolio is chosen from: those of the best scores."""


def _losses(prior: Prior, table: Table, candidates: Sequence[tuple[str, dict[str, Value]]]) -> np.ndarray:
    """Return the scores [N] of settings at a table's task, recorded or expected."""
    losses = means_of(prior, candidates, table.task)
    numbers = {settings_key(*settings): number for number, settings in enumerate(candidates)}
    for settings, score in zip(table.settings, scores_of(prior, table), strict=True):
        number = numbers.get(settings_key(*settings))
        if number is not None:
            losses[number] = (losses[number] + score) / 2
    return losses


def _greedy(losses: np.ndarray, allowed: np.ndarray, count: int) -> list[int]:
    """Return `count` of the columns that are allowed; each lowers the mean over rows of the least loss most."""
    chosen: list[int] = []
    best = np.full(len(losses), np.inf)
    for _ in range(min(count, len(allowed))):
        after = np.minimum(best[:, None], losses[:, allowed]).mean(0)
        after[np.isin(allowed, chosen)] = np.inf
        chosen.append(int(allowed[after.argmin()]))
        best = np.minimum(best, losses[:, chosen[-1]])
    return chosen
