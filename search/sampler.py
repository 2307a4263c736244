"""What to try next: a Gaussian process over all trials, finished, stopped or diverged, as a sampler for Optuna.

Three things set it apart from a sampler for single objectives. It learns across recipes: a learning rate is the same
axis in each. It learns from trials that were stopped early: what is modelled is where scores end and how they fall
until then, both as functions of the settings, and a trial that was stopped is seen before the end. And the model is
bounded, however many trials there were.

After Snoek, Larochelle & Adams 2012 (arXiv:1206.2944: Matérn 5/2, expected improvement) and Swersky, Snoek & Adams 2014
(arXiv:1406.3896, "freeze-thaw": curves of trials that are not over), with scores replaced by normal quantiles of their
ranks (Salinas, Shen & Perrone 2020, arXiv:1909.13595) and trials that run taken to reach what is expected of them
(Ginsbourger, Le Riche & Carraro 2010, "kriging believer").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from gan.recipe import Recipe, active
from gan.settings import Choices, Parameter, Range, Space, Value
from search.futility import log_score
from search.space import RECIPE, label

FEWEST, ENOUGH = 9, 12
"""Ended trials before which settings are drawn at random, in short searches and in long ones."""
EXPLORING = 0.1
"""Chance of a proposal to be drawn at random all the same (Falkner, Klein & Hutter 2018, "BOHB", arXiv:1807.01774).

Small rates reach a mediocre distance soonest. A model of trials that are mostly stopped early settles there, and what
lies elsewhere, and comes late, is never seen.
"""
CANDIDATES = 600
"""Drawn for each proposal; the one of the largest expected improvement is taken. Half of them vary good trials."""
NEIGHBOURS, STEP, KEPT = 10, 0.1, 0.8
"""Good trials that are varied; how far, as a share of a range; and the chance of each parameter to stay near them."""
OBSERVED = 400
"""Scores that the model is given at most: the better half of these, and others at random."""
BELIEVED = 150
"""Trials that run, the newest of them, that the model takes into account at most."""
LENGTHS = {"lr_g": 0.6, "lr_d": 0.5, "clip": 0.6, "beta1": 1.0}
LENGTHS |= dict.fromkeys(("beta2", "ema_kimg", "dropout", "l2_lambda"), 5.0)
LENGTH = 2.0
"""Over what share of its default range a parameter changes what trials come to; any other parameter's.

Those of the highest likelihood over 2,000 recorded trials (`benchmarks/`), which two sets of images agree on. A search
sees too few trials to learn them: replayed with lengths that it had to learn itself, it came to worse.
"""


def startup_trials(trials: int) -> int:
    """Return how many trials have to end before the model proposes: a third of all, within bounds."""
    return min(ENOUGH, max(FEWEST, trials // 3))


class ModelSampler(optuna.samplers.BaseSampler):
    """Proposes a recipe and all of its parameters at once; Optuna then asks for one after the other.

    Args:
        recipes: by name.
        seed: of whatever is drawn.
        startup: ended trials before which settings are drawn at random: few say nothing of so many axes.
    """

    def __init__(self, recipes: dict[str, Recipe], seed: int, startup: int = ENOUGH) -> None:
        self._startup = startup
        self._spaces = {name: (recipe.searchable(), recipe.settings) for name, recipe in recipes.items()}
        self._axes = Axes(recipes)
        self._random = np.random.default_rng(seed)
        self._plan: tuple[int, dict[str, Value]] = (-1, {})
        self._curves: dict[int, dict[int, float]] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if self._plan[0] != trial.number:
            # What was enqueued, as a recipe that is owed its share, is settled already.
            names = [trial.params[RECIPE]] if RECIPE in trial.params else list(self._spaces)
            name, params = self._propose(study, trial.number, names)
            self._plan = trial.number, {RECIPE: name, **{label(name, key): value for key, value in params.items()}}
        return self._plan[1][param_name]

    def _propose(self, study: optuna.Study, number: int, names: list[str]) -> tuple[str, dict[str, Value]]:
        """Return a recipe, one of `names`, and parameters for it."""
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        if len(ended) < self._startup or self._random.random() < EXPLORING:
            name = names[self._random.integers(len(names))]
            return name, draw_params(*self._spaces[name], self._random)
        seen = self._thinned(Seen.of([self._curve(trial) for trial in ended]))
        places = {index: self._place(ended[index]) for index in np.unique(seen.trials)}
        points = np.array([places[index] for index in seen.trials])
        model = Model(Kernel(self._axes.lengths), points, seen.left, seen.trials, normal_quantiles(seen.scores))
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        placed = [self._place(trial) for trial in running if trial.number != number and RECIPE in trial.params]
        placed = placed[-BELIEVED:]
        if placed:
            model = model.believing(np.array(placed))
        expected = model.mean(np.array(list(places.values())))
        order = [list(places)[index] for index in np.argsort(expected, kind="stable")]
        best = [ended[index] for index in order if self._curve(ended[index])]
        count = max(1, CANDIDATES // len(names))
        drawn = [(name, params) for name in names for params in self._candidates(name, count, best)]
        candidates = np.array([self._axes.place(name, params) for name, params in drawn])
        return drawn[int(model.expected_improvement(candidates, float(expected.min())).argmax())]

    def _curve(self, trial: FrozenTrial) -> dict[int, float]:
        # An ended trial changes no more.
        if trial.number not in self._curves:
            self._curves[trial.number] = curve(trial)
        return self._curves[trial.number]

    def _thinned(self, seen: Seen) -> Seen:
        if len(seen.scores) <= OBSERVED:
            return seen
        order = np.argsort(seen.scores, kind="stable")
        rest = self._random.permutation(order[OBSERVED // 2 :])[: OBSERVED - OBSERVED // 2]
        kept = np.sort(np.concatenate([order[: OBSERVED // 2], rest]))
        return Seen(seen.trials[kept], seen.left[kept], seen.scores[kept])

    def _place(self, trial: FrozenTrial) -> list[float]:
        return self._axes.place(trial.params[RECIPE], sampled(trial))

    def _candidates(self, name: str, count: int, best: Sequence[FrozenTrial]) -> list[dict[str, Value]]:
        models = [sampled(trial) for trial in best if trial.params[RECIPE] == name][:NEIGHBOURS]
        near: list[dict[str, Value] | None] = []
        if models:
            near += [models[self._random.integers(len(models))] for _ in range(count // 2)]
        near += [None] * (count - len(near))
        return [draw_params(*self._spaces[name], self._random, model) for model in near]


def draw_params(
    searched: dict[str, tuple[Parameter, Space]],
    settings: dict[str, Value],
    random: np.random.Generator,
    near: dict[str, Value] | None = None,
) -> dict[str, Value]:
    """Return parameters of a recipe, drawn from all of its space, or most of them near to others.

    Args:
        searched, settings: of the recipe.
    """
    settings, drawn = dict(settings), {}
    for name, (known, space) in searched.items():
        if active(known, settings):
            before = near.get(name) if near is not None and random.random() < KEPT else None
            settings[name] = drawn[name] = _draw_one(space, random, before)
    return drawn


def _draw_one(space: Space, random: np.random.Generator, near: Value | None) -> Value:
    if isinstance(space, Choices):
        return space.values[random.integers(len(space.values))] if near is None else near
    low, high = ends(space, half=0.5)
    value = low + (high - low) * random.random()
    if near is not None:
        centre = math.log(float(near)) if space.log else float(near)
        value = centre + STEP * (high - low) * random.standard_normal()
    value = math.exp(value) if space.log else value
    return min(max(round(value) if space.integer else value, space.low), space.high)


def sampled(trial: FrozenTrial) -> dict[str, Value]:
    """Return what was sampled for a trial, by the names that its recipe knows."""
    start = label(trial.params[RECIPE], "")
    return {key[len(start) :]: value for key, value in trial.params.items() if key.startswith(start)}


# ---- where settings lie


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
        lengths = [LENGTH] * (len(recipes) if len(recipes) > 1 else 0)
        for name, axis in self._axes.items():
            many = 1 if isinstance(axis, Range) or _numeric(axis.values) else len(axis.values)
            lengths += [LENGTHS.get(name, LENGTH) * _extent(usual[name]) / _extent(axis)] * many
        self.lengths = np.array(lengths)

    def place(self, recipe: str, params: dict[str, Value]) -> list[float]:
        """Return the coordinates of a recipe's sampled parameters."""
        place = [0.5 * (recipe == name) for name in self._recipes] if len(self._recipes) > 1 else []
        for name, axis in self._axes.items():
            value = params.get(name)
            if isinstance(axis, Range):
                place.append(0.5 if value is None else share_of(axis, float(value)))
            elif _numeric(axis.values):
                place.append(0.5 if value is None else axis.values.index(value) / max(1, len(axis.values) - 1))
            else:
                # Two different values are as far apart as the ends of a range.
                place.extend(math.sqrt(0.5) * (value == other) for other in axis.values)
        return place


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


def _extent(space: Space | None) -> float:
    """Return how far a range reaches, on its own scale, or numbers to choose from, in steps; 1 for anything else."""
    if isinstance(space, Range):
        low, high = ends(space)
        return high - low or 1.0
    return float(max(1, len(space.values) - 1)) if isinstance(space, Choices) and _numeric(space.values) else 1.0


def _numeric(values: Sequence[Value]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


# ---- what trials say


@dataclass(frozen=True)
class Seen:
    """Scores of ended trials, several of each.

    Attributes:
        trials: whose they are, by number in the order given.
        left: how much of the full length is still to come, on a logarithmic scale: 1 at the first report, 0 at the end.
        scores: their logarithms, less what scores fall on average until then; infinite for a trial that is lost.
    """

    trials: np.ndarray
    left: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, curves: Sequence[dict[int, float]]) -> Seen:
        """Take the reports at doubling steps, and the last, of each trial.

        From each report to the next, scores fall by what they fell on average over the trials that made both.

        Args:
            curves: as `curve` returns them.
        """
        levels = _levels(curves)
        first, full = min(levels, default=1), max(levels, default=1)
        way = math.log(full / first) or 1.0
        rows: list[tuple[int, float, float]] = []
        for index, known in enumerate(curves):
            for step in _doubling(known):
                rows.append((index, math.log(full / step) / way, known[step] - levels[step]))
            if not known:
                rows.append((index, 0.0, math.inf))
        trials, left, scores = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(np.array(trials, int), np.array(left, float), np.array(scores, float))


def _levels(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    steps = sorted({step for known in curves for step in known})
    before = dict(zip(steps[1:], steps, strict=False))
    falls: dict[int, list[float]] = {step: [] for step in steps}
    for known in curves:
        for step, score in known.items():
            if before.get(step) in known:
                falls[step].append(score - known[before[step]])
    level, levels = 0.0, {}
    for step in steps:
        level += float(np.mean(falls[step])) if falls[step] else 0.0
        levels[step] = level
    return levels


def _doubling(known: dict[int, float]) -> list[int]:
    """Return the first step of a curve, the first that is twice as far, and so on, and the last."""
    chosen: list[int] = []
    for step in known:
        if not chosen or step >= 2 * chosen[-1]:
            chosen.append(step)
    last = next(reversed(known), None)
    return chosen if last is None or chosen[-1] == last else [*chosen, last]


def curve(trial: FrozenTrial) -> dict[int, float]:
    """Return images → logarithm of the score; empty for a trial that is lost, or of which there is none."""
    if any(value > 0 for value in trial.constraints.values()):
        return {}
    return {step: log_score(score) for step, score in sorted(trial.intermediate_values.items())}


def normal_quantiles(scores: np.ndarray) -> np.ndarray:
    """Return what normally distributed values of the same ranks would be: no score is far from the others then.

    Equal ones, as those of lost trials are, share the mean of their ranks.
    """
    quantiles: np.ndarray = ndtri((rankdata(scores) - 0.5) / len(scores))
    return quantiles


# ---- the model


@dataclass(frozen=True)
class Kernel:
    """Of scores before and at the end: where they end, and how they fall, each Matérn 5/2 over settings.

    Attributes:
        lengths: of each axis, in its units.
        end, fall: variances of what settings explain of the end, and of the fall from the first report to it.
        trial, noise: variances of what they do not: common to a trial's scores, and of each of them.
    """

    lengths: np.ndarray
    end: float = 1.5
    fall: float = 1.1
    trial: float = 0.01
    noise: float = 0.13

    def between(self, one: np.ndarray, left: np.ndarray, other: np.ndarray, others_left: np.ndarray) -> np.ndarray:
        """Return the covariances [N, M] of points [N, axes] and [M, axes], seen with so much left [N], [M]."""
        scaled, others = one / self.lengths, other / self.lengths
        squares = (scaled**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * scaled @ others.T
        distance = np.sqrt(5 * np.maximum(squares, 0.0))
        alike = (1 + distance + distance**2 / 3) * np.exp(-distance)
        covariance: np.ndarray = alike * (self.end + self.fall * np.outer(left, others_left))
        return covariance


class Model:
    """The Gaussian process, given what was seen.

    Args:
        points: [N, axes].
        left: [N]; see `Seen`.
        trials: [N]; whose scores these are.
        values: [N]; lower is better.
    """

    def __init__(
        self, kernel: Kernel, points: np.ndarray, left: np.ndarray, trials: np.ndarray, values: np.ndarray
    ) -> None:
        self._kernel, self._points, self._left, self._trials, self._values = kernel, points, left, trials, values
        covariance = kernel.between(points, left, points, left) + kernel.trial * (trials[:, None] == trials[None])
        self._factor = cho_factor(covariance + kernel.noise * np.eye(len(points)), lower=True)
        self._weights = cho_solve(self._factor, values)

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Return what trials with these settings are expected to end at."""
        found: np.ndarray = self._across(points) @ self._weights
        return found

    def believing(self, points: np.ndarray) -> Model:
        """Return the model as it would be if what it expects at these points had been seen."""
        count = len(points)
        return Model(
            self._kernel,
            np.concatenate([self._points, points]),
            np.concatenate([self._left, np.zeros(count)]),
            np.concatenate([self._trials, -1 - np.arange(count)]),
            np.concatenate([self._values, self.mean(points)]),
        )

    def expected_improvement(self, points: np.ndarray, best: float) -> np.ndarray:
        """Return how far each point is expected to end below `best`."""
        across = self._across(points)
        reduced = solve_triangular(self._factor[0], across.T, lower=True)
        deviation = np.sqrt(np.maximum(self._kernel.end - (reduced**2).sum(0), 1e-9))
        fall = best - across @ self._weights
        share = fall / deviation
        improvement: np.ndarray = fall * ndtr(share) + deviation * np.exp(-0.5 * share**2) / math.sqrt(2 * math.pi)
        return improvement

    def _across(self, points: np.ndarray) -> np.ndarray:
        return self._kernel.between(points, np.zeros(len(points)), self._points, self._left)
