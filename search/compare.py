"""A comparison: recipes at equal budget, each trained on several seeds; launched by `search.trials.launch`.

The list of trials is fixed, and no trial is stopped at a rung. At the end, every generator is judged again on fresh
latents. So neither a lucky seed nor a lucky draw decides.
"""

from __future__ import annotations

import math
from typing import Any

from gan.recipe.recipe import Recipe
from gan.storage.storage import Storage
from search.algorithm.asha import Asha
from search.plan.contestants import resolve
from search.plan.spec import CompareSpec
from search.run.journal import Journal
from search.run.record import SweepRecord, TrialRecord
from search.trials.context import RunContext
from search.trials.launch import Launch
from search.trials.planner import Planner
from search.trials.rejudge import bundles_to_rejudge, rejudge


class Compare(Launch):
    """Recipes compared at equal budget; see `Launch`.

    Launched again with more recipes or seeds, it trains the new ones only.
    """

    spec_type = CompareSpec
    spec: CompareSpec

    def __init__(self, spec: CompareSpec, **options: Any) -> None:
        super().__init__(resolve(spec), **options)

    @classmethod
    def resume(cls, run: Storage, *, more_seeds: int = 0, **options: Any) -> Compare:
        """Return the comparison in a run's folder, ready to go on, with `more_seeds` added to it."""
        return cls.reopen(run, lambda settings: {"seeds": settings["seeds"] + more_seeds}, **options)

    def trials_left(self, record: SweepRecord) -> int:
        new = len(missing(self.plan.recipes, self.spec.training_seeds(), record.trials))
        return new + sum(not trial.final for trial in record.trials.values())

    def planner(self, record: SweepRecord, journal: Journal) -> FixedPlanner:
        return FixedPlanner(self.spec, self.plan.recipes, record, journal)

    def asha(self) -> Asha:
        return Asha([], math.inf)

    def concluded(self, record: SweepRecord) -> bool:
        return not bundles_to_rejudge(self.run_storage, record, self.spec.draws)

    def conclude(self, context: RunContext) -> None:
        rejudge(context, self.spec.draws, quiet=self.quiet)


class FixedPlanner(Planner):
    """Hands out a fixed list of trials: every recipe with every seed.

    Args:
        spec: the comparison's settings.
        recipes: by name.
        record, journal: as `Planner` takes them.
    """

    def __init__(self, spec: CompareSpec, recipes: dict[str, Recipe], record: SweepRecord, journal: Journal) -> None:
        super().__init__(record, journal)
        self._recipes = recipes
        self._origins = spec.origins()
        self._missing = missing(recipes, spec.training_seeds(), self.trials)

    def new_trial(self) -> TrialRecord | None:
        if not self._missing:
            return None
        name, seed = self._missing.pop(0)
        recipe, origin = self._recipes[name], self._origins[name]
        source, params = ("published", {}) if origin is None else (origin.source, origin.params)
        settings = dict(recipe.settings)
        params = {key: settings[key] for key in params if key in settings}
        return TrialRecord(self.next_id, name, recipe.part_names["objective"], source, params, settings, seed)


def missing(
    recipes: dict[str, Recipe] | list[str], seeds: list[int], trials: dict[str, TrialRecord]
) -> list[tuple[str, int]]:
    """Return the pairs of recipe and seed that have no trial yet.

    They go seed by seed: a comparison that is cut short has tried every recipe about as often.
    """
    existing = {(trial.recipe, trial.seed) for trial in trials.values()}
    return [(name, seed) for seed in seeds for name in recipes if (name, seed) not in existing]
