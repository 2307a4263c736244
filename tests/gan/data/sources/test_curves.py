"""The toy task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gan.data.packed.opening import open_data
from gan.errors import InputError


def test_rows_are_the_parabolas_they_should_be(tmp_path: Path) -> None:
    dataset = open_data("curves", cache_dir=tmp_path)
    assert (dataset.shape, dataset.dtype, dataset.is_image) == ((15,), np.float32, False)
    assert (len(dataset.train), len(dataset.held_out)) == (50_000, 5_000)
    assert dataset.default_features == "random-conv"
    y = (dataset.train.gather(np.arange(2000)).astype(np.float64) + 1) * 1.5
    offset = y[:, 7]
    slope = y[:, 0] - offset
    x = np.linspace(-1, 1, 15)
    assert np.allclose(y, slope[:, None] * x**2 + offset[:, None], atol=1e-5)
    assert (slope.min(), slope.max()) == pytest.approx((1, 2), abs=0.01)
    assert (offset.min(), offset.max()) == pytest.approx((0, 1), abs=0.01)


def test_it_takes_neither_path_nor_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="curves takes no path"):
        open_data("curves:/data", cache_dir=tmp_path)
    with pytest.raises(InputError, match="curves takes no size"):
        open_data("curves", 32, cache_dir=tmp_path)
