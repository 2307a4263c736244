"""What a driver writes into a run's folder for other tools: event files, and a copy of the study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gan.storage.storage import Storage
from search.run.record import SweepRecord, TrialRecord
from search.trackers.study import StudyFile
from search.trackers.tensorboard import TensorBoard

Listener = Callable[[str, TrialRecord], None]
"""Called with "trial", "start", "report", "retry" or "verdict", and the trial."""


@contextmanager
def trackers(run: Storage, record: SweepRecord, lost: Callable[[], bool]) -> Iterator[list[Listener]]:
    """Yield the listeners that keep these up to date.

    There are none on an object store, where nothing can be appended: `gan-search tensorboard` and
    `dashboard` need only the journal.

    Args:
        run: the run's folder.
        record: kept up to date by the driver.
        lost: tells, in the end, whether another driver has taken the run over.
    """
    if run.local_path is None:
        yield []
        return
    study = StudyFile(run, record)
    try:
        yield [TensorBoard(run, record), study]
    finally:
        study.close(abandon=lost())
