"""The Fréchet distance between two Gaussians (Heusel et al. 2017), in its symmetric form.

‖μr − μg‖² + tr Σr + tr Σg − 2 tr (Lᵀ Σg L)^½ with Σr = L Lᵀ, after Dowson & Landau 1982: any factor L
does, as the matrix under the root has the eigenvalues of Σr Σg. It is symmetric and positive
semi-definite, so that its eigenvalues are all that is needed: no general matrix square root, no complex
numbers, and singular covariances are no special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.errors import InputError
from gan.evaluation.statistics import Statistics

_BLOCK = 256  # columns at a time


@dataclass(frozen=True, eq=False)
class Reference:
    """The real side of the distance, with what can be computed once ahead of many comparisons.

    Attributes:
        mean: float64 [D].
        factor: float64 [D, D], lower triangular: L of the covariance L Lᵀ.
        trace: of the covariance.
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
        """Return the squared Fréchet distance (FID when the features are Inception's), never below 0.

        Raises:
            InputError: statistics of another number of dimensions.
        """
        if other.mean.shape != self.mean.shape:
            raise InputError(
                f"statistics of {len(other.mean)} dimensions cannot be compared with {len(self.mean)}: "
                "they come from different feature extractors"
            )
        other = other.to(self.mean.device)
        # Rounding leaves tiny negative eigenvalues where the true one is 0.
        cross = torch.linalg.eigvalsh(_congruent(other.covariance, self.factor)).clamp(min=0).sqrt().sum()
        shift = (self.mean - other.mean).square().sum()
        return max(0.0, float(shift + self.trace + other.covariance.trace() - 2 * cross))


def _factor(covariance: Tensor) -> Tensor:
    """Return L, lower triangular, with L Lᵀ = covariance; also where that is singular."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not bool(failed):
        return factor
    # R R = RᵀR = (Q U)ᵀ(Q U) = UᵀU, of the symmetric root R.
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return torch.linalg.qr(root, mode="r")[1].T.contiguous()


def _congruent(covariance: Tensor, factor: Tensor) -> Tensor:
    """Return the lower triangle of Lᵀ Σ L, which is all that `eigvalsh` reads; what is above is left out.

    By blocks, a quarter of the work of two whole products: L is triangular, and so is what is wanted.
    """
    right = torch.zeros_like(factor)  # Σ L, from its diagonal down
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
