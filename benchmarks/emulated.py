"""Searches over trials that a model of the recorded ones makes up, where each proposal is trained as it was made.

**Why.** Replay that hands out the nearest recording answers a question that was not asked: recordings are sparse, and
the nearest one tells little of a proposal where a Gaussian process tells much (`learn_kernel.py`). A search by model
learns nothing there that it could use, and handing each recording out once makes it look elsewhere unasked.

**How.** A Gaussian process over all recorded settings, one for the log FID of each report, all with the kernel of the
search's own. A proposal takes the curve of one of the recordings that it covaries most with, at random,
times what the model says of the difference in settings: so what is left of each curve is real, the losses and the
divergence rule's verdict too, and equal proposals come out as differently as trainings do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from contenders import Pool, Running
from record_trials import draw
from traces import Costs, Trace, TraceSet

from search.algorithm.axes import Axes
from search.algorithm.futility import log_score
from search.algorithm.gaussian_process import Kernel, Model

DONORS = 8
"""Recordings whose curve a proposal may take."""
HOPELESS = 1500.0
"""FID as which worse ones and missing ones count in the model."""
NOISE = 0.04
"""Variance of what settings do not explain, over that of what they do."""
SEEDS_APART = 10_000
"""Between the numbers of the random settings of two searches."""


@dataclass(frozen=True)
class Emulated(Trace):
    """A trial that was made up.

    Attributes:
        donor: the recording whose curve it takes.
    """

    donor: Trace


class Emulator:
    """The model of what was recorded; see the module.

    Args:
        traces: recordings of one kind; those of published settings are left aside.
    """

    def __init__(self, traces: TraceSet) -> None:
        self._traces = traces
        self._recorded = [trace for trace in traces.traces if trace.source != "published"]
        names = np.array([trace.recipe for trace in self._recorded])
        self._rows = {name: np.flatnonzero(names == name) for name in traces.recipes}
        self._axes = Axes(traces.recipes)
        self._kernel = Kernel(self._axes.length_scales, end=1.0, trial=0.0, noise=NOISE)
        self._points = np.array([self._axes.place(trace.recipe, trace.params) for trace in self._recorded])
        curves = np.array([log_curve(traces, trace) for trace in self._recorded])
        count = len(curves)
        self._model = Model(self._kernel, self._points, np.zeros(count), np.arange(count), curves - curves.mean(0))
        self._expected = self._model.mean(self._points)
        self._costs = Costs(traces)

    def trial(self, recipe: str, params: dict[str, Any], random: np.random.Generator) -> Emulated:
        """Make up a trial of these settings."""
        place = np.array([self._axes.place(recipe, params)])
        rows = self._rows[recipe]
        alike = self._kernel.covariance(place, np.zeros(1), self._points[rows], np.zeros(len(rows)))[0]
        near = rows[np.argsort(-alike, kind="stable")[:DONORS]]
        index = near[random.integers(len(near))]
        shift = self._model.mean(place)[0] - self._expected[index]
        donor = self._recorded[index]
        made = Emulated(donor.trial, recipe, donor.source, donor.seed, params, [], donor)
        train, judge = self._costs.of(recipe, self._traces.settings(made))
        # A recording that broke off has fewer reports than the model foresees.
        for report, by in zip(donor.reports, shift, strict=False):
            fid = None if report.fid is None else report.fid * math.exp(by)
            made.reports.append(replace(report, fid=fid, train_seconds=train, eval_seconds=judge))
        return made


def log_curve(traces: TraceSet, trace: Trace) -> list[float]:
    """Return the logarithm of the FID of each report that a trial of full length makes."""
    found = [HOPELESS if report.fid is None else min(report.fid, HOPELESS) for report in trace.reports]
    missing = round(traces.kimg / traces.interval) - len(found)
    return [log_score(fid) for fid in found + [HOPELESS] * missing]


class EmulatedPool(Pool):
    """Makes up what is asked for; published settings are those recorded.

    Args:
        emulator: of the recordings.
        seed: of the search.
    """

    def __init__(self, traces: TraceSet, emulator: Emulator, seed: int) -> None:
        super().__init__(traces, np.random.default_rng(seed))
        self._emulator = emulator
        self._numbers = itertools.count(seed * SEEDS_APART)

    def running(self, trace: Trace, handle: Any, *, judged: bool) -> Running:
        """Put a trial into a slot; the divergence rule sees what it saw of the recording."""
        donor = trace.donor if isinstance(trace, Emulated) else trace
        return Running(trace, self._traces.verdict(donor) if judged else None, handle)

    def sampled(self) -> Iterator[Trace]:
        while True:
            name, _, params = draw(next(self._numbers), self.recipes, 0)
            yield self.nearest(name, params)

    def nearest(self, recipe: str, params: dict[str, Any]) -> Trace:
        """Return a trial of just these settings."""
        return self._emulator.trial(recipe, params, self._random)
