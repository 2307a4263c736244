"""Searches over trials that are really trained, on the clock on which recorded ones are replayed.

A search over recordings can only choose among what was recorded; here every proposal is trained as it was made, on
one core. It costs what such trials cost when they were recorded, and not what it takes now: a machine that is faster,
or busy with other things, finds the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from contenders import Pool, Running
from record_trials import draw
from traces import Costs, Trace, TraceSet
from training import Training, hopeless

from gan.data.packed.opening import open_data
from gan.evaluation.evaluator import Evaluator
from gan.training.divergence import FailureDetector

SEEDS_APART = 10_000
"""Between the seeds of the trainings of two searches."""


class LivePool(Pool):
    """Trains what is asked for, with the geometry, length and evaluation of a set of recordings.

    Args:
        traces: the recordings.
        data: where the images lie now, as the sweep's --data takes it.
        seed: of the search.

    Raises:
        ValueError: other images than were recorded.
    """

    def __init__(self, traces: TraceSet, data: str, seed: int) -> None:
        super().__init__(traces, np.random.default_rng(seed))
        self._data = open_data(data, traces.shape[0])
        self._evaluator = Evaluator.prepare(self._data, samples=traces.common["evaluation"]["samples"])
        recorded = traces.common["evaluation"]["data_hash"]
        if self._evaluator.identity.data_hash != recorded:
            raise ValueError(f"{data} is not the data that was recorded")
        self._numbers = itertools.count(seed * SEEDS_APART)
        self._costs = Costs(traces)

    def running(self, trace: Trace, handle: Any, *, judged: bool) -> Running:
        recipe = self.recipes[trace.recipe].with_settings(trace.params)
        training = Training(recipe, self._data, self._evaluator, trace.seed, self._traces.interval)
        detector = FailureDetector(recipe.objective, self._traces.shape, self._traces.single) if judged else None
        return LiveRunning(
            trace, handle, training, detector, self._traces, self._costs.of(recipe.name, recipe.settings)
        )

    def sampled(self) -> Iterator[Trace]:
        while True:
            number = next(self._numbers)
            name, _, params = draw(number, self.recipes, 0)
            yield Trace(number, name, "sampled", number, params, [])

    def repeated(self) -> Iterator[Trace]:
        return (self.published(name) for name in itertools.cycle(self.recipes))

    def published(self, recipe: str) -> Trace:
        number = next(self._numbers)
        return Trace(number, recipe, "published", number, {}, [])

    def nearest(self, recipe: str, params: dict[str, Any]) -> Trace:
        """Return the proposal itself."""
        number = next(self._numbers)
        return Trace(number, recipe, "sampled", number, params, [])


class LiveRunning(Running):
    """A trial that is trained as its reports are asked for.

    Args:
        costs: of training and of evaluation, a report.
    """

    def __init__(
        self,
        trace: Trace,
        handle: Any,
        training: Training,
        detector: FailureDetector | None,
        traces: TraceSet,
        costs: tuple[float, float],
    ) -> None:
        super().__init__(trace, None, handle)
        self._training = training
        self._costs = costs
        self._detector = detector
        self._interval = traces.interval
        self._length = round(traces.kimg / traces.interval)

    def cost(self) -> float:
        index = len(self.trace.reports)
        train, judge = self._costs
        self.trace.reports.append(replace(self._training.report(), train_seconds=train, eval_seconds=judge))
        if self._detector is not None:
            self.verdict = self.trace.judge(index, self._detector, self._interval)
        return super().cost()

    @property
    def ended(self) -> bool:
        return self.reported >= self._length or hopeless(self.trace.reports)
