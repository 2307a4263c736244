"""The Fréchet distance between two Gaussians (Heusel et al. 2017), in its symmetric form.

‖μr − μg‖² + tr Σr + tr Σg − 2 tr (Σr^½ Σg Σr^½)^½, after Dowson & Landau 1982. The matrix under the
root is symmetric and positive semi-definite, so that its eigenvalues are all that is needed: no
general matrix square root, no complex numbers, and singular covariances are no special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.errors import InputError
from gan.evaluation.statistics import Statistics


@dataclass(frozen=True, eq=False)
class Reference:
    """The real side of the distance, with what can be computed once ahead of many comparisons.

    Attributes:
        mean: float64 [D].
        root: float64 [D, D], the symmetric square root of the covariance.
        trace: of the covariance.
    """

    mean: Tensor
    root: Tensor
    trace: float

    @classmethod
    def of(cls, statistics: Statistics) -> Reference:
        values, vectors = torch.linalg.eigh(statistics.covariance)
        root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        return cls(statistics.mean, root, float(statistics.covariance.trace()))

    def to(self, device: torch.device | str) -> Reference:
        return Reference(self.mean.to(device), self.root.to(device), self.trace)

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
        product = self.root @ other.covariance @ self.root
        # Rounding leaves tiny negative eigenvalues where the true one is 0.
        cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
        shift = (self.mean - other.mean).square().sum()
        return max(0.0, float(shift + self.trace + other.covariance.trace() - 2 * cross))


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Return the squared Fréchet distance between two sets' statistics; see `Reference.distance`."""
    return Reference.of(first).distance(second)
