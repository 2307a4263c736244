"""Parameter importance by Optuna's PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255), for each recipe.

PED-ANOVA measures how the best of a recipe's trials differ from all of them, parameter by parameter. It uses ranks: a
stopped trial counts with its best so far, a diverged one as the worst. Of Optuna's evaluators it is the one that needs
no scikit-learn. A few trials always seem to show some effect, so the same is measured with shuffled results, and the
effect of chance is shown beside.
"""

from __future__ import annotations

import math
import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search.report.data.report_data import ReportData, Row
from search.report.text import formatting as text

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.study import Study

FEWEST = 12
"""With fewer trials of a recipe, nothing is measured."""

MOST = 2000
"""Largest number of trials of a recipe that are used; of more, evenly spaced ones."""

SHUFFLES = 19
"""The largest of 19 values is exceeded by chance once in 20 times."""

SECONDS = 3.0

_BEST_SHARE, _BEST_AT_MOST, _BEST_TRIALS = 0.1, 0.25, 5
_LOST = 1e9


@dataclass(frozen=True)
class Influence:
    """The importance of one parameter.

    Attributes:
        share: of the importance of all of the recipe's parameters.
        chance: its share with shuffled results, exceeded once in 20 times; None if not measured.
        searched: its search space, as text.
        best: the values of the middle half of the best trials, as text.
    """

    name: str
    share: float
    chance: float | None
    searched: str
    best: str


@dataclass(frozen=True)
class Importance:
    """The importance of one recipe's parameters.

    Attributes:
        trials: number of trials used.
        top: how many of these are "the best".
        influences: the most important first; if empty, `missing` says why.
    """

    recipe: str
    trials: int
    top: int = 0
    influences: list[Influence] = field(default_factory=list)
    missing: str = ""

    @property
    def largest(self) -> float:
        """The longest bar: the largest share, measured or by chance."""
        return max(max(influence.share, influence.chance or 0.0) for influence in self.influences) or 1.0


def importance(
    data: ReportData, seconds: float = SECONDS, clock: Callable[[], float] = time.process_time
) -> list[Importance]:
    """Measure the importance of the parameters of each recipe that has trials, within a time limit.

    Args:
        seconds: processor time; after it, chance is no longer measured, and the remaining recipes are
            left out.
    """
    end = clock() + seconds
    spaces = {recipe: space for recipe, space in data.spaces.items() if recipe in data.recipe_names}
    judged: list[Importance] = []
    with warnings.catch_warnings():
        # Optuna warns of few trials and of a minimised target; both are handled here.
        warnings.simplefilter("ignore")
        for recipe, space in spaces.items():
            now = clock()
            # Each of the remaining recipes may take equally long.
            until = now + (end - now) / (len(spaces) - len(judged))
            judged.append(_judge(data, recipe, space, until, clock))
    return judged


def _judge(data: ReportData, recipe: str, space: dict[str, Any], end: float, clock: Callable[[], float]) -> Importance:
    rows = [row for row in data.rows if row.recipe == recipe and (row.best_fid is not None or row.state == "diverged")]
    if len(rows) < FEWEST:
        # Returns before Optuna is imported, which takes longer than all the rest of a small report.
        return _too_few(recipe, rows)
    known = {name: distribution for name, given in space.items() if (distribution := _distribution(given)) is not None}
    rows = [row for row in rows if _lies_within(row, known)]
    rows = rows[:: -(-len(rows) // MOST) or 1]
    count = len(rows)
    quantile = max(_BEST_SHARE, min(_BEST_AT_MOST, _BEST_TRIALS / max(1, count)))
    top = math.ceil(quantile * count)
    if count < FEWEST or _alive(rows) < max(2, top):
        return _too_few(recipe, rows)
    if clock() > end:
        return Importance(recipe, count, missing="Left out: there are too many trials for the time.")
    return Importance(recipe, count, top, _influences(rows, known, quantile, top, end, clock))


def _too_few(recipe: str, rows: list[Row]) -> Importance:
    missing = f"Too few to tell: {len(rows)}, of which {_alive(rows)} have a result."
    return Importance(recipe, len(rows), missing=missing)


def _alive(rows: list[Row]) -> int:
    return sum(_score(row) < _LOST for row in rows)


def _influences(
    rows: list[Row],
    known: dict[str, BaseDistribution],
    quantile: float,
    top: int,
    end: float,
    clock: Callable[[], float],
) -> list[Influence]:
    from optuna.importance import PedAnovaImportanceEvaluator

    study = _study(rows, known)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    importances = evaluator.evaluate(study)
    total = sum(importances.values()) or 1.0
    chance = _chance(study, evaluator, end, clock)
    best = sorted(rows, key=_score)[:top]
    return [
        Influence(
            name,
            share / total,
            chance[name] / total if chance else None,
            _searched(known[name]),
            _used(name, known[name], best),
        )
        for name, share in sorted(importances.items(), key=lambda item: (-item[1], item[0]))
    ]


def _chance(
    study: Study, evaluator: PedAnovaImportanceEvaluator, end: float, clock: Callable[[], float]
) -> dict[str, float] | None:
    """Return parameter → its largest importance over `SHUFFLES` shufflings; None if time ran out."""
    scores = [float(trial.value or 0.0) for trial in study.get_trials(deepcopy=False)]
    shuffle = random.Random(0).shuffle
    largest: dict[str, float] = {}
    for _ in range(SHUFFLES):
        if clock() > end:
            return None
        shuffle(scores)
        for name, value in evaluator.evaluate(study, target=lambda trial: scores[trial.number]).items():
            largest[name] = max(value, largest.get(name, 0.0))
    return largest


def _study(rows: list[Row], known: dict[str, BaseDistribution]) -> Study:
    """Return the trials of one recipe as an Optuna study."""
    import optuna
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    trials = []
    for row in rows:
        params = {name: value for name, value in (row.params or {}).items() if name in known}
        distributions = {name: known[name] for name in params}
        trials.append(create_trial(value=_score(row), params=params, distributions=distributions))
    study.add_trials(trials)
    for trial in study.get_trials(deepcopy=False):
        # The study has copied the distributions, and would compare the copies value by value at each access.
        trial.distributions = {name: known[name] for name in trial.params}
    return study


def _score(row: Row) -> float:
    """Return the value by which the search ranks a trial."""
    return _LOST if row.state == "diverged" or row.best_fid is None else row.best_fid


def _lies_within(row: Row, known: dict[str, BaseDistribution]) -> bool:
    """Tell whether a trial's settings lie within the search space, as published ones may not."""
    params = {name: value for name, value in (row.params or {}).items() if name in known}
    return bool(params) and all(_within(known[name], value) for name, value in params.items())


def _within(distribution: BaseDistribution, value: Any) -> bool:
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and bool(distribution._contains(float(value)))


def _distribution(given: Any) -> BaseDistribution | None:
    """Return Optuna's distribution for a search space of sweep.yaml; None if that is damaged."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        if isinstance(given, list):
            return CategoricalDistribution(given)
        low, high, log = given["low"], given["high"], bool(given.get("log"))
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


# ---- for people


def _searched(distribution: BaseDistribution) -> str:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(text.short(choice) for choice in distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    return f"{text.short(distribution.low)} to {text.short(distribution.high)}"


def _used(name: str, distribution: BaseDistribution, best: list[Row]) -> str:
    """Write the values of the best trials: the range of their middle half, or the count of each choice."""
    from optuna.distributions import CategoricalDistribution

    values = [row.params[name] for row in best if row.params and name in row.params]
    if not values:
        return text.NOTHING
    if isinstance(distribution, CategoricalDistribution):
        counts = [(choice, values.count(choice)) for choice in distribution.choices]
        return ", ".join(f"{text.short(choice)} ({count})" for choice, count in counts if count)
    values.sort()
    edge = len(values) // 4
    return f"{text.short(values[edge])} to {text.short(values[-1 - edge])}"
