"""Data sets as the rest of the program sees them, and the sources that they are packed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from gan.data.uri import with_option
from gan.errors import InputError

MOST_UNREADABLE = 0.01
"""Largest share of a source's files that may be unreadable; with more, it is probably not the expected data."""

GREY_CHECKED = 64
"""How many images are checked to see whether a set is grey."""

PartReader = Callable[[], Iterable[np.ndarray | str]]
"""Reads some rows of a source. For each it yields the row, or a line that says why the row cannot be read."""


class Source(Protocol):
    """The user's data before it is packed.

    Iterating yields rows in a fixed order. Images are uint8 H×W×C, already cropped and resized. Other data
    are float32 vectors in [-1, 1].

    The parameters of a source's constructor tell what it takes. Their names may be `path` (what follows the
    colon of its URI), `size` (pixels a side), `crop` and `channels` (1 for grey).

    A source may also have

    - `part_reader(rows)`, which takes row numbers and returns a `PartReader` that can be pickled. Several
      processes then read the rows, and a packing that was killed can resume. To start quickly, the reader
      should import little besides NumPy, and not PyTorch.
    - `batches()`, which yields arrays [n, *shape] in the same order, if it makes many rows at once.
    - `crop`, how its images are cropped.
    - `skipped`, one line for each file that could not be read; complete after the iteration.
    """

    uri: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    default_features: str
    held_out: range | None
    """Indices of the rows that the source itself holds out. With None, the packed set chooses 5% by seed."""

    def fingerprint(self) -> str:
        """Return a string that changes when the content may have changed. It is cheap to compute."""

    def __len__(self) -> int:
        """Return the number of rows, unreadable ones included."""

    def __iter__(self) -> Iterator[np.ndarray]: ...


class PartedSource(Source, Protocol):
    """A source that has `part_reader`."""

    def part_reader(self, rows: Sequence[int]) -> PartReader: ...


def stacked(rows: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Yield single rows as arrays [n, *shape] of `count` rows; the last array may be shorter."""
    iterator = iter(rows)
    while group := list(islice(iterator, count)):
        yield np.stack(group)


def reported(
    batches: Iterable[np.ndarray], total: int, progress: Callable[[int, int], object] | None
) -> Iterator[np.ndarray]:
    """Yield batches; after each, call `progress` with the number of rows so far and the total."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        if progress is not None:
            progress(done, total)


class Rows:
    """A read-only view of some rows of a packed set, gathered on demand from memory-mapped chunks.

    It cannot be sent to another process, which opens the set itself instead.

    Args:
        chunks: arrays [n, *shape] that hold all rows of the set in order.
        index: the row numbers of this view.
        hold: an object to keep alive with this view, such as a lock on the file.
    """

    def __init__(self, chunks: Sequence[np.ndarray], index: np.ndarray, hold: object = None) -> None:
        self._chunks = chunks
        self._index = index
        self._hold = hold
        self._starts = np.cumsum([0] + [len(chunk) for chunk in chunks])

    def __len__(self) -> int:
        return len(self._index)

    @property
    def row_bytes(self) -> int:
        """The size of one row in bytes."""
        return int(np.prod(self._chunks[0].shape[1:])) * self._chunks[0].itemsize

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """Copy the rows at `positions` (integers in [0, len)) into one array [n, *shape]."""
        rows = self._index[positions]
        chunk_of = np.searchsorted(self._starts, rows, side="right") - 1
        out = np.empty((len(rows), *self._chunks[0].shape[1:]), self._chunks[0].dtype)
        for slot, (chunk, row) in enumerate(zip(chunk_of, rows - self._starts[chunk_of], strict=True)):
            out[slot] = self._chunks[chunk][row]
        return out

    def batches(self, positions: np.ndarray | None = None, count: int = 250) -> Iterator[np.ndarray]:
        """Yield the rows at `positions` (all if None) in order, as arrays of `count` rows or fewer."""
        positions = np.arange(len(self)) if positions is None else positions
        for start in range(0, len(positions), count):
            yield self.gather(positions[start : start + count])


@dataclass(frozen=True)
class DataSet:
    """An open data set: rows of one size, split into a training part and a held-out part.

    Attributes:
        uri: the URI that the user gave.
        shape: shape of a row: (height, width, channels) for images, (features,) for vectors.
        dtype: uint8 for images, float32 (already in [-1, 1]) for vectors.
        content_hash: sha256 over shape, dtype and every row; equal sets have equal hashes.
        default_features: name of the feature extractor that fits this kind of data.
        train, held_out: the two parts; they share no row.
        source: the URI that the rows were packed from.
        crop: how the images were cropped; None if they were not.
        skipped: the number of files that could not be read.
        skipped_names: the first of these files.
    """

    uri: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    content_hash: str
    default_features: str
    train: Rows
    held_out: Rows
    source: str = ""
    crop: str | None = None
    skipped: int = 0
    skipped_names: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    def caveat(self) -> str | None:
        """Return a warning if the images are grey but kept as colour, judged by some of them; else None."""
        if not self.is_image or self.shape[2] != 3:
            return None
        images = some_rows(self.train, GREY_CHECKED)
        if (images != images[..., :1]).any():
            return None
        if self.uri.startswith("packed:"):
            advice = "pack them again, with ?channels=1 behind their source"
        else:
            advice = f"give '{with_option(self.uri, 'channels', 1)}'"
        return f"{self.uri}: the images look grey, but are kept as colour; for one channel {advice}"


def some_rows(rows: Rows, count: int) -> np.ndarray:
    """Return `count` rows at even distances, or all rows if there are fewer."""
    return rows.gather(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))


def describe(dataset: DataSet) -> dict[str, Any]:
    """Return the description of a set that `data info` prints, ready for JSON.

    `mean` and `std` are computed from 1,000 training rows, in the units of the rows: 0 to 255 for images,
    -1 to 1 for vectors. The rows are spread over the set, because files are often sorted by class.
    """
    rows = some_rows(dataset.train, 1000)
    return {
        "uri": dataset.uri,
        "shape": list(dataset.shape),
        "size": dataset.shape[0],
        "channels": dataset.shape[2] if dataset.is_image else None,
        "dtype": dataset.dtype.name,
        "train": len(dataset.train),
        "held_out": len(dataset.held_out),
        "content_hash": dataset.content_hash,
        "default_features": dataset.default_features,
        "source": dataset.source,
        "crop": dataset.crop,
        "skipped": dataset.skipped,
        "skipped_names": list(dataset.skipped_names),
        "mean": round(float(rows.mean(dtype=np.float64)), 4),
        "std": round(float(rows.std(dtype=np.float64)), 4),
    }


def check_skipped(uri: str, skipped: Sequence[str], total: int) -> None:
    """Raise `InputError` if too many files could not be read; the message names the first of them."""
    if len(skipped) > MOST_UNREADABLE * total:
        first = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise InputError(f"{uri}: more than {MOST_UNREADABLE:.0%} of its {total:,} images cannot be read: {first}")
