"""A part of a data set by count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from gan.data.dataset import PartedSource, PartReader, Source
from gan.data.uri import with_option

_SEED = 20_150_716
"""Fixed for all time: another seed would choose other images for every limit."""


class Subset:
    """Some rows of a source, in its order: chosen evenly by a fixed seed, as files are often sorted by class.

    A smaller subset is part of a larger one. What the source holds out keeps its share.

    Args:
        source: of all rows.
        limit: how many are wanted at most, those held out included.
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

    def fingerprint(self) -> str:
        """Return a hash of the source's fingerprint and of which rows these are."""
        said = hashlib.sha256(f"1 {self._source.fingerprint()}\n".encode())
        said.update(self._rows.astype("<i8").tobytes())
        return said.hexdigest()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        wanted = set(self._rows.tolist())
        for row, content in enumerate(self._source):
            if row in wanted:
                yield content


class PartedSubset(Subset):
    """The same of a source that can be read in pieces: other rows are not read at all."""

    def part_reader(self, rows: Sequence[int]) -> PartReader:
        """Return the work of reading some rows; see `Source`."""
        return cast(PartedSource, self._source).part_reader([int(self._rows[row]) for row in rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (row for row in self.part_reader(range(len(self)))() if not isinstance(row, str))


def limited(source: Source, limit: int | None) -> Source:
    """Return a source of at most `limit` rows of another; of all without a limit."""
    if limit is None:
        return source
    return (PartedSubset if hasattr(source, "part_reader") else Subset)(source, limit)


def _choose(rows: range, count: int) -> np.ndarray:
    """Return `count` of some row numbers, or all if there are fewer, in order."""
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:count]
    return rows.start + np.sort(chosen)


def _choose_both(total: int, held_out: range, limit: int) -> tuple[np.ndarray, range]:
    """Choose from both parts by their share; return the rows in order, and which of those are held out."""
    share = round(min(limit, total) * len(held_out) / total)
    if limit > 1:
        share = max(1, share)
    held = _choose(held_out, share)
    others = np.concatenate([np.arange(held_out.start), np.arange(held_out.stop, total)])
    kept = others[_choose(range(len(others)), limit - len(held))]
    before = int((kept < held_out.start).sum())
    rows = np.concatenate([kept[:before], held, kept[before:]])
    return rows, range(before, before + len(held))
