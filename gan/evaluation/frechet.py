"""The Fréchet distance between two Gaussians (Heusel et al. 2017), in its symmetric form.

‖μr − μg‖² + tr Σr + tr Σg − 2 tr (Lᵀ Σg L)^½ with Σr = L Lᵀ, after Dowson & Landau 1982. Any factor L
works, as the matrix under the root has the eigenvalues of Σr Σg. It is symmetric and positive semi-definite,
so its eigenvalues suffice: there is no general matrix square root, there are no complex numbers, and singular
covariances are not a special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.errors import InputError
from gan.evaluation.statistics import Statistics

_BLOCK = 256  # Columns at a time.


@dataclass(frozen=True, eq=False)
class Reference:
    """The statistics of the real images, prepared once for many comparisons.

    Attributes:
        mean: float64 [D].
        factor: float64 [D, D], lower triangular: L of the covariance L Lᵀ.
        trace: trace of the covariance.
    """

    mean: Tensor
    factor: Tensor
    trace: float

    @classmethod
    def of(cls, statistics: Statistics) -> Reference:
        return cls(statistics.mean, _factor(statistics.covariance), float(statistics.covariance.trace()))

    def to(self, device: torch.device | str) -> Reference:
        return Reference(self.mean.to(device), self.factor.to(device), self.trace)

    def distance(self, other: Statistics) -> float:
        """Return the squared Fréchet distance (FID if the features are Inception's), at least 0.

        Raises:
            InputError: the statistics have another number of dimensions.
        """
        if other.mean.shape != self.mean.shape:
            raise InputError(
                f"statistics of {len(other.mean)} dimensions cannot be compared with {len(self.mean)}: "
                "they come from different feature extractors"
            )
        other = other.to(self.mean.device)
        # Rounding can make an eigenvalue of 0 slightly negative.
        cross = torch.linalg.eigvalsh(_congruent(other.covariance, self.factor)).clamp(min=0).sqrt().sum()
        shift = (self.mean - other.mean).square().sum()
        return max(0.0, float(shift + self.trace + other.covariance.trace() - 2 * cross))


def _factor(covariance: Tensor) -> Tensor:
    """Return the lower triangular L with L Lᵀ = covariance, which may be singular."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not bool(failed):
        return factor
    # With the symmetric root R = Q U: R R = RᵀR = (Q U)ᵀ(Q U) = UᵀU, so L = Uᵀ.
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return torch.linalg.qr(root, mode="r")[1].T.contiguous()


def _congruent(covariance: Tensor, factor: Tensor) -> Tensor:
    """Return the lower triangle of Lᵀ Σ L, which is all that `eigvalsh` reads.

    It is computed in blocks, with a quarter of the work of two full products: L is triangular, and only a
    triangle of the result is needed.
    """
    right = torch.zeros_like(factor)  # Σ L, from its diagonal down.
    out = torch.zeros_like(factor)
    for start in range(0, len(factor), _BLOCK):
        block = slice(start, start + _BLOCK)
        right[start:, block] = covariance[start:, start:] @ factor[start:, block]
    for start in range(0, len(factor), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block, : start + _BLOCK] = factor[start:, block].T @ right[start:, : start + _BLOCK]
    return out


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Return the squared Fréchet distance between two sets' statistics; see `Reference.distance`."""
    return Reference.of(first).distance(second)
