"""A data set of a limited number of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from gan.data.dataset import PartedSource, PartReader, Source
from gan.data.uri import with_option

_SEED = 20_150_716
"""Must never change: another seed would choose other images for every limit."""


class Subset:
    """Some rows of a source, in its order. They are chosen evenly by a fixed seed: files are often sorted by class.

    A smaller subset is part of a larger one. The held-out part keeps its share.

    Args:
        source: the source of all rows.
        limit: the largest number of rows, held-out ones included.
    """

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self.uri = with_option(source.uri, "limit", limit)
        self.shape = source.shape
        self.dtype: np.dtype[Any] = source.dtype
        self.default_features = source.default_features
        self.crop: str | None = getattr(source, "crop", None)
        self.held_out: range | None = None
        if source.held_out is None:
            self._rows = _choose(range(len(source)), limit)
        else:
            self._rows, self.held_out = _choose_both(len(source), source.held_out, limit)

    @property
    def usual_side(self) -> int | None:
        """That of the source; see `ImageFiles`."""
        return getattr(self._source, "usual_side", None)

    def fingerprint(self) -> str:
        """Return a hash of the source's fingerprint and of the row numbers."""
        digest = hashlib.sha256(f"1 {self._source.fingerprint()}\n".encode())
        digest.update(self._rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        chosen = set(self._rows.tolist())
        return (row for number, row in enumerate(self._source) if number in chosen)


class PartedSubset(Subset):
    """Some rows of a source that has `part_reader`; other rows are not read at all."""

    def part_reader(self, rows: Sequence[int]) -> PartReader:
        """Return a reader of some rows; see `Source`."""
        return cast(PartedSource, self._source).part_reader([int(self._rows[row]) for row in rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (row for row in self.part_reader(range(len(self)))() if not isinstance(row, str))


def limited(source: Source, limit: int | None) -> Source:
    """Return a source limited to `limit` rows; None returns the source itself."""
    if limit is None:
        return source
    return (PartedSubset if hasattr(source, "part_reader") else Subset)(source, limit)


def _choose(rows: range, count: int) -> np.ndarray:
    """Choose `count` of some row numbers, or all if there are fewer; return them in order."""
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:count]
    return rows.start + np.sort(chosen)


def _choose_both(total: int, held_out: range, limit: int) -> tuple[np.ndarray, range]:
    """Choose rows from both parts by their share.

    Returns:
        The row numbers in order, and the indices of those that are held out.
    """
    share = round(min(limit, total) * len(held_out) / total)
    if limit > 1:
        share = max(1, share)
    held = _choose(held_out, share)
    others = np.concatenate([np.arange(held_out.start), np.arange(held_out.stop, total)])
    training = others[_choose(range(len(others)), limit - len(held))]
    before = int((training < held_out.start).sum())
    rows = np.concatenate([training[:before], held, training[before:]])
    return rows, range(before, before + len(held))
