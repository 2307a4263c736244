"""What to try next: a Gaussian process over all trials, finished, stopped or diverged, as a sampler for Optuna.

Three things set it apart from a sampler for single objectives. It learns across recipes: a learning rate is the same
axis in each. It learns from trials that were stopped early, whose scores it first makes comparable with those of
trials that trained longer. And the model that it fits is bounded, however many trials there were.

After Snoek, Larochelle & Adams 2012 (arXiv:1206.2944: Matérn 5/2, expected improvement), with scores replaced by
normal quantiles of their ranks (Salinas, Shen & Perrone 2020, arXiv:1909.13595) and trials that run taken to reach what
is expected of them (Ginsbourger, Le Riche & Carraro 2010, "kriging believer").
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
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from gan.recipe import Recipe, active
from gan.settings import Choices, Parameter, Range, Space, Value
from search.futility import log_score
from search.space import RECIPE, label

FEWEST, ENOUGH = 9, 20
"""Ended trials before which settings are drawn at random, in short searches and in long ones."""
EXPLORING = 0.2
"""Chance of a proposal to be drawn at random all the same (Falkner, Klein & Hutter 2018, "BOHB", arXiv:1807.01774).

Small rates reach a mediocre distance soonest. A model of trials that are mostly stopped early settles there, and what
lies elsewhere, and comes late, is never seen.
"""
CANDIDATES = 600
"""Drawn for each proposal; the one of the largest expected improvement is taken. Half of them vary good trials."""
NEIGHBOURS, STEP, KEPT = 10, 0.1, 0.8
"""Good trials that are varied; how far, as a share of a range; and the chance of each parameter to stay near them."""
OBSERVED = 300
"""Trials that the model is fitted to at most: the better half of these, and others at random."""
BELIEVED = 150
"""Trials that run, the newest of them, that the model takes into account at most."""
REFITTED = 1.15
"""Growth in trials after which the kernel is fitted again."""


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
        self._kernel: Kernel | None = None
        self._fitted = 0
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
        seen = len(ended)
        ended, scores = self._thinned(ended, comparable([self._curve(trial) for trial in ended]))
        points = np.array([self._place(trial) for trial in ended])
        values = normal_quantiles(scores)
        if self._kernel is None or seen >= REFITTED * self._fitted:
            self._kernel, self._fitted = Kernel.fitted(points, values, self._kernel), seen
        model = Model(self._kernel, points, values)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        placed = [self._place(trial) for trial in running if trial.number != number and RECIPE in trial.params]
        placed = placed[-BELIEVED:]
        if placed:
            model = model.believing(np.array(placed))
        best = [ended[index] for index in np.argsort(scores, kind="stable") if np.isfinite(scores[index])]
        count = max(1, CANDIDATES // len(names))
        drawn = [(name, params) for name in names for params in self._candidates(name, count, best)]
        places = np.array([self._axes.place(name, params) for name, params in drawn])
        return drawn[int(model.expected_improvement(places).argmax())]

    def _curve(self, trial: FrozenTrial) -> dict[int, float]:
        # An ended trial changes no more.
        if trial.number not in self._curves:
            self._curves[trial.number] = curve(trial)
        return self._curves[trial.number]

    def _thinned(self, trials: list[FrozenTrial], scores: np.ndarray) -> tuple[list[FrozenTrial], np.ndarray]:
        if len(trials) <= OBSERVED:
            return trials, scores
        order = np.argsort(scores, kind="stable")
        rest = self._random.permutation(order[OBSERVED // 2 :])[: OBSERVED - OBSERVED // 2]
        kept = np.sort(np.concatenate([order[: OBSERVED // 2], rest]))
        return [trials[index] for index in kept], scores[kept]

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
    """

    def __init__(self, recipes: dict[str, Recipe]) -> None:
        self._recipes = list(recipes)
        spaces: dict[str, list[Space]] = {}
        for recipe in recipes.values():
            for name, (_, space) in recipe.searchable().items():
                spaces.setdefault(name, []).append(space)
        self._axes = {name: _joined(found) for name, found in spaces.items()}

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


def _numeric(values: Sequence[Value]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


# ---- what trials say


def comparable(curves: Sequence[dict[int, float]]) -> np.ndarray:
    """Return the logarithm of each trial's last score, as if all had trained equally long; infinite where it is lost.

    From each report to the next, scores fall by what they fell on average over the trials that made both.

    Args:
        curves: as `curve` returns them.
    """
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
    ends = [next(reversed(known.items())) if known else None for known in curves]
    return np.array([math.inf if end is None else end[1] - levels[end[0]] for end in ends])


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
    """Matérn 5/2, with a length for each axis.

    Attributes:
        lengths: in the units of the axes.
        scale, noise: variances, of what settings explain and of what they do not.
    """

    lengths: np.ndarray
    scale: float
    noise: float

    # Means and standard deviations of the logarithms, before anything is seen: most axes matter little.
    LENGTH, SCALE, NOISE = (math.log(1.5), 1.0), (0.0, 0.7), (math.log(0.3), 0.7)

    def between(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the covariances [N, M] of points [N, axes] and [M, axes]."""
        scaled, others = one / self.lengths, other / self.lengths
        squares = (scaled**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * scaled @ others.T
        distance = np.sqrt(5 * np.maximum(squares, 0.0))
        covariance: np.ndarray = self.scale * (1 + distance + distance**2 / 3) * np.exp(-distance)
        return covariance

    @classmethod
    def fitted(cls, points: np.ndarray, values: np.ndarray, start: Kernel | None) -> Kernel:
        """Return the kernel of the highest posterior density, starting from another."""
        axes = points.shape[1]
        mean = np.array([cls.LENGTH[0]] * axes + [cls.SCALE[0], cls.NOISE[0]])
        spread = np.array([cls.LENGTH[1]] * axes + [cls.SCALE[1], cls.NOISE[1]])
        squares = (points[:, None] - points[None]) ** 2
        first = mean if start is None else np.log([*start.lengths, start.scale, start.noise])

        def cost(logs: np.ndarray) -> tuple[float, np.ndarray]:
            found, slope = _negative_log_likelihood(squares, values, np.exp(logs))
            apart = (logs - mean) / spread
            return found + 0.5 * float((apart**2).sum()), slope + apart / spread

        best = minimize(
            cost, first, jac=True, method="L-BFGS-B", bounds=[(-5.0, 4.0)] * (axes + 2), options={"maxiter": 30}
        )
        *lengths, scale, noise = np.exp(best.x)
        return cls(np.array(lengths), float(scale), float(noise))


def _negative_log_likelihood(
    squares: np.ndarray, values: np.ndarray, parameters: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the negative log likelihood, and its slope in the logarithms of lengths, scale and noise.

    Rasmussen & Williams 2006, equations 2.30 and 5.9.

    Args:
        squares: squared differences [N, N, axes].
        values: [N].
        parameters: lengths [axes], scale, noise.
    """
    lengths, scale, noise = parameters[:-2], parameters[-2], parameters[-1]
    distance = np.sqrt(5 * np.maximum(squares @ lengths**-2, 1e-12))
    decay = np.exp(-distance)
    covariance = scale * (1 + distance + distance**2 / 3) * decay
    factor = cho_factor(covariance + (noise + 1e-6) * np.eye(len(values)), lower=True)
    weights = cho_solve(factor, values)
    pull = 0.5 * (cho_solve(factor, np.eye(len(values))) - np.outer(weights, weights))
    by_square = pull * (scale * 5 / 3 * (1 + distance) * decay)
    slope = np.tensordot(by_square, squares, axes=2) * lengths**-2
    cost = 0.5 * float(values @ weights) + float(np.log(np.diag(factor[0])).sum())
    return cost, np.array([*slope, (pull * covariance).sum(), noise * np.trace(pull)])


class Model:
    """The Gaussian process, given what was seen.

    Args:
        points: [N, axes].
        values: [N]; lower is better.
    """

    def __init__(self, kernel: Kernel, points: np.ndarray, values: np.ndarray) -> None:
        self._kernel, self._points, self._values = kernel, points, values
        covariance = kernel.between(points, points) + (kernel.noise + 1e-6) * np.eye(len(points))
        self._factor = cho_factor(covariance, lower=True)
        self._weights = cho_solve(self._factor, values)

    def mean(self, points: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._kernel.between(points, self._points) @ self._weights
        return found

    def believing(self, points: np.ndarray) -> Model:
        """Return the model as it would be if what it expects at these points had been seen."""
        values = np.concatenate([self._values, self.mean(points)])
        return Model(self._kernel, np.concatenate([self._points, points]), values)

    def expected_improvement(self, points: np.ndarray) -> np.ndarray:
        """Return how far each point is expected to fall below the best that the model makes of what was seen."""
        across = self._kernel.between(points, self._points)
        reduced = solve_triangular(self._factor[0], across.T, lower=True)
        deviation = np.sqrt(np.maximum(self._kernel.scale - (reduced**2).sum(0), 1e-9))
        fall = self.mean(self._points).min() - across @ self._weights
        share = fall / deviation
        improvement: np.ndarray = fall * ndtr(share) + deviation * np.exp(-0.5 * share**2) / math.sqrt(2 * math.pi)
        return improvement
