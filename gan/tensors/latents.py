"""Latents: random vectors for training, fixed ones for repeatable samples, and paths between them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LATENTS = ("gaussian", "spherical", "uniform")


def draw_latents(kind: str, count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Draw latents [count, dim] on the generator's device, for training.

    gaussian: N(0, 1). spherical: the same normalised to radius √dim, where the mass of a high-dimensional
    Gaussian lies (White 2016, arXiv:1609.04468). uniform: U(−1, 1).
    """
    device = generator.device
    if kind == "uniform":
        return torch.rand(count, dim, device=device, generator=generator).mul_(2).sub_(1)
    return _shape(kind, torch.randn(count, dim, device=device, generator=generator))


def fixed_latents(kind: str, count: int, dim: int, seed: int) -> Tensor:
    """Return latents [count, dim] on the CPU that depend only on the seed.

    NumPy draws them, so they are the same on every device. A larger count begins with the same latents.
    """
    random = np.random.default_rng(seed)
    if kind == "uniform":
        return torch.from_numpy(random.uniform(-1, 1, (count, dim)).astype(np.float32))
    return _shape(kind, torch.from_numpy(random.standard_normal((count, dim), dtype=np.float32)))


def _shape(kind: str, gaussian: Tensor) -> Tensor:
    if kind == "spherical":
        return gaussian * (gaussian.shape[1] ** 0.5 / gaussian.norm(dim=1, keepdim=True))
    return gaussian


# ---- paths through the latent space


def between(kind: str, first: Tensor, last: Tensor, fractions: Tensor) -> Tensor:
    """Interpolate between two latents [dim]; return latents [n, dim].

    Args:
        kind: one of `LATENTS`; the path stays where latents of this kind are likely.
        first, last: the ends.
        fractions: [n] numbers from 0 (the first) to 1 (the last).
    """
    if kind == "uniform":
        return _straight(first, last, fractions)
    return _slerp(first, last, fractions)


def round_trip(kind: str, corners: Tensor, steps: int) -> Tensor:
    """Return latents [steps, dim] on a closed path through all `corners` [k, dim], from the first of them."""
    legs = len(corners)
    places = torch.arange(steps, dtype=torch.float64) * legs / steps
    return torch.cat(
        [
            between(kind, corners[leg], corners[(leg + 1) % legs], places[(leg <= places) & (places < leg + 1)] - leg)
            for leg in range(legs)
        ]
    )


def _straight(first: Tensor, last: Tensor, fractions: Tensor) -> Tensor:
    return (first.double() + fractions.double()[:, None] * (last.double() - first.double())).float()


def _slerp(first: Tensor, last: Tensor, fractions: Tensor) -> Tensor:
    """Interpolate on the sphere (Shoemake 1985), where the mass of a Gaussian lies; a straight line leaves it."""
    t = fractions.double()[:, None]
    a, b = first.double(), last.double()
    angle = torch.arccos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    if torch.sin(angle) < 1e-6:
        return _straight(first, last, fractions)
    return ((torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)).float()
