"""Reading a run's journal as it grows, in another process than the driver's or after it has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from gan.errors import InputError
from gan.storage.storage import Storage
from search.run.journal import JOURNAL, read_events
from search.run.record import SweepRecord, TrialRecord, apply

_EVENTS = ("trial", "start", "report", "retry", "verdict")
"""Events of a trial, as a `search.trackers.listener.Listener` is called with."""


class Follower:
    """Replays a run's events: first the past ones, then new ones.

    Args:
        run: the run's folder; its journal need not exist yet.

    Attributes:
        record: the run, as far as its journal was read.
    """

    def __init__(self, run: Storage) -> None:
        self.record = SweepRecord()
        self._run = run
        self._read = 0
        self._size: tuple[int, Any] | None = None

    def news(self) -> Iterator[tuple[str, TrialRecord, float]]:
        """Yield the events since the last call, in order: (event, trial, time).

        Raises:
            InputError: the journal is of a newer version, or another one has taken its place.
        """
        for event in self._unread():
            apply(self.record, event, self._run.uri)
            if event["event"] in _EVENTS and event.get("trial") in self.record.trials:
                at = float(event.get("time") or time.time())
                yield event["event"], self.record.trials[event["trial"]], at

    def _unread(self) -> list[dict[str, Any]]:
        info = self._run.filesystem.get_file_info(f"{self._run.root}/{JOURNAL}")
        size = (info.size, info.mtime_ns) if info.is_file else None
        if size is None or size == self._size:
            return []
        events = read_events(self._run)
        if len(events) < self._read:
            raise InputError(f"{self._run.uri}/{JOURNAL}: was replaced by another; start this command again")
        unread, self._read, self._size = events[self._read :], len(events), size
        return unread
