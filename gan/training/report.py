"""What is known of a training at one point."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

DIVERGED_SCORE = 1e9
"""What a diverged trial reports as its score: finite, and worse than any FID."""


@dataclass(frozen=True)
class Report:
    """What is known of a training at one point; its fields are the same in every report.

    The defaults describe a training that has not begun.

    Attributes:
        kimg: thousands of real images shown.
        fid: of this moment's samples; None if they were not judged.
        best_fid, best_kimg: the best so far, None before the first evaluation.
        score: what a search minimises: `best_fid`, or `DIVERGED_SCORE`.
        g_loss, d_loss, penalty: means since the last report; d_loss is without the penalty.
        diverged: 1 in the last report of a lost training, else 0.
        reason: why it is lost.
        images_per_second: real images per second of training, warm-up and evaluation excluded.
        eval_seconds, checkpoint_seconds: what this report cost beyond training.
        train_seconds: training since the last report.
        seconds: of the whole training so far, across restarts, but for the last checkpoint before each.
        spread: pixel spread of the samples as a share of that of real images.
        curve: up to 8 points [kimg, g_loss, d_loss] since the last report.
        wasserstein: the critic's estimate, mean since the last report; None where the objective makes none.
    """

    kimg: float = 0.0
    fid: float | None = None
    best_fid: float | None = None
    best_kimg: float | None = None
    score: float = DIVERGED_SCORE
    g_loss: float | None = None
    d_loss: float | None = None
    penalty: float | None = None
    diverged: int = 0
    reason: str | None = None
    images_per_second: float | None = None
    eval_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    train_seconds: float = 0.0
    seconds: float = 0.0
    spread: float | None = None
    real_score: float | None = None
    fake_score: float | None = None
    grad_norm_g: float | None = None
    grad_norm_d: float | None = None
    curve: list[list[float]] = field(default_factory=list)
    wasserstein: float | None = None

    def metrics(self) -> dict[str, Any]:
        return asdict(self)
