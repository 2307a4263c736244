"""Packed sets: one Arrow IPC file of fixed-size rows that any number of processes map into memory.

The schema's metadata holds the header. A last record batch without rows has the trailer as its metadata:
the counts and the content hash, which are known only after the last row.
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
"""Bytes of a record batch, which packing keeps in memory."""
HELD_OUT_SHARE = 0.05
HELD_OUT_SEED = 20_150_716
"""Must never change: another seed would move rows between the parts of every set."""
_KEY = b"gan_search"
_KINDS = {("uint8", 3), ("float32", 1)}


@dataclass(frozen=True)
class Header:
    """The description of a packed set that stands before its rows."""

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
    """The description of a packed set that stands after its rows."""

    count: int
    content_hash: str
    skipped: int = 0
    skipped_names: tuple[str, ...] = ()


class Writer:
    """Writes a packed set to disk in bounded memory. The complete file appears when `finish` returns.

    Use it as a context manager. If it is left before `finish`, no file remains.
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
        """Write the remaining rows and the trailer, and give the file its final name.

        Args:
            skipped: one line for each file that could not be read; the first hundred are kept.
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
    """Map a packed set on this machine's disk. Rows are read when they are needed.

    Args:
        path: the file.
        uri: the URI that the user gave.
        hold: an object to keep alive while the rows can be read; see `Rows`.

    Raises:
        InputError: not a packed set, a damaged one, or one written by a newer version.
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
    """Read every row of a packed set, and check the rows against its content hash.

    Raises:
        InputError: the rows are not those that were packed, or the file is not a packed set.
    """
    header, trailer, chunks = _read(path)
    digest = _hash(header)
    for chunk in chunks:
        digest.update(chunk.data)
    if digest.hexdigest() != trailer.content_hash:
        raise _damaged(path, "its rows are not those that were packed")


def _damaged(path: Path, fault: object) -> InputError:
    return InputError(f"{path}: damaged packed set: {fault}")


def _hash(header: Header) -> Any:
    """Return the content hash of a set before its first row is added."""
    return hashlib.sha256(f"{list(header.shape)} {header.dtype}\n".encode())


def _read(path: Path) -> tuple[Header, Trailer, list[np.ndarray]]:
    """Return the header, the trailer, and the rows as arrays on the mapped file."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not a packed set' if path.is_dir() else 'no such file'}")
    reader = _reader(path)
    header, trailer = _metadata(path, reader)
    row = reader.schema.field(0).type
    if row != pa.binary(header.row_bytes):
        raise _damaged(path, f"rows of {row} cannot have shape {list(header.shape)}")
    chunks = [_view(path, reader.get_batch(i), header) for i in range(reader.num_record_batches - 1)]
    if sum(map(len, chunks)) != trailer.count or trailer.count < 1:
        raise _damaged(path, f"it does not hold the {trailer.count} rows it should")
    return header, trailer, chunks


def _reader(path: Path) -> Any:
    """Open an Arrow file.

    Raises:
        InputError: not an Arrow file, or one that is cut short.
    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowException, OSError) as error:
        with path.open("rb") as file:
            is_arrow = file.read(6) == b"ARROW1"
        fault = "is cut short or damaged: pack it again" if is_arrow else "is not a packed set"
        raise InputError(f"{path}: {fault}") from error


def _metadata(path: Path, reader: Any) -> tuple[Header, Trailer]:
    first = (reader.schema.metadata or {}).get(_KEY)
    if first is None or len(reader.schema) != 1:
        raise InputError(f"{path}: is an Arrow file, but not a packed set; make one with 'gan-search data pack'")
    try:
        fields = json.loads(first)
        version = fields["version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise InputError(
                f"{path}: is of packed format {version}, newer than {FORMAT_VERSION} as read here: upgrade"
            )
        _, last = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
        header, trailer = _parse(Header, fields), _parse(Trailer, json.loads(last[_KEY]))
    except (ValueError, KeyError, TypeError, pa.ArrowException, OSError, IndexError) as error:
        raise _damaged(path, "its metadata cannot be read") from error
    if (header.dtype, len(header.shape)) not in _KINDS or min(header.shape) < 1:
        raise _damaged(path, f"rows of {header.dtype} {list(header.shape)}")
    return header, trailer


def _parse(kind: type[Any], fields: dict[str, Any]) -> Any:
    """Make a Header or Trailer from JSON; KeyError or TypeError if a field is missing or of a wrong type."""
    values = {}
    for name, annotation in get_type_hints(kind).items():
        value = fields[name]
        values[name] = tuple(value) if isinstance(value, list) else value
        if not _is(values[name], annotation):
            raise TypeError(name)
    return kind(**values)


def _is(value: Any, annotation: Any) -> bool:
    """Tell whether a value has a type, of the kinds that the fields of Header and Trailer have."""
    if get_origin(annotation) is UnionType:
        return any(_is(value, member) for member in get_args(annotation))
    if get_origin(annotation) is not tuple:
        return type(value) is annotation
    items = get_args(annotation)
    if items[-1] is ...:
        return isinstance(value, tuple) and all(_is(item, items[0]) for item in value)
    return isinstance(value, tuple) and len(value) == len(items) and all(map(_is, value, items))


def _view(path: Path, batch: Any, header: Header) -> np.ndarray:
    """Return the rows of a record batch as an array [n, *shape] that views the mapped file."""
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise _damaged(path, error) from error
    column = batch.column(0)
    if column.null_count:
        raise _damaged(path, "it has rows without content")
    count = len(column) * int(np.prod(header.shape))
    offset = column.offset * header.row_bytes
    flat = np.frombuffer(column.buffers()[1], header.dtype, count, offset)
    return flat.reshape(-1, *header.shape)


def _parts(path: Path, header: Header, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training rows and of the held-out rows, each in order."""
    is_held_out = np.zeros(count, bool)
    if header.held_out is None:
        held_out = max(1, round(count * HELD_OUT_SHARE)) if count > 1 else 0
        is_held_out[np.random.default_rng(HELD_OUT_SEED).permutation(count)[:held_out]] = True
    else:
        start, stop = header.held_out
        if not 0 <= start <= stop <= count or stop - start == count:
            raise _damaged(path, f"it holds out rows {start} to {stop} of {count}")
        is_held_out[start:stop] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
