"""Rows drawn as lines: a picture that shows what is outside."""

from __future__ import annotations

import io

import numpy as np
import pytest
from curve_bounds import bounds, inside
from PIL import Image

from gan.data.sources.curves import Curves
from gan.plots.plots import plot_vectors


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    return next(Curves().batches())[:1000]


def halves(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return left and right half of a picture."""
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        pixels = np.asarray(image).astype(int)
    middle, gap = pixels.shape[1] // 2, 30
    return pixels[:, : middle - gap], pixels[:, middle + gap :]


def blue(pixels: np.ndarray) -> int:
    return int((pixels[..., 2] - pixels[..., 0] > 60).sum())


def test_generated_rows_are_drawn_on_the_left_and_real_ones_on_the_right(real: np.ndarray) -> None:
    left, right = halves(plot_vectors(real, real))
    assert blue(left) > 2000 and blue(right) == 0


def test_what_strays_is_drawn_outside_the_shade(real: np.ndarray) -> None:
    good, _ = halves(plot_vectors(real, real))
    stray, _ = halves(plot_vectors(real - 0.3, real))
    low = slice(int(0.86 * len(good)), int(0.89 * len(good)))  # below the lowest curve, above the axis
    assert blue(good[low, 60:]) < blue(stray[low, 60:])


def test_rows_that_are_no_numbers_do_no_harm(real: np.ndarray) -> None:
    halves(plot_vectors(np.full_like(real, np.nan), real))


def test_bounds_are_those_of_the_task(real: np.ndarray) -> None:
    low, high = bounds()
    x = np.linspace(-1, 1, 15)
    np.testing.assert_allclose((low + 1) * 1.5, x**2, atol=1e-6)
    np.testing.assert_allclose((high + 1) * 1.5, 2 * x**2 + 1, atol=1e-6)
    assert inside(real).all()
    moved = real[:3].copy()
    moved[0, 7] = low[7] - 0.04
    moved[1, 14] = high[14] + 0.06
    assert inside(moved).tolist() == [False, False, True]
    assert inside(moved, 0.05).tolist() == [True, False, True]
