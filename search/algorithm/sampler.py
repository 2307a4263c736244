"""The sampler: a Gaussian process over all trials, whether finished, stopped or diverged, behind Optuna's interface.

It differs from a usual sampler in three ways. It learns across recipes: a learning rate is the same axis in all of
them. It learns from trials that were stopped early: the final score and the fall towards it are both modelled as
functions of the settings, and a stopped trial is an observation before the end. Its cost is bounded for any number of
trials.

It follows Snoek, Larochelle & Adams 2012 (arXiv:1206.2944: Matérn 5/2, expected improvement) and Swersky, Snoek & Adams
2014 (arXiv:1406.3896, "freeze-thaw": curves of unfinished trials). Scores are replaced by normal quantiles of their
ranks (Salinas, Shen & Perrone 2020, arXiv:1909.13595). Pending trials are assumed to reach their expected scores
(Ginsbourger, Le Riche & Carraro 2010, "kriging believer").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from gan.recipe.recipe import Recipe, active
from gan.settings import Choices, Parameter, Space, Value
from search.algorithm.axes import Axes, bounds
from search.algorithm.expectation import Expectation
from search.algorithm.futility import log_score
from search.algorithm.gaussian_process import Kernel, Model, normal_quantiles
from search.algorithm.prior import expected_quantiles
from search.algorithm.space import RECIPE, label

STARTUP = 12
"""Ended trials before the model is used; until then settings are random. Fewer are too few for so many axes."""
EXPLORATION = 0.1
"""Probability of a random proposal after that (Falkner, Klein & Hutter 2018, "BOHB", arXiv:1807.01774).

Small learning rates reach a mediocre score soonest. Most trials are stopped early, so a model of them alone settles
there and never observes settings that are better but slower.
"""
CANDIDATES = 600
"""Candidate points for each proposal, of which margin vary good trials; the largest expected improvement wins."""
PARENTS, STEP, INHERIT = 10, 0.1, 0.8
"""Good trials that are varied; standard deviation of a step, as a share of the range; probability that a parameter is
varied from the good trial's value instead of drawn anew."""
DENSE = 1000
"""Random settings of each recipe, of which a twentieth, expected to be the best by the prior, is varied."""
LEAST_TRUST = 0.5
"""Weight of a prior's means below which the model does without them."""
RESIDUAL = {"end": 0.5, "fall": 0.5}
"""Variances of the kernel around a prior's means."""
MAX_OBSERVATIONS = 400
"""Scores given to the model at most: margin of them the best, the rest random."""
MAX_PENDING = 150
"""Pending trials (the newest) that the model takes into account at most."""


class ModelSampler(optuna.samplers.BaseSampler):
    """Proposes a recipe and all of its parameters at once; Optuna then asks for them one by one.

    Args:
        recipes: name → recipe.
        seed: for all random draws.
        expectation: what a prior expects of the settings; None for no prior.

    Attributes:
        provenance: how the last proposal was made: at "random", by the "prior" alone, or by the "model".
        trust: weight of the prior's means at the last proposal; 0 if it was left aside.
    """

    def __init__(self, recipes: dict[str, Recipe], seed: int, expectation: Expectation | None = None) -> None:
        self._expectation = expectation
        self._dense: dict[str, list[dict[str, Value]]] = {}
        self._spaces = {name: (recipe.searchable(), recipe.settings) for name, recipe in recipes.items()}
        self._axes = Axes(recipes)
        self._random = np.random.default_rng(seed)
        self._plan: tuple[int, dict[str, Value]] = (-1, {})
        self._means: dict[tuple[int, float | None], float] = {}
        self._curves: dict[int, dict[int, float]] = {}
        self._places: dict[int, list[float]] = {}
        self.provenance = "random"
        self.trust = 0.0

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
            # An enqueued trial comes with its recipe: one that is owed trials.
            names = [trial.params[RECIPE]] if RECIPE in trial.params else list(self._spaces)
            name, params = self._propose(study, trial.number, names)
            self._plan = trial.number, {RECIPE: name, **{label(name, key): value for key, value in params.items()}}
        return self._plan[1][param_name]

    def _propose(self, study: optuna.Study, number: int, names: list[str]) -> tuple[str, dict[str, Value]]:
        """Return one of the recipes `names`, and parameters for it."""
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        pending = [trial for trial in running if trial.number != number and RECIPE in trial.params][-MAX_PENDING:]
        few = len(ended) < STARTUP if self._expectation is None else not ended
        if few or self._random.random() < EXPLORATION:
            name = names[self._random.integers(len(names))]
            if self._expectation is None or ended:
                self.provenance = "random"
                return name, draw_params(*self._spaces[name], self._random)
            self.provenance = "prior"
            return name, self._expected_good(name)
        self.provenance = "model"
        observed = self._subset(Observations.of([self._curve(trial) for trial in ended]))
        places = {index: self._place(ended[index]) for index in np.unique(observed.trials)}
        points = np.array([places[index] for index in observed.trials])
        model: Model | None = None
        self.trust = 0.0
        if self._expectation is not None:
            kernel = Kernel(self._axes.length_scales, **RESIDUAL)
            means = self._expected(
                [ended[index] for index in observed.trials], [step / 1000 for step in observed.steps]
            )
            values = expected_quantiles(observed.scores, means, self._expectation.deviation)
            model = Model(kernel, points, observed.remaining, observed.trials, values, means)
            self.trust = model.trust if model.trust >= LEAST_TRUST else 0.0
        if model is None or not self.trust:
            kernel, values = Kernel(self._axes.length_scales), normal_quantiles(observed.scores)
            model = Model(kernel, points, observed.remaining, observed.trials, values)
        if pending:
            model = model.fantasize(np.array([self._place(trial) for trial in pending]), self._expected(pending))
        known = [ended[index] for index in places]
        expected = model.mean(np.array(list(places.values())), self._expected(known))
        best = [known[index] for index in np.argsort(expected, kind="stable") if self._curve(known[index])]
        count = max(1, CANDIDATES // len(names))
        candidates = [(name, params) for name in names for params in self._candidates(name, count, best)]
        candidate_points = np.array([self._axes.place(name, params) for name, params in candidates])
        hopes: np.ndarray | float = 0.0
        if self._expectation is not None and self.trust:
            hopes = self._expectation.means(*zip(*candidates, strict=True))
        improvement = model.expected_improvement(candidate_points, float(expected.min()), hopes)
        return candidates[int(improvement.argmax())]

    def _expected(self, trials: Sequence[FrozenTrial], kimg: Sequence[float] | None = None) -> np.ndarray:
        """Return what the prior expects of trials after some kimg, or at their ends; 0 without a prior."""
        if self._expectation is None:
            return np.zeros(len(trials))
        keys = [(trial.number, None if kimg is None else kimg[index]) for index, trial in enumerate(trials)]
        # Asked for together: one by one they would take longer than all the rest.
        new = [index for index, key in enumerate(keys) if key not in self._means]
        names = [trials[index].params[RECIPE] for index in new]
        at = None if kimg is None else [kimg[index] for index in new]
        means = self._expectation.means(names, [sampled(trials[index]) for index in new], at)
        self._means.update(zip((keys[index] for index in new), means.tolist(), strict=True))
        return np.array([self._means[key] for key in keys])

    def _expected_good(self, name: str) -> dict[str, Value]:
        """Draw parameters of which the prior expects much: near one of the best of many random ones."""
        assert self._expectation is not None
        if name not in self._dense:
            drawn = [draw_params(*self._spaces[name], self._random) for _ in range(DENSE)]
            order = np.argsort(self._expectation.means([name] * DENSE, drawn), kind="stable")
            self._dense[name] = [drawn[index] for index in order[: DENSE // 20]]
        near = self._dense[name][self._random.integers(len(self._dense[name]))]
        return draw_params(*self._spaces[name], self._random, near)

    def _curve(self, trial: FrozenTrial) -> dict[int, float]:
        # Cached, as an ended trial no longer changes; neither do the settings of a running one (`_place`).
        if trial.number not in self._curves:
            self._curves[trial.number] = curve(trial)
        return self._curves[trial.number]

    def _subset(self, observed: Observations) -> Observations:
        if len(observed.scores) <= MAX_OBSERVATIONS:
            return observed
        order = np.argsort(observed.scores, kind="stable")
        best, rest = order[: MAX_OBSERVATIONS // 2], order[MAX_OBSERVATIONS // 2 :]
        others = self._random.permutation(rest)[: MAX_OBSERVATIONS - MAX_OBSERVATIONS // 2]
        chosen = np.sort(np.concatenate([best, others]))
        return Observations(*(values[chosen] for values in astuple(observed)))

    def _place(self, trial: FrozenTrial) -> list[float]:
        if trial.number not in self._places:
            self._places[trial.number] = self._axes.place(trial.params[RECIPE], sampled(trial))
        return self._places[trial.number]

    def _candidates(self, name: str, count: int, best: Sequence[FrozenTrial]) -> list[dict[str, Value]]:
        good = [sampled(trial) for trial in best if trial.params[RECIPE] == name][:PARENTS]
        candidates: list[dict[str, Value]] = []
        if good:
            parents = [good[self._random.integers(len(good))] for _ in range(count // 2)]
            candidates += [draw_params(*self._spaces[name], self._random, parent) for parent in parents]
        if self.trust:
            candidates += [self._expected_good(name) for _ in range(count - len(candidates) - count // 5)]
        rest = count - len(candidates)
        return candidates + [draw_params(*self._spaces[name], self._random) for _ in range(rest)]


def draw_params(
    searched: dict[str, tuple[Parameter, Space]],
    settings: dict[str, Value],
    random: np.random.Generator,
    near: dict[str, Value] | None = None,
) -> dict[str, Value]:
    """Draw a recipe's parameters: uniformly from its space, or most of them near those of another trial.

    Args:
        searched, settings: the recipe's searchable parameters and its settings.
        near: the other trial's parameters.
    """
    settings, drawn = dict(settings), {}
    for name, (known, space) in searched.items():
        if active(known, settings):
            centre = near.get(name) if near is not None and random.random() < INHERIT else None
            settings[name] = drawn[name] = _draw_one(space, random, centre)
    return drawn


def _draw_one(space: Space, random: np.random.Generator, near: Value | None) -> Value:
    if isinstance(space, Choices):
        return space.values[random.integers(len(space.values))] if near is None else near
    low, high = bounds(space, margin=0.5)
    value = low + (high - low) * random.random()
    if near is not None:
        centre = math.log(float(near)) if space.log else float(near)
        value = centre + STEP * (high - low) * random.standard_normal()
    value = math.exp(value) if space.log else value
    return min(max(round(value) if space.integer else value, space.low), space.high)


def sampled(trial: FrozenTrial) -> dict[str, Value]:
    """Return a trial's sampled parameters under their names in its recipe."""
    prefix = label(trial.params[RECIPE], "")
    return {key[len(prefix) :]: value for key, value in trial.params.items() if key.startswith(prefix)}


# ---- observations


@dataclass(frozen=True)
class Observations:
    """Scores of ended trials, several of each trial.

    Attributes:
        trials: index of the trial that each score belongs to, in the order given.
        steps: images shown at each score.
        remaining: training that remains until the end of the longest trial, on a logarithmic scale: 1 at the first
            report, 0 at that end.
        scores: log scores minus the average change of log scores up to that report; infinite for a lost trial.
    """

    trials: np.ndarray
    steps: np.ndarray
    remaining: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, curves: Sequence[dict[int, float]]) -> Observations:
        """Observe each trial at doubling steps and at its last report.

        The average change from each report to the next is over the trials that made both.

        Args:
            curves: the results of `curve`.
        """
        levels = _mean_levels(curves)
        first, full = min(levels, default=1), max(levels, default=1)
        length = math.log(full / first) or 1.0
        rows: list[tuple[int, int, float, float]] = []
        for index, scores_at in enumerate(curves):
            for step in _doubling_steps(scores_at):
                rows.append((index, step, math.log(full / step) / length, scores_at[step] - levels[step]))
            if not scores_at:
                rows.append((index, full, 0.0, math.inf))
        trials, steps, remaining, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(np.array(trials, int), np.array(steps, int), np.array(remaining, float), np.array(scores, float))


def _mean_levels(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    """Return step → average change of log scores from the first step to it."""
    steps = sorted({step for scores in curves for step in scores})
    previous = dict(zip(steps[1:], steps, strict=False))
    changes: dict[int, list[float]] = {step: [] for step in steps}
    for scores in curves:
        for step, score in scores.items():
            if previous.get(step) in scores:
                changes[step].append(score - scores[previous[step]])
    level, levels = 0.0, {}
    for step in steps:
        level += float(np.mean(changes[step])) if changes[step] else 0.0
        levels[step] = level
    return levels


def _doubling_steps(scores: dict[int, float]) -> list[int]:
    """Return a curve's first step, then each first step at twice the one before, and its last step."""
    chosen: list[int] = []
    for step in scores:
        if not chosen or step >= 2 * chosen[-1]:
            chosen.append(step)
    last = next(reversed(scores), None)
    return chosen if last is None or chosen[-1] == last else [*chosen, last]


def curve(trial: FrozenTrial) -> dict[int, float]:
    """Return images → log score; empty for a trial that is lost or has not reported."""
    if any(value > 0 for value in trial.constraints.values()):
        return {}
    return {step: log_score(score) for step, score in sorted(trial.intermediate_values.items())}
