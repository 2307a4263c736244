"""Rows on their way into a packed set: made in parts, by several processes, each on disk once it is whole.

A packing that was killed goes on after the last of them. Parts are put together in order, so the set has
the same bytes however many processes made it.
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
from gan.data.packed.workers import Workers
from gan.errors import InputError
from gan.storage.lock import lock
from gan.storage.storage import temporary_name, writing

ROWS = 128
"""Rows of a part: few enough that processes share the work evenly, many enough that files stay few."""
MOST_BYTES = 32 << 20
"""Bytes of a part; it is in memory as a whole."""
ALONE_SECONDS = 1.0
"""Seconds that the caller works alone: a small set is done before processes have started."""
_VERSION = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    Attributes:
        count: of its rows.
        skipped: place within the part → why there is no row.
    """

    count: int
    skipped: dict[int, str]


@dataclass(frozen=True)
class _Make:
    """The work of making one part, unless it is there already. It may be sent to other processes."""

    reader: PartReader
    path: Path
    shape: tuple[int, ...]
    dtype: str

    def __call__(self) -> Outcome:
        done = self._done()
        if done is not None:
            return done
        rows, skipped = [], {}
        for place, row in enumerate(self.reader()):
            if isinstance(row, str):
                skipped[place] = row
            elif row.shape != self.shape or row.dtype != self.dtype:
                raise ValueError(f"a row {row.shape} {row.dtype} in a set of {self.shape} {self.dtype}")
            else:
                rows.append(row)
        return self._write(np.stack(rows) if rows else np.empty((0, *self.shape), self.dtype), skipped)

    def _done(self) -> Outcome | None:
        try:
            return read(self.path)[0]
        except (OSError, ValueError):
            return None  # Not there; or not whole, after a power cut.

    def _write(self, rows: np.ndarray, skipped: dict[int, str]) -> Outcome:
        head = {"rows": len(rows), "crc": zlib.crc32(rows.data), "skipped": list(skipped.items())}
        temporary = temporary_name(self.path)
        with temporary.open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(rows.data)
        temporary.replace(self.path)
        return Outcome(len(rows), skipped)


def read(path: Path) -> tuple[Outcome, bytes]:
    """Read a part: what became of it, and its rows, one after another.

    Raises:
        OSError: there is none.
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        try:
            head = json.loads(file.readline(MOST_BYTES))
            data = file.read()
            whole = zlib.crc32(data) == head["crc"]
            outcome = Outcome(head["rows"], dict(head["skipped"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: damaged") from error
    if not whole:
        raise ValueError(f"{path}: damaged")
    return outcome, data


class Parts:
    """The parts of a source, in a folder of their own.

    Args:
        source: what is to be packed.
        folder: theirs; see `folder_beside`.
    """

    def __init__(self, source: PartedSource, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._shape = tuple(source.shape)
        self._dtype = np.dtype(source.dtype)
        row_bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        rows = max(1, min(ROWS, MOST_BYTES // row_bytes))
        self._spans = [range(at, min(at + rows, len(source))) for at in range(0, len(source), rows)]
        self.skipped: dict[int, str] = {}
        """Row number → why there is none; complete after `make`."""

    def make(self, processes: int, progress: Callable[[int, int], None] | None = None) -> None:
        """Make all parts that are not there.

        Raises:
            InputError: too many rows cannot be read.
            OSError: a part cannot be written.
        """
        self._begin()
        works = (
            _Make(self._source.part_reader(span), self._path(number), self._shape, self._dtype.name)
            for number, span in enumerate(self._spans)
        )
        with closing(_run(works, processes)) as outcomes:  # Processes end before an error goes further.
            for span, outcome in zip(self._spans, outcomes, strict=True):
                self.skipped |= {span[place]: why for place, why in outcome.skipped.items()}
                check_skipped(self._source.uri, list(self.skipped.values()), len(self._source))
                if progress is not None:
                    progress(span.stop, len(self._source))

    def _begin(self) -> None:
        """Drop what another source, or another version of this one, has left here."""
        said = {
            "version": _VERSION,
            "fingerprint": self._source.fingerprint(),
            "shape": list(self._shape),
            "rows": len(self._spans[0]) if self._spans else 0,
        }
        sign = self._folder / "source.json"
        with suppress(OSError, ValueError):
            if json.loads(sign.read_text()) == said:
                return
        for path in self._folder.glob("*.part"):
            path.unlink()
        sign.write_text(json.dumps(said))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:07d}.part"

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the rows of each part in order, as arrays [n, *shape]."""
        for number in range(len(self._spans)):
            _, data = read(self._path(number))
            yield np.frombuffer(data, self._dtype).reshape(-1, *self._shape)

    def place_of(self, row: int) -> int:
        """Return how many rows there are before row number `row`, without those skipped."""
        return row - sum(skipped < row for skipped in self.skipped)


def _run(works: Iterable[_Make], processes: int) -> Generator[Outcome, None, None]:
    """Do the work, yielding outcomes in order; in other processes if it takes longer than starting them."""
    begun = time.monotonic()
    rest = iter(works)
    for work in rest:
        yield work()
        if processes > 1 and time.monotonic() - begun >= ALONE_SECONDS:
            break
    else:
        return
    with Workers(processes) as workers:
        yield from workers.run(rest)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield the folder of the parts of a packed set, which no other process uses meanwhile.

    It goes with success and with bad input, and stays when the packing is interrupted or killed.

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
            leftover.unlink(missing_ok=True)  # Of processes that were killed in mid-write.
        try:
            yield folder
        except InputError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
