"""What a data set is to the rest of the program, wherever its rows came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gan.data.uri import with_option
from gan.errors import InputError

MOST_UNREADABLE = 0.01
"""Share of a source's files that may be unreadable: beyond it the data is not what it was taken for."""

GREY_LOOKED_AT = 64
"""Images that are looked at to tell whether a set is grey."""

PartReader = Callable[[], Iterable[np.ndarray | str]]
"""The work of reading some rows, for each of which it gives the row, or a line on why there is none."""


class Source(Protocol):
    """Rows as they come from the user: the raw side of packing.

    Iterating yields rows in a fixed order: uint8 H×W×C for images, already cropped and resized to
    the wanted size, or float32 vectors in [-1, 1] for data that is not images.

    A source's constructor declares what it takes by the names of its parameters, any of: `path`
    (what follows the colon of its URI), `size` (pixels a side), `crop` and `channels` (1 for grey).

    It may also offer

    - `part_reader(rows)`, with a sequence of row numbers: a `PartReader` that can be pickled. Its rows are then made
      by several processes, and packing goes on after a kill. It must need little beside NumPy: not PyTorch.
    - `batches()`, an iterator of arrays [n, *shape] in the same order, where it makes many rows at once.
    - `crop`, how its images are cropped.
    - `skipped`, a line for each of its files that could not be read, complete once it has been iterated.
    """

    uri: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    default_features: str
    held_out: range | None
    """Indices of the rows the source itself holds out; None lets the packed set choose 5% by seed."""

    def fingerprint(self) -> str:
        """Return a string that changes when the content may have changed; cheap to compute."""

    def __len__(self) -> int:
        """Return how many rows there are, those included that turn out to be unreadable."""

    def __iter__(self) -> Iterator[np.ndarray]: ...


class PartedSource(Source, Protocol):
    """A source that offers `part_reader`."""

    def part_reader(self, rows: Sequence[int]) -> PartReader: ...


class Rows:
    """A read-only view of some rows of a packed set, gathered on demand from memory-mapped chunks.

    It holds views of a mapped file: other processes open the set anew rather than be sent this.

    Args:
        chunks: arrays [n, *shape] that hold all rows, one after another.
        index: which of them these are.
        hold: kept for as long as this lives: what tells others that the file is in use.
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
        wanted = self._index[positions]
        chunk_of = np.searchsorted(self._starts, wanted, side="right") - 1
        out = np.empty((len(wanted), *self._chunks[0].shape[1:]), self._chunks[0].dtype)
        for slot, (chunk, row) in enumerate(zip(chunk_of, wanted - self._starts[chunk_of], strict=True)):
            out[slot] = self._chunks[chunk][row]
        return out


@dataclass(frozen=True)
class DataSet:
    """An opened set: fixed-size rows, a training part and a held-out part.

    Attributes:
        uri: how the user named it.
        shape: of a row: (height, width, channels) for images, (features,) for vectors.
        dtype: uint8 for images, float32 (already in [-1, 1]) for vectors.
        content_hash: sha256 over shape, dtype and every row; equal sets have equal hashes.
        default_features: name of the feature extractor that fits this kind of data.
        train, held_out: the two parts; they share no row.
        source: the URI that the rows were packed from.
        crop: how its images were cropped, where they were.
        skipped: how many of its files could not be read.
        skipped_names: the first of them.
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
        """Return a line on grey images that are kept as colour; a look at some of them tells."""
        if not self.is_image or self.shape[2] != 3:
            return None
        some = some_rows(self.train, GREY_LOOKED_AT)
        if (some != some[..., :1]).any():
            return None
        if self.uri.startswith("packed:"):
            how = "pack them again, with ?channels=1 behind their source"
        else:
            how = f"give '{with_option(self.uri, 'channels', 1)}'"
        return f"{self.uri}: the images look grey, but are kept as colour; for one channel {how}"


def some_rows(rows: Rows, count: int) -> np.ndarray:
    """Return `count` rows, or all where there are fewer, spread over the whole."""
    return rows.gather(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))


def describe(dataset: DataSet) -> dict[str, Any]:
    """Return what `data info` tells of a set, ready for JSON.

    `mean` and `std` are of 1,000 training rows, in the units of the rows: 0 to 255 for images, -1 to 1
    for vectors. They are spread over the set, as the files of many are sorted by class.
    """
    some = some_rows(dataset.train, 1000)
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
        "mean": round(float(some.mean(dtype=np.float64)), 4),
        "std": round(float(some.std(dtype=np.float64)), 4),
    }


def check_skipped(uri: str, skipped: Sequence[str], total: int) -> None:
    """Raise `InputError`, listing the first of them, when too many files could not be read."""
    if len(skipped) > MOST_UNREADABLE * total:
        first = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise InputError(f"{uri}: more than {MOST_UNREADABLE:.0%} of its {total:,} images cannot be read: {first}")
