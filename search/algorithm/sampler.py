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

from gan.recipe.recipe import Recipe, active
from gan.settings import Choices, Parameter, Space, Value
from search.algorithm.axes import Axes, ends
from search.algorithm.futility import log_score
from search.algorithm.gaussian_process import Kernel, Model, normal_quantiles
from search.algorithm.space import RECIPE, label

STARTUP = 12
"""Ended trials before which settings are drawn at random: fewer say nothing of so many axes."""
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


class ModelSampler(optuna.samplers.BaseSampler):
    """Proposes a recipe and all of its parameters at once; Optuna then asks for one after the other.

    Args:
        recipes: by name.
        seed: of whatever is drawn.
    """

    def __init__(self, recipes: dict[str, Recipe], seed: int) -> None:
        self._spaces = {name: (recipe.searchable(), recipe.settings) for name, recipe in recipes.items()}
        self._axes = Axes(recipes)
        self._random = np.random.default_rng(seed)
        self._plan: tuple[int, dict[str, Value]] = (-1, {})
        self._curves: dict[int, dict[int, float]] = {}
        self._places: dict[int, list[float]] = {}

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
        if len(ended) < STARTUP or self._random.random() < EXPLORING:
            name = names[self._random.integers(len(names))]
            return name, draw_params(*self._spaces[name], self._random)
        seen = self._thinned(Observations.of([self._curve(trial) for trial in ended]))
        places = {index: self._place(ended[index]) for index in np.unique(seen.trials)}
        points = np.array([places[index] for index in seen.trials])
        model = Model(Kernel(self._axes.lengths), points, seen.left, seen.trials, normal_quantiles(seen.scores))
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        placed = [self._place(trial) for trial in running if trial.number != number and RECIPE in trial.params]
        placed = placed[-BELIEVED:]
        if placed:
            model = model.fantasize(np.array(placed))
        expected = model.mean(np.array(list(places.values())))
        order = [list(places)[index] for index in np.argsort(expected, kind="stable")]
        best = [ended[index] for index in order if self._curve(ended[index])]
        count = max(1, CANDIDATES // len(names))
        drawn = [(name, params) for name in names for params in self._candidates(name, count, best)]
        candidates = np.array([self._axes.place(name, params) for name, params in drawn])
        return drawn[int(model.expected_improvement(candidates, float(expected.min())).argmax())]

    def _curve(self, trial: FrozenTrial) -> dict[int, float]:
        # An ended trial changes no more, nor do the settings of one that runs.
        if trial.number not in self._curves:
            self._curves[trial.number] = curve(trial)
        return self._curves[trial.number]

    def _thinned(self, seen: Observations) -> Observations:
        if len(seen.scores) <= OBSERVED:
            return seen
        order = np.argsort(seen.scores, kind="stable")
        rest = self._random.permutation(order[OBSERVED // 2 :])[: OBSERVED - OBSERVED // 2]
        kept = np.sort(np.concatenate([order[: OBSERVED // 2], rest]))
        return Observations(seen.trials[kept], seen.left[kept], seen.scores[kept])

    def _place(self, trial: FrozenTrial) -> list[float]:
        if trial.number not in self._places:
            self._places[trial.number] = self._axes.place(trial.params[RECIPE], sampled(trial))
        return self._places[trial.number]

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


# ---- what trials say


@dataclass(frozen=True)
class Observations:
    """Scores of ended trials, several of each.

    Attributes:
        trials: whose they are, by number in the order given.
        left: how much is still to come until where the longest of them ended, on a logarithmic scale: 1 at the first
            report, 0 there.
        scores: their logarithms, less what scores fall on average until then; infinite for a trial that is lost.
    """

    trials: np.ndarray
    left: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, curves: Sequence[dict[int, float]]) -> Observations:
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
