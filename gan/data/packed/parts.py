"""The parts of a packed set: several processes make them, and each is written to disk when it is complete.

A packing that was killed resumes after the last complete part. Parts are put together in order, so the set
has the same bytes for any number of processes.
"""

from __future__ import annotations

import json
import shutil
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import numpy as np

from gan.data.dataset import PartedSource, PartReader, check_skipped
from gan.data.workers import Workers
from gan.errors import InputError
from gan.storage.lock import lock
from gan.storage.storage import temporary_name, writing

ROWS = 128
"""Rows of a part: few enough that processes share the work evenly, many enough that there are few files."""
MOST_BYTES = 32 << 20
"""Largest size of a part, which is in memory as a whole."""
ALONE_SECONDS = 1.0
"""Seconds that the caller works alone: a small set is done before other processes would have started."""
_VERSION = 1


@dataclass(frozen=True)
class Outcome:
    """The result of making a part.

    Attributes:
        count: the number of its rows.
        skipped: index within the part → the reason why that row cannot be read.
    """

    count: int
    skipped: dict[int, str]


@dataclass(frozen=True)
class _MakePart:
    """The task of making one part, unless it exists already. It can be pickled."""

    reader: PartReader
    path: Path
    shape: tuple[int, ...]
    dtype: str

    def __call__(self) -> Outcome:
        with suppress(OSError, ValueError):  # The part is missing, or incomplete after a power cut.
            return read(self.path)[0]
        rows, skipped = [], {}
        for index, row in enumerate(self.reader()):
            if isinstance(row, str):
                skipped[index] = row
            elif row.shape != self.shape or row.dtype != self.dtype:
                raise ValueError(f"a row {row.shape} {row.dtype} in a set of {self.shape} {self.dtype}")
            else:
                rows.append(row)
        return self._write(np.stack(rows) if rows else np.empty((0, *self.shape), self.dtype), skipped)

    def _write(self, rows: np.ndarray, skipped: dict[int, str]) -> Outcome:
        head = {"rows": len(rows), "crc": zlib.crc32(rows.data), "skipped": list(skipped.items())}
        temporary = temporary_name(self.path)
        with temporary.open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(rows.data)
        temporary.replace(self.path)
        return Outcome(len(rows), skipped)


def read(path: Path) -> tuple[Outcome, bytes]:
    """Return the outcome of a part and the bytes of its rows.

    Raises:
        OSError: the part does not exist.
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        try:
            head = json.loads(file.readline(MOST_BYTES))
            data = file.read()
            if zlib.crc32(data) != head["crc"]:
                raise ValueError(f"{path}: damaged")
            return Outcome(head["rows"], dict(head["skipped"])), data
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: damaged") from error


class Parts:
    """The parts of a source, in their own folder.

    Args:
        source: the source to pack.
        folder: the folder of the parts; see `parts_folder`.
    """

    def __init__(self, source: PartedSource, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._shape = tuple(source.shape)
        self._dtype = np.dtype(source.dtype)
        row_bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        rows = max(1, min(ROWS, MOST_BYTES // row_bytes))
        self._spans = [range(start, min(start + rows, len(source))) for start in range(0, len(source), rows)]
        self.skipped: dict[int, str] = {}
        """Row number → the reason why the row cannot be read; complete after `make`."""

    def make(self, processes: int, progress: Callable[[int, int], None] | None = None) -> None:
        """Make all missing parts.

        Raises:
            InputError: too many rows cannot be read.
            OSError: a part cannot be written.
        """
        self._remove_other_parts()
        tasks = (
            _MakePart(self._source.part_reader(span), self._path(number), self._shape, self._dtype.name)
            for number, span in enumerate(self._spans)
        )
        with closing(_run(tasks, processes)) as outcomes:  # The processes end before an error is passed on.
            for span, outcome in zip(self._spans, outcomes, strict=True):
                self.skipped |= {span[index]: reason for index, reason in outcome.skipped.items()}
                check_skipped(self._source.uri, list(self.skipped.values()), len(self._source))
                if progress is not None:
                    progress(span.stop, len(self._source))

    def _remove_other_parts(self) -> None:
        """Remove the parts of another source, or of another version of this one."""
        identity = {
            "version": _VERSION,
            "fingerprint": self._source.fingerprint(),
            "shape": list(self._shape),
            "rows": len(self._spans[0]) if self._spans else 0,
        }
        identity_file = self._folder / "source.json"
        with suppress(OSError, ValueError):
            if json.loads(identity_file.read_text()) == identity:
                return
        for path in self._folder.glob("*.part"):
            path.unlink()
        identity_file.write_text(json.dumps(identity))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:07d}.part"

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the rows of each part in order, as arrays [n, *shape]."""
        for number in range(len(self._spans)):
            _, data = read(self._path(number))
            yield np.frombuffer(data, self._dtype).reshape(-1, *self._shape)

    def packed_index(self, row: int) -> int:
        """Return the index in the packed set of row number `row`: skipped rows before it do not count."""
        return row - sum(skipped < row for skipped in self.skipped)


def _run(tasks: Iterable[_MakePart], processes: int) -> Generator[Outcome, None, None]:
    """Run tasks and yield their outcomes in order; in other processes once starting them is worth while."""
    start = time.monotonic()
    remaining = iter(tasks)
    for task in remaining:
        yield task()
        if processes > 1 and time.monotonic() - start >= ALONE_SECONDS:
            break
    else:
        return
    with Workers(processes) as workers:
        yield from workers.run(remaining)


@contextmanager
def parts_folder(path: Path) -> Iterator[Path]:
    """Yield the folder for the parts of a packed set, locked against other processes.

    The folder is removed on success and on bad input. It stays when the packing is interrupted or killed.

    Raises:
        InputError: another process is packing the same set.
    """
    folder = path.with_name(f".{path.name}.parts")
    with writing(path.parent):
        folder.mkdir(exist_ok=True)
        file = (folder / "lock").open("w")
    with file:
        try:
            lock(file, wait=False)
        except OSError as error:
            raise InputError(f"{path}: another process is packing it: wait until it is done") from error
        for leftover in (*folder.glob(".*.tmp"), *path.parent.glob(f".{escape(path.name)}.*.tmp")):
            leftover.unlink(missing_ok=True)  # Left by processes that were killed while writing.
        try:
            yield folder
        except InputError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
