"""The toy task: points on parabolas. A plot shows at once whether a GAN has learnt them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

POINTS = 15
TRAIN = 50_000
HELD_OUT = 5_000
_SEED = 1


class Curves:
    """Points on a·x²+c at 15 values of x in [-1, 1], with a in [1, 2] and c in [0, 1], uniformly.

    Rows are float32 of length 15, scaled from [0, 3] to [-1, 1]. Row i is the same in every run.
    """

    uri = "curves"
    shape = (POINTS,)
    dtype: np.dtype[Any] = np.dtype(np.float32)
    default_features = "random-conv"
    held_out = range(TRAIN, TRAIN + HELD_OUT)

    def __len__(self) -> int:
        return TRAIN + HELD_OUT

    def fingerprint(self) -> str:
        """Return the version of the data; raise it when a row changes."""
        return "curves 1"

    def batches(self) -> Iterator[np.ndarray]:
        """Yield all rows as one array [55000, 15]."""
        uniform = np.random.default_rng(_SEED).random((len(self), 2))
        yield _rows(1 + uniform[:, :1], uniform[:, 1:])

    def __iter__(self) -> Iterator[np.ndarray]:
        for batch in self.batches():
            yield from batch


def bounds() -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest curve, x² and 2x²+1, as rows: float32 [15] each."""
    return _rows(1.0, 0.0), _rows(2.0, 1.0)


def inside(rows: np.ndarray, slack: float = 0.0) -> np.ndarray:
    """Return for each of the rows [n, 15] whether all its points lie between the bounds, within `slack`.

    Args:
        rows: rows as `Curves` yields them.
        slack: tolerance in the units of rows, which span 2.
    """
    low, high = bounds()
    return np.asarray(((rows >= low - slack) & (rows <= high + slack)).all(axis=1))


def _rows(a: np.ndarray | float, c: np.ndarray | float) -> np.ndarray:
    """Return a·x²+c as rows."""
    x = np.linspace(-1, 1, POINTS)
    return ((a * x**2 + c) / 1.5 - 1).astype(np.float32)
