"""Optuna under Tune: one study over all recipes, with trial ids of our own.

It hands out, in this order: trials that an earlier launch left unfinished, the published settings, a queue of other
settings that are known beforehand, samples. The study lives in memory and is rebuilt from the journal on resume, so
that the two never disagree.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import optuna
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from gan.recipe.recipe import Recipe
from gan.settings import Value
from gan.training.report import DIVERGED_SCORE
from search.algorithm.expectation import Expectation
from search.algorithm.sampler import ModelSampler
from search.algorithm.space import RECIPE, as_study_parameters, suggest
from search.plan.spec import SweepSpec
from search.run.journal import Journal
from search.run.record import SweepRecord, TrialRecord
from search.trials.planner import Planner

SEEDS_APART = 100_003
"""Distance between the training seeds of sweeps with consecutive seeds of their own."""

_WORST = "worst"


class Queued(NamedTuple):
    """Settings that are tried before any are sampled.

    Attributes:
        recipe: its name.
        params: values of all its searched parameters that have an effect, within the search space.
        provenance: of the trial, such as "points".
    """

    recipe: str
    params: dict[str, Value]
    provenance: str


class StudySearcher(Planner):
    """Samples trials, and learns from how they end.

    Args:
        spec: the sweep's settings.
        recipes: by name.
        record, journal: as `Planner` takes them.
        expectation: what a prior expects of settings, and its portfolio; None: nothing is known beforehand.

    Attributes:
        queue: tried in this order, each once over all launches. It must be the same at every launch.
    """

    def __init__(
        self,
        spec: SweepSpec,
        recipes: dict[str, Recipe],
        record: SweepRecord,
        journal: Journal,
        expectation: Expectation | None = None,
    ) -> None:
        super().__init__(record, journal)
        self._spec = spec
        self._recipes = recipes
        self.queue = [Queued(name, params, "points") for name, params in spec.resolve_points(recipes)]
        if expectation is not None:
            portfolio, _ = expectation.portfolio()
            self.queue += [Queued(name, params, "portfolio") for name, params in portfolio[: spec.portfolio_trials]]
        self._asked: dict[str, optuna.Trial] = {}
        self.study = make_study(recipes, spec.seed + len(record.trials), expectation)
        for trial in record.trials.values():
            if trial.final:
                self.conclude(trial)
            else:
                self._announce(trial)

    def new_trial(self) -> TrialRecord | None:
        if len(self.trials) >= self._spec.trials:
            return None
        queued, published = self._next_queued(), self._next_published()
        if queued is not None:
            trial = self._trial(queued.recipe, "sampled", queued.params, queued.provenance)
            self._announce(trial)
            return trial
        if published is not None:
            trial = self._trial(published, "published", {}, "published")
            self._announce(trial)
            return trial
        neglected = self._neglected_recipe()
        if neglected is not None:
            self.study.enqueue_trial({RECIPE: neglected})
        asked = self.study.ask()
        chosen, params = suggest(asked, self._recipes)
        self._asked[self.next_id] = asked
        sampler = self.study.sampler
        provenance = sampler.provenance if isinstance(sampler, ModelSampler) else None
        return self._trial(chosen, "sampled", params, provenance)

    def _trial(self, name: str, source: str, params: dict[str, Value], provenance: str | None) -> TrialRecord:
        """Return the next trial, of the recipe `name`."""
        recipe = self._recipes[name].with_settings(params)
        seed = self._spec.seed * SEEDS_APART + len(self.trials)
        settings, objective = dict(recipe.settings), recipe.part_names["objective"]
        return TrialRecord(self.next_id, name, objective, source, params, settings, seed, provenance)

    def _next_published(self) -> str | None:
        if not self._spec.published:
            return None
        done = {trial.recipe for trial in self.trials.values() if trial.source == "published"}
        return next((name for name in self._recipes if name not in done), None)

    def _next_queued(self) -> Queued | None:
        """Return the first of the queue that is still to be tried: trials of each provenance were made in its order."""
        tried = Counter(trial.provenance for trial in self.trials.values())
        for queued in self.queue:
            if not tried[queued.provenance]:
                return queued
            tried[queued.provenance] -= 1
        return None

    def _neglected_recipe(self) -> str | None:
        """Return a recipe that has had fewer sampled trials than its minimum share, or None.

        A share of the trials is dealt evenly to the recipes, at least one to each, so that no recipe is given up after
        a few bad trials. The sampler chooses the recipe of the others.
        """
        if not self._spec.minimum_share:
            return None
        counts = Counter(trial.recipe for trial in self.trials.values() if trial.source == "sampled")
        share = max(1.0, self._spec.minimum_share * (counts.total() + 1) / len(self._recipes))
        fewest = min(self._recipes, key=lambda name: counts[name])
        return fewest if counts[fewest] + 1 <= share else None

    def _announce(self, trial: TrialRecord) -> None:
        """Add a running trial to the study that the study did not propose."""
        described = as_study_parameters(self._recipes[trial.recipe], self._recipes, trial.params)
        if described is not None:
            self.study.enqueue_trial(described[0])
            self._asked[trial.id] = self.study.ask()
            suggest(self._asked[trial.id], self._recipes)

    def conclude(self, trial: TrialRecord) -> None:
        """Tell the study about an ended trial.

        A stopped trial counts as pruned, with the scores that it had reached: a score after few kimg is not compared
        with one after many. Settings that diverge or do not fit break a constraint, which is worse than any score.
        """
        worst = trial.outcome is not None and trial.outcome.is_fault_of_settings
        described = as_study_parameters(self._recipes[trial.recipe], self._recipes, trial.params)
        asked = self._asked.pop(trial.id, None)
        if described is None or (trial.best_fid is None and not worst):
            # The settings lie outside the space, or the trial says nothing about them (a lost node, a full disk).
            if asked is not None:
                self.study.tell(asked, state=TrialState.FAIL)
            return
        score = DIVERGED_SCORE if worst or trial.best_fid is None else float(trial.best_fid)
        state = TrialState.PRUNED if trial.state in ("stopped", "failed") and not worst else TrialState.COMPLETE
        scores = {round(report["kimg"] * 1000): report["score"] for report in trial.reports}
        attributes = {"trial": trial.id, "verdict": trial.state, "source": trial.source}
        if asked is not None:
            for images, reached in scores.items():
                asked.report(reached, images)
            for key, value in attributes.items():
                asked.set_user_attr(key, value)
            asked.set_constraint(_WORST, float(worst))
            self.study.tell(asked, None if state == TrialState.PRUNED else score, state)
            return
        # The study has not been asked for it: published settings, or a trial of an earlier launch.
        values, spaces = described
        self.study.add_trial(
            create_trial(
                state=state,
                value=score,
                params=values,
                distributions=spaces,
                intermediate_values=scores,
                user_attrs=attributes,
                constraints={_WORST: float(worst)},
            )
        )


def make_study(recipes: dict[str, Recipe], seed: int, expectation: Expectation | None = None) -> Study:
    """Return an empty study, minimising."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="minimize", sampler=ModelSampler(recipes, seed, expectation))
