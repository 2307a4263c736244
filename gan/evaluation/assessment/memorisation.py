"""Tests whether a generator copies its training images.

If a generator has learned a distribution, its samples are as far from the training images as held-out images
of the distribution are. Copies are nearer (Meehan, Chaudhuri & Dasgupta 2020, "A Non-Parametric Test to Detect
Data-Copying in Generative Models", arXiv:2004.05675). The held-out images define "near", so there is no
threshold to choose.

A distance is divided by the distance of that training image to its own neighbours. Otherwise a generator of
plain images would seem to copy, because plain images are crowded and everything is near to them (Alaa et al.
2022, arXiv:2102.08921, compare the same two). The fifth neighbour counts, not the nearest: many sets hold
some images twice, and next to its duplicate nothing is near.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan.evaluation.assessment.neighbours import nearest, radii
from gan.evaluation.assessment.rank_tests import Tail, rank_z, tail

FEWEST_HELD_OUT = 20
"""With fewer held-out images, copying cannot be measured."""

NEIGHBOUR = 5
"""The neighbour of a training image whose distance measures how crowded it is there; 1 is the nearest."""


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Distances of generated images to training images, compared with those of held-out real images.

    Attributes:
        copies: samples nearer to a training image than 99% of the held-out images.
        z: Mann–Whitney statistic of all distances; far below 0 if samples are nearer. It is below 0 also for
            a generator of plain or blurred images; `copies` distinguishes the two.
        p_value: one-sided p-value of z.
        searched: number of training images among which neighbours were searched.
        held_out: number of held-out images in the comparison.
        order: indices of generated images, the nearest to a training image first, int64 [N].
        ratio: median distance of generated images divided by that of held-out images.
    """

    copies: Tail
    z: float
    p_value: float
    searched: int
    held_out: int
    order: np.ndarray
    ratio: float | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "copies": self.copies.share,
            "copies_expected": self.copies.expected,
            "copies_p_value": self.copies.p_value,
            "z": self.z,
            "z_p_value": self.p_value,
            "distance_ratio": self.ratio,
            "train_images": self.searched,
            "held_out_images": self.held_out,
        }


def memorisation(generated: Tensor, training: Tensor, held_out: Tensor) -> Memorisation | None:
    """Compare features of generated, training and held-out images, float32 [·, D].

    Returns:
        None if there are too few held-out images.
    """
    from scipy.stats import norm

    if len(held_out) < FEWEST_HELD_OUT or len(training) < 2:
        return None
    of_real, of_fake = nearest(held_out, training), nearest(generated, training)
    scale = _scale(training, torch.cat([of_real[1], of_fake[1]]))
    real, fake = _relative(*of_real, scale), _relative(*of_fake, scale)
    z = rank_z(fake, real)
    median = float(np.median(real))
    return Memorisation(
        copies=tail(fake, real),
        z=z,
        p_value=float(norm.cdf(z)),
        searched=len(training),
        held_out=len(held_out),
        order=np.argsort(fake, kind="stable"),
        ratio=float(np.median(fake)) / median if median > 0 else None,
    )


def _scale(training: Tensor, rows: Tensor) -> Tensor:
    """Return for some rows of the training images the distance to their `NEIGHBOUR`-th neighbour; 0 elsewhere."""
    scale = training.new_zeros(len(training))
    rows = rows.unique()
    scale[rows] = radii(training, min(NEIGHBOUR, len(training) - 1), rows)
    return scale


def _relative(distances: Tensor, neighbours: Tensor, scale: Tensor) -> np.ndarray:
    """Return distances in units of the neighbours' scale; NumPy float64 [N]."""
    unit = scale[neighbours].double()
    # The scale of a training image that occurs six times is 0; it is replaced by the smallest one of the others.
    known = unit[unit > 0]
    unit = unit.clamp(min=float(known.min()) if len(known) else 1.0)
    return (distances.double() / unit).cpu().numpy()
