"""The rules by which a training has failed.

There are four signs of failure:

- a loss or a weight is not finite;
- a loss exceeds `Objective.loss_limit`;
- the discriminator dominates: its loss stays at zero while the generator's climbs, FID no longer improves, and it never
  was better than that of a single image;
- the samples have collapsed to one image.

The first two end a training at once. The last two must persist, because healthy trainings show them for a while: the
discriminator nearly always leads early, and a young generator draws a uniform grey.
"""

from __future__ import annotations

import math

from gan.evaluation.evaluator import COLLAPSED_SPREAD
from gan.objectives import Objective
from gan.training.trainer import CycleStats

DOMINATED_CHECKS = 2
"""Loss checks in a row at which the discriminator must dominate: half of a report's (see `run.LOSS_CHECKS`).

Chosen on recorded trials. With four or six, fewer failed trials end in time, and no more of the best survive.
"""

LEARNT = 1.0
"""A generator whose best FID is below this multiple of a single image's has learnt, even if D dominates.

Without this rule, 7 of the 333 best recorded trials would be ended, and most trials ended for dominance would be of the
better half. With it, none is (`benchmarks/judge_divergence.py`).
"""

GROWTH = 1.2
"""Samples whose spread has grown by this factor since the last report do not count as collapsed."""

YOUNG_KIMG = 3.0
"""Before this a generator cannot have collapsed: its first images are all alike."""

COLLAPSED_KIMG = 1.0
"""How long samples must have been one image, at two reports or more."""


class FailureDetector:
    """Watches one training, and tells the reason if it has failed.

    Args:
        objective: of the training.
        shape: of a row of the data.
        single_image_fid: FID of a generator that always draws the same, most typical image
            (`Evaluator.single_image_fid`).
    """

    def __init__(self, objective: Objective, shape: tuple[int, ...], single_image_fid: float) -> None:
        self._single_image_fid = single_image_fid
        self._objective = objective
        self._limit = objective.loss_limit(shape)
        self._dominated = 0
        self._collapsed_since = math.inf
        self._collapsed_spread = 0.0
        self._best_fid = math.inf
        self._last_d_loss = math.inf
        self._last_g_loss = -math.inf

    def check_losses(self, stats: CycleStats) -> str | None:
        """Return why the training has failed, judged by the losses of some cycles; None if it has not."""
        d_loss, g_loss = stats.mean("d_loss"), stats.mean("g_loss")
        if not stats.finite:
            return "not finite: a loss or a weight is NaN or infinite"
        for name, loss in (("g_loss", g_loss), ("d_loss", d_loss)):
            if abs(loss) > self._limit:
                return f"exploding: {name} is {loss:.3g}, beyond ±{self._limit:.4g}"
        self._count_dominance(d_loss, g_loss)
        return None

    def _count_dominance(self, d_loss: float, g_loss: float) -> None:
        # The slack counts a loss that fluctuates at its ceiling as climbing.
        climbing = g_loss >= self._last_g_loss - 0.1 * abs(self._last_g_loss)
        dominated = climbing and self._objective.dominated(d_loss, g_loss)
        self._dominated = self._dominated + 1 if dominated else 0
        self._last_d_loss, self._last_g_loss = d_loss, g_loss

    def check_samples(self, kimg: float, fid: float | None, spread: float | None) -> str | None:
        """Return why the training has failed, judged by an evaluation; None if it has not.

        Args:
            kimg: thousands of real images shown so far.
            fid: None if the samples' features are not finite.
            spread: pixel spread of the samples divided by that of real images.
        """
        if fid is None or spread is None:
            return "not finite: the samples are not images"
        if self._has_collapsed(kimg, spread):
            return f"collapsed: the samples vary {spread:.1%} as much as real images do"
        improved = fid < self._best_fid
        self._best_fid = min(fid, self._best_fid)
        if improved or self._best_fid < LEARNT * self._single_image_fid:
            # The generator learns, or has learnt, whatever the losses say.
            self._dominated = 0
        if self._dominated >= DOMINATED_CHECKS:
            return f"dominated: d_loss is at {self._last_d_loss:.2g} while g_loss climbs ({self._last_g_loss:.3g})"
        return None

    def _has_collapsed(self, kimg: float, spread: float) -> bool:
        """Tell whether the samples have been one image for long enough, without becoming more varied."""
        if spread >= COLLAPSED_SPREAD or kimg < YOUNG_KIMG:
            self._collapsed_since = math.inf
        elif kimg < self._collapsed_since or spread > GROWTH * self._collapsed_spread:
            self._collapsed_since, self._collapsed_spread = kimg, spread
        return kimg - self._collapsed_since >= COLLAPSED_KIMG

    def state_dict(self) -> dict[str, float]:
        return {name: getattr(self, f"_{name}") for name in _STATE}

    def load_state_dict(self, state: dict[str, float]) -> None:
        for name in _STATE:
            setattr(self, f"_{name}", state[name])


_STATE = ("dominated", "collapsed_since", "collapsed_spread", "best_fid", "last_d_loss", "last_g_loss")
