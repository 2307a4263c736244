"""Optuna under Tune: one study over all recipes, asked and told by our own trial ids.

It hands out, in order: trials that an earlier launch left unfinished, the published settings, then
what Optuna samples. The study lives in memory and is rebuilt from the journal on resume, so it can
never disagree with it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from gan.recipe.recipe import Recipe
from gan.training.report import DIVERGED_SCORE
from search.algorithm.sampler import ModelSampler
from search.algorithm.space import RECIPE, as_study_parameters, suggest
from search.plan.spec import SweepSpec
from search.run.journal import Journal
from search.run.record import SweepRecord, TrialRecord
from search.trials.planner import Planner

SEEDS_APART = 100_003
"""Between the training seeds of sweeps whose own seeds follow each other."""

_LOST = "lost"


class StudySearcher(Planner):
    """Samples trials, and learns from how they end.

    Args:
        spec: the sweep's settings.
        recipes: by name.
        record, journal: as `Planner` takes them.
    """

    def __init__(self, spec: SweepSpec, recipes: dict[str, Recipe], record: SweepRecord, journal: Journal) -> None:
        super().__init__(record, journal)
        self._spec = spec
        self._recipes = recipes
        self._asked: dict[str, optuna.Trial] = {}
        self.study = make_study(recipes, spec.seed + len(record.trials))
        for trial in record.trials.values():
            if trial.final:
                self._learn(trial)
            else:
                self._announce(trial)

    def conclude(self, trial: TrialRecord) -> None:
        self._learn(trial)

    def new_trial(self) -> TrialRecord | None:
        if len(self.trials) >= self._spec.trials:
            return None
        name, seed = self.next_id, self._spec.seed * SEEDS_APART + len(self.trials)
        published = self._next_published()
        if published is not None:
            recipe = self._recipes[published]
            trial = TrialRecord(name, recipe.name, recipe.objective_name, "published", {}, dict(recipe.settings), seed)
            self._announce(trial)
            return trial
        forced = self._owed_recipe()
        if forced is not None:
            self.study.enqueue_trial({RECIPE: forced})
        asked = self.study.ask()
        chosen, params = suggest(asked, self._recipes)
        self._asked[name] = asked
        recipe = self._recipes[chosen].with_settings(params)
        return TrialRecord(name, chosen, recipe.objective_name, "sampled", params, dict(recipe.settings), seed)

    def _next_published(self) -> str | None:
        if not self._spec.published:
            return None
        done = {trial.recipe for trial in self.trials.values() if trial.source == "published"}
        return next((name for name in self._recipes if name not in done), None)

    def _owed_recipe(self) -> str | None:
        """Return a recipe that has had fewer sampled trials than its minimum share, or None.

        A share of the trials so far is owed to all recipes alike, and one to each at least, so that no kind is given up
        on for what a few trials of it came to; the rest go where the study sees promise.
        """
        if not self._spec.minimum_share:
            return None
        counts = Counter(trial.recipe for trial in self.trials.values() if trial.source == "sampled")
        share = max(1.0, self._spec.minimum_share * (counts.total() + 1) / len(self._recipes))
        poorest = min(self._recipes, key=lambda name: counts[name])
        return poorest if counts[poorest] + 1 <= share else None

    def _announce(self, trial: TrialRecord) -> None:
        """Tell the study of a trial that is to run, and that it was not asked for."""
        described = as_study_parameters(self._recipes[trial.recipe], self._recipes, trial.params)
        if described is not None:
            self.study.enqueue_trial(described[0])
            self._asked[trial.id] = self.study.ask()
            suggest(self._asked[trial.id], self._recipes)

    def _learn(self, trial: TrialRecord) -> None:
        """Tell the study of an ended trial.

        Stopped ones are told as pruned, with what they had reached, so that a score after few kimg
        is not held against one after many. Lost ones break a constraint: worse than anything.
        """
        lost = trial.state == "diverged" or is_infeasible(trial)
        described = as_study_parameters(self._recipes[trial.recipe], self._recipes, trial.params)
        asked = self._asked.pop(trial.id, None)
        if described is None or (trial.best_fid is None and not lost):
            # It says nothing of the settings: a lost node, a full disk; or values outside the space.
            if asked is not None:
                self.study.tell(asked, state=TrialState.FAIL)
            return
        score = DIVERGED_SCORE if lost or trial.best_fid is None else float(trial.best_fid)
        state = TrialState.PRUNED if trial.state in ("stopped", "failed") and not lost else TrialState.COMPLETE
        scores = {round(report["kimg"] * 1000): report["score"] for report in trial.reports}
        if asked is not None:
            _tell(self.study, asked, trial, state, score, scores, lost)
        else:
            _add(self.study, trial, state, score, scores, lost, *described)


def _tell(
    study: Study,
    asked: optuna.Trial,
    trial: TrialRecord,
    state: TrialState,
    score: float,
    scores: dict[int, float],
    lost: bool,
) -> None:
    """Tell the study of a trial that it was asked for."""
    for images, reached in scores.items():
        asked.report(reached, images)
    for key, value in _attributes(trial).items():
        asked.set_user_attr(key, value)
    asked.set_constraint(_LOST, float(lost))
    study.tell(asked, None if state == TrialState.PRUNED else score, state)


def _add(
    study: Study,
    trial: TrialRecord,
    state: TrialState,
    score: float,
    scores: dict[int, float],
    lost: bool,
    values: dict[str, Any],
    spaces: dict[str, BaseDistribution],
) -> None:
    """Tell the study of a trial that it was not asked for: published, or of an earlier launch."""
    study.add_trial(
        create_trial(
            state=state,
            value=score,
            params=values,
            distributions=spaces,
            intermediate_values=scores,
            user_attrs=_attributes(trial),
            constraints={_LOST: float(lost)},
        )
    )


def _attributes(trial: TrialRecord) -> dict[str, str]:
    return {"trial": trial.id, "verdict": trial.state, "source": trial.source}


def is_infeasible(trial: TrialRecord) -> bool:
    """Tell whether a trial's settings do not fit the hardware at all."""
    return trial.state == "failed" and str(trial.reason).startswith("out of memory")


def make_study(recipes: dict[str, Recipe], seed: int) -> Study:
    """Return an empty study, minimising."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="minimize", sampler=ModelSampler(recipes, seed))
