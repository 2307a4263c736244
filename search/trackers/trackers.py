"""What a driver keeps in a run's folder for other people's tools: event files, and a copy of the study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from search.plan.preflight import Plan
from search.run.record import SweepRecord
from search.trackers.listener import Listener
from search.trackers.study import StudyFile
from search.trackers.tensorboard import TensorBoard


@contextmanager
def trackers(plan: Plan, record: SweepRecord, lost: Callable[[], bool]) -> Iterator[list[Listener]]:
    """Yield the trackers of a run, to be told what happens in it.

    There are none on an object store, where nothing can be appended: `gan-search tensorboard` and
    `dashboard` make them from the journal.

    Args:
        plan: of the sweep.
        record: kept up to date by the driver.
        lost: tells, in the end, whether another driver has taken the run over.
    """
    if plan.run.local_path is None:
        yield []
        return
    recipes = plan.recipes_as_dicts()
    study = StudyFile(plan.run, plan.spec.name, recipes, record)
    try:
        yield [TensorBoard(plan.run, recipes, record), study]
    finally:
        study.close(abandon=lost())
