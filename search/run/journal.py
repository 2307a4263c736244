"""A run's own record on storage, append-only: every trial, report, verdict and other event.

It is the only source for `status`, `report`, `export`, and for the rungs and the study of a resumed sweep. It has one
JSON object a line:

    {"event": "trial", "trial": "t0007", "recipe": "wgan", "objective": "wgan", "source": "sampled", …}
    {"event": "report", "trial": "t0007", "kimg": 10.0, "fid": 81.2, "best_fid": 79.9, …}
    {"event": "verdict", "trial": "t0007", "state": "stopped", "outcome": "stopped", …}
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan.errors import InputError
from gan.storage.retrying import RETRY_SECONDS, with_retries
from gan.storage.storage import Storage
from gan.terminal import one_line

JOURNAL = "journal.jsonl"
SEGMENT_BYTES = 256 << 10
"""Size after which the journal on an object store begins a new segment."""

FORMAT = 1
_FIELDS = {
    "sweep": {"format", "settings", "evaluation", "versions", "command"},
    "trial": {"trial", "recipe", "objective", "source", "params", "settings", "seed"},
    "report": {"trial", "kimg"},
    "verdict": {"trial", "state"},
    "draws": {"trial", "latent_seeds", "fids"},
    "rescore": {"trial", "kimg", "fid", "fids", "evaluation", "metric", "generator_sha256"},
    "rescored": {"trials", "evaluation"},
    "end": {"state"},
}
"""Fields that an event of each kind must have; a line without them is passed over."""


class Journal:
    """Appends to a run's journal; there is one writer, the run's owner.

    Args:
        storage: the run's folder.
        allowed: called before every attempt; raises an error if this process may no longer write.
    """

    def __init__(self, storage: Storage, allowed: Callable[[], None] = lambda: None) -> None:
        self._storage = storage
        self._allowed = allowed
        self._begun = False

    def append(self, event: str, **fields: Any) -> None:
        """Write one event; it is on storage when this returns."""
        self.append_all([(event, fields)])

    def append_all(self, events: list[tuple[str, dict[str, Any]]], retry_seconds: float = RETRY_SECONDS) -> None:
        """Write events that belong together, such as a report and the verdict that follows from it, at once.

        Args:
            retry_seconds: for how long a failed write is tried again.

        Raises:
            OSError: they could not all be written.
        """
        now = round(time.time(), 3)
        lines = "".join(
            json.dumps({"event": kind, "time": now, **fields}, allow_nan=False) + "\n" for kind, fields in events
        ).encode()
        folder = self._storage.local_path

        def attempt() -> None:
            self._allowed()
            if folder is None:
                self._put(lines)
            else:
                _append(folder / JOURNAL, lines, new=not self._begun)

        try:
            with_retries(attempt, f"{self._storage.uri}/{JOURNAL}", retry_seconds)
        except OSError as error:
            raise OSError(f"the journal cannot be written: {one_line(error)}") from error
        self._begun = True

    def _put(self, lines: bytes) -> None:
        """Append on an object store, which has no appending: write the journal's end anew, whole or not at all.

        An end that has grown long becomes a segment, so that the last event costs no more than the first. The new end
        is written after it, and says how many segments precede it. If the driver is killed in between, the segment
        does not count, and is written again.
        """
        try:
            segments, end = _take_apart(self._storage.read_bytes(JOURNAL))
        except FileNotFoundError:
            segments, end = 0, b""
        if self._begun and not (segments or end):
            raise OSError(errno.EPERM, "earlier events have vanished: nothing is written in their place")
        if end.endswith(lines):
            return  # An earlier attempt has written them, and only the answer was lost.
        if len(end) > SEGMENT_BYTES:
            self._storage.write_bytes(_segment(segments), end)
            segments, end = segments + 1, b""
        self._storage.write_bytes(JOURNAL, _head(segments) + end + lines)


def _append(path: Path, lines: bytes, *, new: bool) -> None:
    """Append to a file, whole or not at all. A full disk may take a part of a write and raise no error.

    Args:
        new: whether the file may be missing.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT if new else 0), 0o644)
    try:
        before = os.fstat(descriptor).st_size
        content = _mend_torn_end(descriptor) + lines
        try:
            while content:
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _mend_torn_end(descriptor: int) -> bytes:
    """Return the line break that is missing if a writer was killed in the middle of a line."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""


def _segment(number: int) -> str:
    return f"journal/{number:06d}.jsonl"


def _head(segments: int) -> bytes:
    return json.dumps({"event": "continues", "segments": segments}).encode() + b"\n" if segments else b""


def _take_apart(content: bytes) -> tuple[int, bytes]:
    """Return the number of segments before a journal's file, and the file without the line that gives it."""
    first, _, rest = content.partition(b"\n")
    try:
        head = json.loads(first)
    except ValueError:
        return 0, content
    if isinstance(head, dict) and head.get("event") == "continues" and isinstance(head.get("segments"), int):
        return head["segments"], rest
    return 0, content


def _read(storage: Storage) -> bytes:
    """Return a run's whole journal as one file, also if it was copied from an object store.

    Raises:
        FileNotFoundError: there is none, or a part of it is missing.
    """
    content = storage.read_bytes(JOURNAL)
    segments, end = _take_apart(content)
    if not content and storage.exists(_segment(0)):
        raise FileNotFoundError(f"{storage.uri}/{JOURNAL}: its end is missing")
    return b"".join([*(storage.read_bytes(_segment(number)) for number in range(segments)), end])


def read_events(storage: Storage) -> list[dict[str, Any]]:
    """Return a run's events in order. A line that a killed writer cut short is passed over.

    Raises:
        InputError: there is no journal, so this is no run; or a part of it is missing.
        OSError: the storage does not answer.
    """
    try:
        content = _read(storage)
    except OSError as error:
        if not storage.exists(JOURNAL) or storage.is_folder(JOURNAL):
            raise InputError(f"{storage.uri}: not a run (it has no {JOURNAL})") from None
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{storage.uri}: a part of its journal is missing; copy the folder whole") from None
        raise
    events = []
    for line in content.decode("utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(event, dict)
            and isinstance(event.get("event"), str)
            and _FIELDS.get(event["event"], set()) <= event.keys()
        ):
            events.append(event)
    return events
