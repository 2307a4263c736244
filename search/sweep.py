"""A sweep: `Sweep(spec).run()`. How any run is launched is in `search.trials.launch`."""

from __future__ import annotations

from typing import Any

from gan.errors import InputError
from gan.recipe.recipe import Recipe
from gan.settings import Value
from gan.storage.storage import Storage
from gan.terminal import working
from search.algorithm.asha import Asha
from search.algorithm.expectation import Expectation
from search.algorithm.forecast import Forecast
from search.algorithm.futility import Futility
from search.algorithm.prior import LONGER
from search.cluster.machine import machine
from search.compare import Compare
from search.extension import Extension, finish, is_due, is_finished
from search.finalists import finalists_done, run_finalists
from search.plan.budget import FINISH_SHARE, WIDTH_SETTINGS, Choice, is_open, with_choice
from search.plan.spec import REST, TRAINED_SHARE, RunSpec, SweepSpec
from search.run.journal import Journal
from search.run.record import SweepRecord
from search.run.run_folder import SETTINGS, kind_of
from search.trackers.remaining_time import Later
from search.trials.context import RunContext
from search.trials.launch import Launch
from search.trials.searcher import StudySearcher


class Sweep(Launch):
    """A hyperparameter search over recipes, and its finalists on fresh seeds; see `Launch`."""

    spec_type = SweepSpec
    spec: SweepSpec

    @classmethod
    def resume(
        cls,
        run: Storage,
        *,
        more_trials: int = 0,
        finalists: int | None = None,
        finish: float | str | None = None,
        **options: Any,
    ) -> Sweep:
        """Return the sweep in a run's folder, ready to go on.

        Args:
            more_trials: how many it gains.
            finalists: how many of its best settings are trained again, if that is to change.
            finish: to how many times its length the winner is trained on, if that is to change.
        """

        if finish == REST:
            raise InputError(f"--finish {REST}: a resumed sweep has no time budget; give a number such as 4")

        def change(settings: dict[str, Any]) -> dict[str, Any]:
            new = {"finalists": finalists, "finish": finish}
            changed = {name: value for name, value in new.items() if value is not None}
            return {"trials": settings["trials"] + more_trials, **changed}

        return cls.reopen(run, change, **options)

    def settled(self, spec: RunSpec, run: Storage | None) -> RunSpec:
        """Decide what the time budget is to decide; see `search.plan.budget`."""
        self.choice: Choice | None = None
        assert isinstance(spec, SweepSpec)
        run = run or Storage(spec.storage).child(spec.name)
        if spec.finish == REST and spec.time_budget is None and not run.exists(SETTINGS):
            raise InputError(f"--finish {REST}: the rest of what? give --time-budget too, or a number such as 4")
        if is_open(spec):
            with working("measuring how fast this machine trains", self.quiet):
                spec, self.choice = with_choice(spec, run, machine)
        return spec

    def trials_left(self, record: SweepRecord) -> int:
        return max(self.spec.trials, len(record.trials)) - sum(trial.final for trial in record.trials.values())

    def planner(self, record: SweepRecord, journal: Journal) -> StudySearcher:
        return StudySearcher(self.spec, self.plan.recipes, record, journal, self.expectation())

    def expectation(self) -> Expectation | None:
        """Return what the prior expects of this sweep's settings; None if it knows none of the recipes."""
        return self._expectation(self.plan.recipes, self.plan.data.shape, self.spec.kimg)

    def _expectation(self, recipes: dict[str, Recipe], shape: tuple[int, ...], kimg: float) -> Expectation | None:
        prior = self.plan.prior
        if prior is None or not any(map(prior.recipe_like, recipes.values())):
            return None
        return Expectation(prior, recipes, shape, kimg, len(self.plan.data.train))

    def asha(self) -> Asha:
        return Asha(self.spec.rungs(), self.spec.reduction_factor)

    def futility(self) -> Futility | None:
        return futility_rule(self.spec)

    def portfolio(self) -> tuple[list[tuple[str, dict[str, Value]]], int]:
        """Return the portfolio's settings that this sweep begins with, and how many lie outside its search space."""
        expectation = self.expectation()
        if expectation is None:
            return [], 0
        inside, left_out = expectation.portfolio()
        return inside[: self.spec.portfolio_trials], left_out

    def expected_best(self) -> Forecast | None:
        """Return what the best trial is expected to come to, over the best published settings; None if not known."""
        expectation = self.expectation()
        return None if expectation is None else expectation.best(TRAINED_SHARE * self.spec.trials)

    def expected_of(self, choice: Choice) -> Forecast | None:
        """Return the same as `expected_best` for another length, size, width and number of trials."""
        size, width = choice.rung
        recipes = {
            name: recipe.with_settings({key: width for key in WIDTH_SETTINGS if key in recipe.settings})
            for name, recipe in self.plan.recipes.items()
        }
        expectation = self._expectation(recipes, (size, size, self.plan.data.shape[-1]), choice.kimg)
        return None if expectation is None else expectation.best(TRAINED_SHARE * choice.trials)

    def promise(self, record: SweepRecord) -> dict[str, Any] | None:
        expectation, winner = self.expectation(), next(iter(record.by_evidence()), None)
        foreseen = None
        if expectation is not None and winner is not None and winner.state == "finished":
            foreseen = expectation.promise(winner.recipe, winner.params)
        if winner is None or foreseen is None:
            return None
        values = {name: round(getattr(foreseen, name), 3) for name in ("ratio", "low", "high", "level")}
        return {"trial": winner.id, "kimg": self.spec.kimg * LONGER, **values}

    def published_in_full(self) -> bool:
        return self.spec.published_in_full(len(self.plan.recipes))

    def concluded(self, record: SweepRecord) -> bool:
        done = finalists_done(self.spec, self.plan.recipes, record, self.run_storage)
        return done and is_finished(self.spec, record, self.run_storage)

    def search_left(self, record: SweepRecord) -> float | None:
        left, budget = self.time_left(), self.spec.time_budget
        if left is None or budget is None or not is_due(self.spec, record, self.plan.run):
            return left
        return left - FINISH_SHARE * budget

    def concludes(self, record: SweepRecord) -> bool:
        left = self.search_left(record)
        # The winner is trained on even if the search has not come to its end: that is what the time is kept for.
        return super().concludes(record) or (self.spec.finish == REST and left is not None and left <= 0)

    def later(self) -> Later:
        spec, alone = self.spec, 0.0
        finalists = (spec.finalists + len(self.plan.recipes)) * spec.finalist_seeds if spec.finalists else 0
        if isinstance(spec.finish, float):
            alone = (spec.finish - 1) * spec.kimg
        return Later(kimg=finalists * spec.kimg, alone=alone, fills_budget=spec.finish == REST)

    def conclude(self, context: RunContext) -> None:
        if not self.trials_left(context.record):
            run_finalists(self, context)
        finish(self, context)


def futility_rule(spec: SweepSpec) -> Futility | None:
    """Return the rule that stops trials which can hardly win the sweep, or become finalists; None if it has none."""
    if spec.futility is None:
        return None
    return Futility(spec.kimg, spec.futility, max(1, spec.finalists), next(iter(spec.rungs()), 0.0))


def resume(
    run: Storage,
    *,
    more_trials: int = 0,
    more_seeds: int = 0,
    finalists: int | None = None,
    finish: float | str | None = None,
    **options: Any,
) -> Launch:
    """Return the run in a folder, of whichever kind, ready to go on.

    Raises:
        InputError: it gains what a run of its kind does not have; and as the class says.
    """
    kind, grows_as_a_sweep = kind_of(run), more_trials or finalists is not None or finish is not None
    if kind == "extend":
        if grows_as_a_sweep or more_seeds:
            raise InputError(f"{run.uri}: the further training of a trial; it grows by gan-search extend, with --kimg")
        return Extension.resume(run, **options)
    if kind == "compare":
        if grows_as_a_sweep:
            raise InputError(f"{run.uri}: a comparison grows by --seeds +N, or by recipes named to compare again")
        return Compare.resume(run, more_seeds=more_seeds, **options)
    if more_seeds:
        raise InputError(f"{run.uri}: a sweep grows by --trials +N; only a comparison has --seeds")
    return Sweep.resume(run, more_trials=more_trials, finalists=finalists, finish=finish, **options)
