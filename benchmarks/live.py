"""Searches over trials that are really trained, on the clock on which recorded ones are replayed.

A search over recordings can only choose among what was recorded; here every proposal is trained as it was made, on
one core, and costs the processor seconds that it takes. The slots are simulated, so a machine that is busy with other
things measures the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from contenders import Pool, Running
from record_trials import draw
from traces import Trace, TraceSet
from training import Training, hopeless

from gan.data import open_data
from gan.divergence import Monitor
from gan.evaluation import Evaluator

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

    def running(self, trace: Trace, handle: Any, *, judged: bool) -> Running:
        recipe = self.recipes[trace.recipe].with_settings(trace.params)
        training = Training(recipe, self._data, self._evaluator, trace.seed, self._traces.interval)
        monitor = Monitor(recipe.objective, self._traces.shape) if judged else None
        return LiveRunning(trace, handle, training, monitor, self._traces)

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
    """A trial that is trained as its reports are asked for."""

    def __init__(
        self, trace: Trace, handle: Any, training: Training, monitor: Monitor | None, traces: TraceSet
    ) -> None:
        super().__init__(trace, None, handle)
        self._training = training
        self._monitor = monitor
        self._interval = traces.interval
        self._length = round(traces.kimg / traces.interval)

    def cost(self) -> float:
        index = len(self.trace.reports)
        self.trace.reports.append(self._training.report())
        if self._monitor is not None:
            self.verdict = self.trace.judge(index, self._monitor, self._interval)
        return super().cost()

    @property
    def ended(self) -> bool:
        return self.reported >= self._length or hopeless(self.trace.reports)
