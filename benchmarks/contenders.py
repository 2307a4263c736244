"""What decides in a replayed search: this project's own searcher and scheduler, and what they are compared with.

**Where trials come from.** A `Pool`: trained for the purpose (`live.py`), made up by a model of the recorded ones
(`emulated.py`, the default of `search_efficiency.py`), or, here, the recordings themselves. Then a proposal is
replaced by the nearest recorded trial of the same recipe that this search has not had yet, and the proposal itself is
taken back: the study is told of the settings that were really trained. Nearest is Euclidean, each parameter in the
units of its range (its logarithm where that is searched), a choice at distance 0 or 1. So every number was measured,
but the order of searches is not that of live ones; `emulated.py` says why.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from traces import Trace, TraceSet, Verdict, images_of

from gan.recipe.recipe import Recipe
from gan.settings import Choices, Range
from gan.storage.storage import Storage
from gan.training.report import DIVERGED_SCORE
from search.algorithm.asha import Asha
from search.algorithm.expectation import Expectation
from search.algorithm.prior import Prior
from search.algorithm.space import RECIPE, label, suggest
from search.plan.spec import SweepSpec, make_spec
from search.run.journal import Journal
from search.run.outcome import Outcome
from search.run.record import SweepRecord, TrialRecord
from search.sweep import futility_rule
from search.trials.scheduler import AshaScheduler
from search.trials.searcher import StudySearcher


class Pool:
    """The recorded trials, handed out nearest first.

    Args:
        traces: of one data set.
        random: the order of sampled ones, and which recording of a recipe's published settings.

    Attributes:
        exhausted: how often a recipe's trials had all been had, and were put back.
    """

    def __init__(self, traces: TraceSet, random: np.random.Generator) -> None:
        self.recipes = traces.recipes
        self.exhausted = 0
        self._traces = traces
        self._random = random
        self._all: dict[str, list[Trace]] = defaultdict(list)
        self._published: dict[str, list[Trace]] = defaultdict(list)
        for trace in traces.traces:
            (self._published if trace.source == "published" else self._all)[trace.recipe].append(trace)
        self._places = {
            name: np.array([coordinates(self.recipes[name], trace.params) for trace in found])
            for name, found in self._all.items()
        }
        self._free = {name: np.ones(len(found), bool) for name, found in self._all.items()}

    def running(self, trace: Trace, handle: Any, *, judged: bool) -> Running:
        """Put a trial into a slot; `judged` where the divergence rule looks at it."""
        return Running(trace, self._traces.verdict(trace) if judged else None, handle)

    def sampled(self) -> Iterator[Trace]:
        """Return recordings of random settings, in random order, each once."""
        found = [trace for trace in self._traces.traces if trace.source == "sampled"]
        return (found[index] for index in self._random.permutation(len(found)))

    def repeated(self) -> Iterator[Trace]:
        """Return the recordings of published settings, each once, the recipes taking turns."""
        return (trace for trace in self._traces.traces if trace.source == "published")

    def published(self, recipe: str) -> Trace:
        """Return a recording of a recipe's own settings: any of its seeds."""
        found = self._published[recipe]
        return found[int(self._random.integers(len(found)))]

    def nearest(self, recipe: str, params: dict[str, Any]) -> Trace:
        """Return the nearest recorded trial that was not had yet; it is had now."""
        free = self._free[recipe]
        if not free.any():
            self.exhausted += 1
            free[:] = True
        found = int(np.where(free, self._distances(recipe, params), math.inf).argmin())
        free[found] = False
        return self._all[recipe][found]

    def _distances(self, recipe: str, params: dict[str, Any]) -> np.ndarray:
        return np.square(self._places[recipe] - coordinates(self.recipes[recipe], params)).sum(1)


def coordinates(recipe: Recipe, params: dict[str, Any]) -> list[float]:
    """Return parameters in the units of their ranges; a choice takes a coordinate for each of its values.

    A recipe's parameters are the same in all of its trials, so their coordinates can be compared.
    """
    place: list[float] = []
    for name, (_, space) in recipe.searchable().items():
        if name not in params:
            continue
        if isinstance(space, Range):
            low, high, value = (
                math.log(number) if space.log else float(number) for number in (space.low, space.high, params[name])
            )
            place.append((value - low) / (high - low))
        elif isinstance(space, Choices):
            # Two different choices then differ by 1, as the two ends of a range do.
            place.extend(math.sqrt(0.5) * (params[name] == value) for value in space.values)
    return place


# ---- contenders


@dataclass
class Running:
    """A trial in a slot.

    Attributes:
        verdict: where the divergence rule ends it; None where nobody looks, or nothing is wrong.
        handle: what the contender knows it by.
        reported: reports so far.
    """

    trace: Trace
    verdict: Verdict | None
    handle: Any
    reported: int = 0
    best: float | None = None

    def cost(self) -> float:
        """Return the trial-seconds of the next report."""
        return self.trace.seconds_of(self.reported, self.verdict)

    @property
    def ended(self) -> bool:
        """Whether the last report was the last."""
        return self.reported >= len(self.trace.reports)


class Contender(ABC):
    """What decides in a search; see `simulate`.

    Args:
        traces: what was recorded.
        pool: where its trials come from; default: those recordings.
    """

    def __init__(self, traces: TraceSet, seed: int, pool: Pool | None = None) -> None:
        self.traces = traces
        self.pool = pool or Pool(traces, np.random.default_rng(seed))

    @abstractmethod
    def begin(self) -> Running | None:
        """Return the next trial; None if there are to be no more."""

    @abstractmethod
    def report(self, running: Running, kimg: float, fid: float | None) -> bool:
        """Take in a report, `running.best` being up to date; tell whether the trial goes on."""


class NoJournal(Journal):
    """Writes nothing: what a simulated search does is known already."""

    def __init__(self) -> None:
        super().__init__(Storage("."))

    def append_all(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        """Do nothing."""


class RecordedSearcher(StudySearcher):
    """The sweep's own searcher, whose samples are replaced by recorded trials; see the module.

    Args:
        foresight: whether what is learnt of an ended trial is what it would have come to, had it not been stopped.

    Attributes:
        recorded: our trial id → its recording.
    """

    def __init__(
        self,
        spec: SweepSpec,
        recipes: dict[str, Recipe],
        record: SweepRecord,
        pool: Pool,
        foresight: bool,
        expectation: Expectation | None,
    ) -> None:
        super().__init__(spec, recipes, record, NoJournal(), expectation)
        self._pool = pool
        self._foresight = foresight
        self.recorded: dict[str, Trace] = {}

    def conclude(self, trial: TrialRecord) -> None:
        end = self.recorded[trial.id].best_fid
        if not self._foresight or trial.state != "stopped" or end is None:
            super().conclude(trial)
        else:
            report = {"kimg": self._spec.kimg, "score": end, "best_fid": end}
            super().conclude(replace(trial, state="finished", reports=[*trial.reports, report]))

    def new_trial(self) -> TrialRecord | None:
        trial = super().new_trial()
        if trial is None:
            return None
        if trial.source == "published":
            self.recorded[trial.id] = self._pool.published(trial.recipe)
            return trial
        trace = self._pool.nearest(trial.recipe, trial.params)
        self.recorded[trial.id] = trace
        self._asked[trial.id] = instead(self.study, self._asked[trial.id], trace, self._recipes)
        trial.params, trial.settings = (
            dict(trace.params),
            dict(self._recipes[trace.recipe].with_settings(trace.params).settings),
        )
        return trial


def instead(study: optuna.Study, asked: optuna.Trial, trace: Trace, recipes: dict[str, Recipe]) -> optuna.Trial:
    """Take back what a study proposed, and have it propose the settings of the trial that stands in for it."""
    params = {label(trace.recipe, name): value for name, value in trace.params.items()}
    if asked.params == {RECIPE: trace.recipe, **params}:
        return asked
    study.tell(asked, state=TrialState.FAIL)
    study.enqueue_trial({RECIPE: trace.recipe, **params})
    again = study.ask()
    suggest(again, recipes)
    return again


class ForeseeingAsha(Asha):
    """Rungs at which every trial shows what it will come to in the end.

    Args:
        recorded: trial → its recording.
    """

    def __init__(self, milestones: list[float], reduction_factor: float, recorded: dict[str, Trace]) -> None:
        super().__init__(milestones, reduction_factor)
        self._recorded = recorded

    def report(self, trial: str, kimg: float, score: float) -> str | None:
        end = self._recorded[trial].best_fid
        return super().report(trial, kimg, DIVERGED_SCORE if end is None else end)


SAMPLERS = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
FORESIGHT = ("sampler", "rungs")


class Ours(Contender):
    """(a) This project's search: its searcher, its scheduler, its divergence rule.

    Args:
        prior: what it begins with; None for nothing.
        sampler: of `SAMPLERS`, in place of its own.
        foresight: of `FORESIGHT`: what knows where each trial would end, as nothing does in a real search.
        settings: of the sweep, in place of its defaults.
    """

    def __init__(
        self,
        traces: TraceSet,
        seed: int,
        pool: Pool | None = None,
        sampler: str | None = None,
        foresight: str | None = None,
        prior: Prior | None = None,
        trials: int = 1_000_000,
        **settings: Any,
    ) -> None:
        super().__init__(traces, seed, pool)
        # The budget ends it; the number of trials is that of a sweep which would come as far.
        self.settings = {**sweep_settings(traces), "trials": trials, "prior": "none" if prior is None else "shipped"}
        spec = make_spec({**self.settings, **settings, "seed": seed})
        self.record = SweepRecord()
        recipes = spec.load_recipes()
        expectation = None if prior is None else expect(prior, traces, recipes)
        self.searcher = RecordedSearcher(spec, recipes, self.record, self.pool, foresight == "sampler", expectation)
        if sampler is not None:
            self.searcher.study.sampler = SAMPLERS[sampler](seed=seed)
        rungs = spec.rungs(), spec.reduction_factor
        asha = ForeseeingAsha(*rungs, self.searcher.recorded) if foresight == "rungs" else Asha(*rungs)
        exempt = spec.published_in_full(len(recipes))
        self.scheduler = AshaScheduler(asha, futility_rule(spec), self.record, spec.kimg, exempt)
        self._kimg = spec.kimg

    def begin(self) -> Running | None:
        config = self.searcher.suggest("")
        if not isinstance(config, dict):
            return None
        trial = self.searcher.trials[config["trial"]]
        self.record.trials[trial.id] = trial
        return self.pool.running(self.searcher.recorded[trial.id], trial, judged=True)

    def report(self, running: Running, kimg: float, fid: float | None) -> bool:
        # What `gan.training.run` reports, `search.trials.scheduler` decides and `search.trials.recorder` concludes.
        trial: TrialRecord = running.handle
        lost = running.verdict is not None and running.verdict.report == running.reported - 1
        score = DIVERGED_SCORE if lost or running.best is None else running.best
        outcome = Outcome.DIVERGED if lost else None
        told = {"trial": trial.id, "kimg": kimg, "score": score, "source": trial.source, "outcome": outcome}
        self.scheduler.on_trial_result(None, None, told)  # type: ignore[arg-type]
        trial.add_report({"kimg": kimg, "fid": fid, "best_fid": running.best, "score": score})
        if lost:
            trial.conclude(Outcome.DIVERGED, running.verdict.reason if running.verdict else None)
        elif trial.id in self.scheduler.stopped:
            trial.conclude(Outcome.STOPPED, self.scheduler.stopped[trial.id])
        elif kimg >= self._kimg - 1e-6:
            trial.conclude(Outcome.FINISHED, None)
        else:
            return True
        self.searcher.conclude(trial)
        return False

    def stops(self) -> Counter[str]:
        """Count the trials stopped at rungs and for futility, and those of either kind that would have won.

        That is, those whose recording comes below the best that the search came to.
        """
        counts: Counter[str] = Counter()
        best = min((trial.best_fid for trial in self.record.trials.values() if trial.best_fid), default=math.inf)
        for name, reason in self.scheduler.stopped.items():
            kind = "rungs" if reason.startswith("rung") else "futility"
            final = self.searcher.recorded[name].best_fid
            counts[kind] += 1
            counts[f"{kind}, wrongly"] += final is not None and final < best
        return counts


def expect(prior: Prior, traces: TraceSet, recipes: dict[str, Recipe]) -> Expectation:
    """Return what a prior expects of the trials of a set of recordings."""
    return Expectation(prior, recipes, traces.shape, traces.kimg, images_of(traces))


class Random(Contender):
    """(b) Random search without stopping: recorded trials in random order, to their full length."""

    def __init__(self, traces: TraceSet, seed: int, pool: Pool | None = None) -> None:
        super().__init__(traces, seed, pool)
        self._left = self.pool.sampled()

    def begin(self) -> Running | None:
        trace = next(self._left, None)
        return None if trace is None else self.pool.running(trace, None, judged=False)

    def report(self, running: Running, kimg: float, fid: float | None) -> bool:
        return True


class Plain(Contender):
    """(c) What one writes with Ray Tune alone: `OptunaSearch` and `ASHAScheduler`, both as they come.

    The space is ours, conditional and by recipe; the metric is the FID of each report. A trial whose samples are not
    finite reports infinity, which Tune survives (with NaN it would not be stopped, and Optuna's trial never end).

    Args:
        prior: whose portfolio it evaluates first, as many settings as a sweep of so many `trials`; None for none.
    """

    def __init__(
        self, traces: TraceSet, seed: int, pool: Pool | None = None, prior: Prior | None = None, trials: int = 0
    ) -> None:
        super().__init__(traces, seed, pool)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        points = None
        if prior is not None:
            portfolio = expect(prior, traces, traces.recipes).portfolio()[0]
            share = make_spec({"trials": trials}).portfolio_trials
            points = [
                {RECIPE: recipe, **{label(recipe, name): value for name, value in params.items()}}
                for recipe, params in portfolio[:share]
            ]
        self._searcher = OptunaSearch(self._space, metric="fid", mode="min", points_to_evaluate=points, seed=seed)
        length = round(traces.kimg / traces.interval)
        self._scheduler = ASHAScheduler(metric="fid", mode="min", max_t=length)
        self._names = (f"trial{number}" for number in itertools.count())
        # Tune's scheduler draws the only bracket there is from NumPy's global stream.
        np.random.seed(seed)

    def _space(self, trial: optuna.Trial) -> dict[str, Any]:
        recipe, params = suggest(trial, self.traces.recipes)
        return {RECIPE: recipe, "params": params}

    def begin(self) -> Running | None:
        name = next(self._names)
        config = self._searcher.suggest(name)
        assert config is not None
        trace = self.pool.nearest(config[RECIPE], config["params"])
        asked = self._searcher._ot_trials
        asked[name] = instead(self._searcher._ot_study, asked[name], trace, self.traces.recipes)
        trial = SimpleNamespace(trial_id=name)
        self._scheduler.on_trial_add(None, trial)
        return self.pool.running(trace, trial, judged=False)

    def report(self, running: Running, kimg: float, fid: float | None) -> bool:
        trial = running.handle
        result = {"fid": math.inf if fid is None else fid, "training_iteration": running.reported}
        if self._scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP or running.ended:
            self._searcher.on_trial_complete(trial.trial_id, result)
            return False
        self._searcher.on_trial_result(trial.trial_id, result)
        return True


class Published(Contender):
    """(d) The recipes' own settings, to their full length, seed after seed: searching nothing."""

    def __init__(self, traces: TraceSet, seed: int, pool: Pool | None = None) -> None:
        super().__init__(traces, seed, pool)
        self._left = self.pool.repeated()

    def begin(self) -> Running | None:
        trace = next(self._left, None)
        return None if trace is None else self.pool.running(trace, None, judged=False)

    def report(self, running: Running, kimg: float, fid: float | None) -> bool:
        return True


def sweep_settings(traces: TraceSet) -> dict[str, Any]:
    """Return the settings of the sweep that would train what was recorded."""
    return {
        "data": traces.common["data"],
        "size": traces.shape[0],
        "recipes": traces.common["recipes"],
        "settings": traces.common["settings"],
        "kimg": traces.kimg,
        "interval_kimg": traces.interval,
    }
