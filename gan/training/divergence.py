"""When losses and samples say that a training is lost.

Four signs, each judged against what the objective can mean:

- a loss or a weight is not finite;
- a loss explodes beyond `Objective.loss_limit` (a clipped critic's loss of thousands);
- the discriminator's loss stays at zero while the generator's climbs, FID no longer improves, and never was better than
  that of a single image;
- the samples have collapsed to one image.

The first two end a training at once. The last two must persist, since healthy trainings show them
in passing: early on the discriminator nearly always leads, and a young generator draws one grey.
"""

from __future__ import annotations

import math

from gan.evaluation.evaluator import COLLAPSED_SPREAD
from gan.objectives import Objective
from gan.training.trainer import CycleStats

DOMINATED_WINDOWS = 2
"""Windows in a row under a winning discriminator: the second half of a report's training (see `run.WINDOWS`).

Chosen on recorded trials: no more end one of the best, and more lost ones end in time, than with four or six.
"""

LEARNT = 1.0
"""Share of the distance of a single image below which a generator has learnt, whoever is winning.

Without it 7 of 333 of the best recorded trials would be ended, and most of what a winning discriminator ended would
have been of the better half; with it none is (`benchmarks/judge_divergence.py`).
"""

GROWTH = 1.2
"""By how much the spread of samples must have grown since the last report not to count as collapsed."""

YOUNG_KIMG = 3.0
"""Before that a generator cannot have collapsed: its first images are all alike."""

COLLAPSED_KIMG = 1.0
"""For how long samples must have been one image, and at two reports at least."""


class FailureDetector:
    """Watches one training; says why it is lost, or None.

    Args:
        objective: knows the meaning of its losses.
        shape: of a row of the data.
        single: FID of a generator that always draws the same image, the most typical there could be
            (`Evaluator.single_image_fid`).
    """

    def __init__(self, objective: Objective, shape: tuple[int, ...], single: float) -> None:
        self._single = single
        self._objective = objective
        self._limit = objective.loss_limit(shape)
        self._dominated = 0
        self._collapsed_since = math.inf
        self._collapsed_spread = 0.0
        self._best_fid = math.inf
        self._last_d_loss = math.inf
        self._last_g_loss = -math.inf

    def losses(self, window: CycleStats) -> str | None:
        """Judge one stretch of training by its losses."""
        d_loss, g_loss = window.mean("d_loss"), window.mean("g_loss")
        if not window.finite:
            return "not finite: a loss or a weight is NaN or infinite"
        for name, loss in (("g_loss", g_loss), ("d_loss", d_loss)):
            if abs(loss) > self._limit:
                return f"exploding: {name} is {loss:.3g}, beyond ±{self._limit:.4g}"
        self._count_dominance(d_loss, g_loss)
        return None

    def _count_dominance(self, d_loss: float, g_loss: float) -> None:
        # "Climbs" with some slack: a loss that has reached its ceiling only trembles there.
        climbing = g_loss >= self._last_g_loss - 0.1 * abs(self._last_g_loss)
        dominated = climbing and self._objective.dominated(d_loss, g_loss)
        self._dominated = self._dominated + 1 if dominated else 0
        self._last_d_loss, self._last_g_loss = d_loss, g_loss

    def samples(self, kimg: float, fid: float | None, spread: float | None) -> str | None:
        """Judge one evaluation.

        Args:
            kimg: thousands of real images shown so far.
            fid: None where the samples' features are not finite.
            spread: of the samples' pixels, as a share of that of real images.
        """
        if fid is None or spread is None:
            return "not finite: the samples are not images"
        if self._has_collapsed(kimg, spread):
            return f"collapsed: the samples vary {spread:.1%} as much as real images do"
        improved = fid < self._best_fid
        self._best_fid = min(fid, self._best_fid)
        if improved or self._best_fid < LEARNT * self._single:
            # Whatever the losses say, the generator gets somewhere, or has got there.
            self._dominated = 0
        if self._dominated >= DOMINATED_WINDOWS:
            return f"dominated: d_loss is at {self._last_d_loss:.2g} while g_loss climbs ({self._last_g_loss:.3g})"
        return None

    def _has_collapsed(self, kimg: float, spread: float) -> bool:
        """Tell whether the samples have been one image for long enough, without growing apart."""
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
