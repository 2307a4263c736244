"""Whether a generator copies what it was trained on.

Samples of a generator that has learned a distribution lie as far from the training images as held-out
images of that distribution do; copies lie nearer (Meehan, Chaudhuri & Dasgupta 2020, "A Non-Parametric
Test to Detect Data-Copying in Generative Models", arXiv:2004.05675). Held-out images are the measure
of "near", so that nothing here is a matter of taste.

A distance is taken relative to how far that training image is from its own neighbours: where images
are crowded, as plain ones are, everything is near, and a generator that draws plain images would pass
for one that copies (Alaa et al. 2022, arXiv:2102.08921, compare the same two). Not its nearest one
counts but its fifth: many sets hold some images twice, and next to its double nothing is near.
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
"""Under this many held-out images there is nothing to measure by."""

NEIGHBOUR = 5
"""Which of a training image's neighbours tells how crowded it is there, the nearest being the first."""


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Distances of generated images to training images, against those of held-out real images.

    Attributes:
        copies: samples nearer to a training image than all but 1% of the held-out images are.
        z: Mann–Whitney statistic of all distances; far below 0 where samples are the nearer ones. A
            generator whose images are merely plain or blurred comes below 0 too: it is `copies` that
            tells the two apart.
        p_value: one-sided, of z.
        searched: training images among which neighbours were looked for.
        held_out: held-out images that they were compared with.
        order: generated images, the nearest to a training image first, int64 [N].
        ratio: median distance of generated images over that of held-out ones.
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
        None where the held-out images are too few to say anything.
    """
    from scipy.stats import norm

    if len(held_out) < FEWEST_HELD_OUT or len(training) < 2:
        return None
    theirs, ours = nearest(held_out, training), nearest(generated, training)
    scale = _surroundings(training, torch.cat([theirs[1], ours[1]]))
    real, fake = _relative(*theirs, scale), _relative(*ours, scale)
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


def _surroundings(training: Tensor, wanted: Tensor) -> Tensor:
    """Return, for the training images that are `wanted`, the distance to their `NEIGHBOUR`-th; 0 elsewhere."""
    scale = training.new_zeros(len(training))
    rows = wanted.unique()
    scale[rows] = radii(training, min(NEIGHBOUR, len(training) - 1), rows)
    return scale


def _relative(distances: Tensor, neighbours: Tensor, scale: Tensor) -> np.ndarray:
    """Return distances in units of the neighbours' surroundings; NumPy float64 [N]."""
    unit = scale[neighbours].double()
    # A training image that is there six times has none: by the smallest unit of the others.
    known = unit[unit > 0]
    unit = unit.clamp(min=float(known.min()) if len(known) else 1.0)
    return (distances.double() / unit).cpu().numpy()
