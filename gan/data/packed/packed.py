"""Packed sets: one Arrow IPC file of fixed-size rows that any number of processes map into memory.

The schema's metadata holds what is known before the first row; a last record batch without rows
carries, as metadata of its own, what is known after the last: counts and the content hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

from gan.data.dataset import DataSet, Rows
from gan.errors import InputError
from gan.storage.storage import replace, temporary_name, writing

FORMAT_VERSION = 1
CHUNK_BYTES = 32 << 20
"""Bytes of a record batch: what packing holds in memory."""
HELD_OUT_SHARE = 0.05
HELD_OUT_SEED = 20_150_716
"""Fixed for all time: another seed would move rows between the parts of every set."""
_KEY = b"gan_search"
_KINDS = {("uint8", 3), ("float32", 1)}


@dataclass(frozen=True)
class Header:
    """What a packed set says of itself before its rows."""

    shape: tuple[int, ...]
    dtype: str
    source: str
    default_features: str
    crop: str | None = None
    held_out: tuple[int, int] | None = None
    version: int = FORMAT_VERSION

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Trailer:
    """What a packed set says of itself after its rows."""

    count: int
    content_hash: str
    skipped: int = 0
    skipped_names: tuple[str, ...] = ()


class Writer:
    """Writes a packed set to disk in bounded memory; the file appears, whole, when `finish` returns.

    Use it as a context manager: left without `finish`, it leaves nothing behind.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._temporary = temporary_name(path)
        self._header = header
        self._schema = pa.schema([pa.field("row", pa.binary(header.row_bytes), nullable=False)], {_KEY: _dump(header)})
        rows = max(1, CHUNK_BYTES // header.row_bytes)
        self._chunk = np.empty((rows, *header.shape), header.dtype)
        self._filled = 0
        self._written = 0
        self._hash = _hash(header)
        with writing(path.parent):
            self._sink = pa.OSFile(str(self._temporary), "wb")
            self._writer = pa.ipc.new_file(self._sink, self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._sink.closed:
            with suppress(OSError, pa.ArrowException):
                self._sink.close()
        self._temporary.unlink(missing_ok=True)

    @property
    def count(self) -> int:
        """Rows added so far."""
        return self._written + self._filled

    def add(self, rows: np.ndarray) -> None:
        """Append rows [n, *shape] of the set's dtype."""
        if rows.shape[1:] != self._header.shape or rows.dtype != self._header.dtype:
            raise ValueError(f"rows {rows.shape[1:]} {rows.dtype} in a set of {self._header}")
        while len(rows):
            room = len(self._chunk) - self._filled
            part, rows = rows[:room], rows[room:]
            self._chunk[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            if self._filled == len(self._chunk):
                self._flush()

    def _flush(self) -> None:
        rows = self._chunk[: self._filled]
        self._hash.update(rows.data)
        column = pa.FixedSizeBinaryArray.from_buffers(self._schema.field(0).type, len(rows), [None, pa.py_buffer(rows)])
        with writing(self._path.parent):
            self._writer.write_batch(pa.record_batch([column], schema=self._schema))
        self._written += len(rows)
        self._filled = 0

    def finish(self, skipped: Iterable[str] = ()) -> None:
        """Write what is left, and give the file its name.

        Args:
            skipped: the names of what could not be read; the first hundred are kept.
        """
        if self._filled:
            self._flush()
        names = tuple(skipped)
        trailer = Trailer(self.count, self._hash.hexdigest(), len(names), names[:100])
        empty = pa.record_batch([pa.array([], self._schema.field(0).type)], schema=self._schema)
        with writing(self._path.parent):
            self._writer.write_batch(empty, custom_metadata={_KEY: _dump(trailer)})
            self._writer.close()
            self._sink.close()
            replace(self._temporary, self._path)


def _dump(part: Header | Trailer) -> bytes:
    return json.dumps(asdict(part), ensure_ascii=True).encode()


def open_file(path: Path, uri: str, hold: object = None) -> DataSet:
    """Map a packed set on this machine's disk; no row is read until it is asked for.

    Args:
        path: the file.
        uri: how the user named it.
        hold: kept for as long as any of the set's rows can be read.

    Raises:
        InputError: not a packed set, one that is damaged, or one that a newer version wrote.
    """
    header, trailer, chunks = _read(path)
    train, held_out = _parts(path, header, trailer.count)
    return DataSet(
        uri=uri,
        shape=header.shape,
        dtype=np.dtype(header.dtype),
        content_hash=trailer.content_hash,
        default_features=header.default_features,
        train=Rows(chunks, train, hold),
        held_out=Rows(chunks, held_out, hold),
        source=header.source,
        crop=header.crop,
        skipped=trailer.skipped,
        skipped_names=trailer.skipped_names,
    )


def check_content(path: Path) -> None:
    """Read every row of a packed set, and compare them with its content hash.

    Raises:
        InputError: it is not the set that was packed, or not a packed set at all.
    """
    header, trailer, chunks = _read(path)
    found = _hash(header)
    for chunk in chunks:
        found.update(chunk.data)
    if found.hexdigest() != trailer.content_hash:
        raise InputError(f"{path}: damaged packed set: its rows are not those that were packed")


def _hash(header: Header) -> Any:
    """Begin the content hash of a set; its rows follow."""
    return hashlib.sha256(f"{list(header.shape)} {header.dtype}\n".encode())


def _read(path: Path) -> tuple[Header, Trailer, list[np.ndarray]]:
    """Return what a packed set says of itself, and its rows as arrays on the mapped file."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not a packed set' if path.is_dir() else 'no such file'}")
    reader = _reader(path)
    header, trailer = _metadata(path, reader)
    row = reader.schema.field(0).type
    if row != pa.binary(header.row_bytes):
        raise InputError(f"{path}: damaged packed set: rows of {row} cannot have shape {list(header.shape)}")
    chunks = [_view(path, reader.get_batch(i), header) for i in range(reader.num_record_batches - 1)]
    if sum(map(len, chunks)) != trailer.count or trailer.count < 1:
        raise InputError(f"{path}: damaged packed set: it does not hold the {trailer.count} rows it should")
    return header, trailer, chunks


def _reader(path: Path) -> Any:
    """Open an Arrow file; raise InputError for one that is none, or is cut short."""
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowException, OSError) as error:
        with path.open("rb") as file:
            ours = file.read(6) == b"ARROW1"
        wrong = "is cut short or damaged: pack it again" if ours else "is not a packed set"
        raise InputError(f"{path}: {wrong}") from error


def _metadata(path: Path, reader: Any) -> tuple[Header, Trailer]:
    said = (reader.schema.metadata or {}).get(_KEY)
    if said is None or len(reader.schema) != 1:
        raise InputError(f"{path}: is an Arrow file, but not a packed set; make one with 'gan-search data pack'")
    try:
        before = json.loads(said)
        version = before["version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise InputError(
                f"{path}: is of packed format {version}, newer than {FORMAT_VERSION} as read here: upgrade"
            )
        _, last = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
        header, trailer = _parse(Header, before), _parse(Trailer, json.loads(last[_KEY]))
    except (ValueError, KeyError, TypeError, pa.ArrowException, OSError, IndexError) as error:
        raise InputError(f"{path}: damaged packed set: its metadata cannot be read") from error
    if (header.dtype, len(header.shape)) not in _KINDS or min(header.shape) < 1:
        raise InputError(f"{path}: damaged packed set: rows of {header.dtype} {list(header.shape)}")
    return header, trailer


def _parse(kind: type[Any], values: dict[str, Any]) -> Any:
    """Make a Header or Trailer from JSON; KeyError or TypeError if a field is missing or of a wrong type."""
    known = {}
    for name, wanted in get_type_hints(kind).items():
        value = values[name]
        known[name] = tuple(value) if isinstance(value, list) else value
        if not _is(known[name], wanted):
            raise TypeError(name)
    return kind(**known)


def _is(value: Any, wanted: Any) -> bool:
    """Tell whether a value is of an annotated type, as deep as this module's annotations go."""
    if get_origin(wanted) is UnionType:
        return any(_is(value, one) for one in get_args(wanted))
    if get_origin(wanted) is not tuple:
        return type(value) is wanted
    items = get_args(wanted)
    if items[-1] is ...:
        return isinstance(value, tuple) and all(_is(item, items[0]) for item in value)
    return isinstance(value, tuple) and len(value) == len(items) and all(map(_is, value, items))


def _view(path: Path, batch: Any, header: Header) -> np.ndarray:
    """Return a record batch's rows as an array [n, *shape] on the mapped file itself."""
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise InputError(f"{path}: damaged packed set: {error}") from error
    column = batch.column(0)
    if column.null_count:
        raise InputError(f"{path}: damaged packed set: it has rows without content")
    count = len(column) * int(np.prod(header.shape))
    offset = column.offset * header.row_bytes
    flat = np.frombuffer(column.buffers()[1], header.dtype, count, offset)
    return flat.reshape(-1, *header.shape)


def _parts(path: Path, header: Header, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training rows and of the held-out rows, each in order."""
    held = np.zeros(count, bool)
    if header.held_out is None:
        share = max(1, round(count * HELD_OUT_SHARE)) if count > 1 else 0
        held[np.random.default_rng(HELD_OUT_SEED).permutation(count)[:share]] = True
    else:
        start, stop = header.held_out
        if not 0 <= start <= stop <= count or stop - start == count:
            raise InputError(f"{path}: damaged packed set: it holds out rows {start} to {stop} of {count}")
        held[start:stop] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
