"""The Fréchet distance without its bias: extrapolated to infinitely many samples (Chong & Forsyth 2020).

The distance between sets of n samples exceeds the distance between the distributions by about c/n, where c
depends on the generator ("Effectively Unbiased FID and Inception Score", arXiv:1911.07023). A straight line
through distances at several n, as a function of 1/n, meets the axis at the true distance.

In the paper the reference is a whole data set. Here it is a sample of the same n, so the line removes the
bias of both sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gan.evaluation.frechet import frechet_distance
from gan.evaluation.statistics import Accumulator

POINTS = 8
SMALLEST = 5
"""The line is fitted to sizes from 1/SMALLEST of all samples to all samples."""


@dataclass(frozen=True)
class Extrapolation:
    """A straight line fitted to distances as a function of 1/n.

    Attributes:
        limit: the distance for infinitely many samples; it may be below 0 by chance if the true one is near 0.
        error: standard error of the limit, from the residuals of the fit.
        sizes, distances: the points.
    """

    limit: float
    error: float
    sizes: list[int]
    distances: list[float]


def extrapolate(generated: Tensor, real: Tensor, seed: int = 0) -> Extrapolation | None:
    """Fit the line for features of generated and real samples, float32 [N, D] and [M, D].

    Returns:
        None if there are too few samples: covariances of D dimensions from fewer than about D samples do not
        follow the line.
    """
    most, dimensions = min(len(generated), len(real)), generated.shape[1]
    least = max(most // SMALLEST, dimensions + 1)
    if most < 2 * least:
        return None
    # The sizes are evenly spaced in 1/n.
    sizes = [round(size) for size in 1 / np.linspace(1 / least, 1 / most, POINTS)]
    random = np.random.Philox(key=seed)
    distances = [_distance(_some(generated, size, random), _some(real, size, random)) for size in sizes]
    return _line(sizes, distances)


def _some(rows: Tensor, count: int, random: np.random.Philox) -> Tensor:
    """Choose rows by the ranks of raw random bits, which NumPy guarantees never to change."""
    chosen = np.argsort(random.random_raw(len(rows)), kind="stable")[:count]
    return rows[torch.from_numpy(chosen).to(rows.device)]


def _distance(generated: Tensor, real: Tensor) -> float:
    first, second = Accumulator(), Accumulator()
    first.add(generated)
    second.add(real)
    return frechet_distance(second.finish(), first.finish())


def _line(sizes: list[int], distances: list[float]) -> Extrapolation:
    """Fit distance = limit + slope / n by least squares."""
    inverse = 1 / np.array(sizes, np.float64)
    design = np.stack([np.ones_like(inverse), inverse], 1)
    (limit, slope), *_ = np.linalg.lstsq(design, np.array(distances), rcond=None)
    residuals = np.array(distances) - limit - slope * inverse
    variance = residuals @ residuals / (len(sizes) - 2)
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    return Extrapolation(float(limit), float(error), sizes, distances)
