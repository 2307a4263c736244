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
        curves = (1 + uniform[:, :1]) * np.linspace(-1, 1, POINTS) ** 2 + uniform[:, 1:]
        yield (curves / 1.5 - 1).astype(np.float32)

    def __iter__(self) -> Iterator[np.ndarray]:
        for batch in self.batches():
            yield from batch
