"""Where images start: random vectors for training, and fixed ones for samples that can be repeated."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LATENTS = ("gaussian", "spherical", "uniform")


def draw_latents(kind: str, count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Draw latents [count, dim] on the generator's device, for training.

    gaussian: N(0, 1); spherical: the same normalised to radius √dim, where a Gaussian's mass lies in
    high dimension (White 2016, arXiv:1609.04468); uniform: U(−1, 1).
    """
    device = generator.device
    if kind == "uniform":
        return torch.rand(count, dim, device=device, generator=generator).mul_(2).sub_(1)
    return _shape(kind, torch.randn(count, dim, device=device, generator=generator))


def fixed_latents(kind: str, count: int, dim: int, seed: int) -> Tensor:
    """Return latents [count, dim] on the CPU that depend on the seed alone.

    Drawn by NumPy, so they are the same on every device, and the first n of more are the same n.
    """
    random = np.random.default_rng(seed)
    if kind == "uniform":
        return torch.from_numpy(random.uniform(-1, 1, (count, dim)).astype(np.float32))
    return _shape(kind, torch.from_numpy(random.standard_normal((count, dim), dtype=np.float32)))


def _shape(kind: str, gaussian: Tensor) -> Tensor:
    if kind == "spherical":
        return gaussian * (gaussian.shape[1] ** 0.5 / gaussian.norm(dim=1, keepdim=True))
    return gaussian
