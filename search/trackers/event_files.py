"""TensorBoard's event files: rows of records, each a protocol buffer with its length and two checksums."""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import google_crc32c
from tensorboard.compat.proto import event_pb2, summary_pb2

Value: TypeAlias = summary_pb2.Summary.Value
"""One number, image or text, under its tag."""

_VERSION = "brain.Event:2"
_serial = itertools.count()


class EventFolder:
    """The event files of one run in TensorBoard's sense: a folder to which one process appends.

    Args:
        folder: created with the first record. Each process writes to a file of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = self._new_path()

    def write(self, events: Iterable[tuple[int, Sequence[Value]]], at: float) -> None:
        """Append events, each a step and its values, and flush them to the file.

        Raises:
            OSError: they could not be written. The next ones begin a new file, because no reader gets past a
                torn record.
        """
        records = [
            record(event_pb2.Event(wall_time=at, step=step, summary=summary_pb2.Summary(value=values)))
            for step, values in events
        ]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                if not file.tell():
                    records.insert(0, record(event_pb2.Event(wall_time=at, file_version=_VERSION)))
                file.write(b"".join(records))
        except OSError:
            self._path = self._new_path()
            raise

    def _new_path(self) -> Path:
        # TensorBoard reads files in the order of their names.
        return self._folder / f"events.out.tfevents.{int(time.time()):010d}.{next(_serial):06d}.{os.getpid()}"


def record(event: event_pb2.Event) -> bytes:
    """Return an event as a record: length, checksum, content, checksum (TFRecord)."""
    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    return b"".join([length, _checksum(length), content, _checksum(content)])


def _checksum(content: bytes) -> bytes:
    """Return the masked CRC-32C (RFC 3720).

    TensorBoard's own `RecordWriter` computes it in Python and holds the interpreter's lock meanwhile: 0.1 s for a
    sample grid of half a megabyte.
    """
    checksum = google_crc32c.value(content)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)
