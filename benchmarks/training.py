"""Real trainings, report by report, as recordings and live searches take them."""

from __future__ import annotations

import time

import torch
from torch import Tensor
from traces import Stretch, TracedReport

from gan.data.dataset import DataSet
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import Recipe
from gan.settings import to_images
from gan.tensors.latents import fixed_latents
from gan.training.run import LOSS_CHECKS
from gan.training.trainer import CycleStats, Trainer

HOPELESS = 2
"""Reports in a row without a finite sample after which a trial ends: NaN stays NaN."""


class Training:
    """One training on one core, whose reports come as they are asked for.

    Args:
        interval: thousands of images between two reports.
    """

    def __init__(self, recipe: Recipe, data: DataSet, evaluator: Evaluator, seed: int, interval: float) -> None:
        torch.set_num_threads(1)
        self._trainer = Trainer(recipe, data, seed=seed, device="cpu", precision="fp32")
        self._evaluator = evaluator
        self._images = to_images(interval)
        settings = recipe.training
        self._latents = fixed_latents(
            settings.latent, evaluator.samples, settings.latent_dim, evaluator.identity.latent_seed
        )

    def report(self) -> TracedReport:
        """Train one interval more, evaluate, and tell of both."""
        begin, start = time.process_time(), self._trainer.target_images
        stretches = []
        for part in range(LOSS_CHECKS):
            # The same cuts as in `gan.training.run.TrainingRun`.
            stats = self._trainer.advance(
                start + self._images * (part + 1) // LOSS_CHECKS - self._trainer.target_images
            )
            if len(stats.history):
                stretches.append(_summary(stats))
        trained = time.process_time()
        result = self._evaluator.evaluate(self._sample)
        judged = time.process_time()
        return TracedReport(result.fid, result.pixel_spread, trained - begin, judged - trained, stretches)

    def _sample(self, start: int, count: int) -> Tensor:
        return self._trainer.sample(self._latents[start : start + count])


def _summary(stats: CycleStats) -> Stretch:
    return Stretch(stats.mean("d_loss"), stats.mean("g_loss"), stats.finite)


def hopeless(reports: list[TracedReport]) -> bool:
    return len(reports) >= HOPELESS and all(report.fid is None for report in reports[-HOPELESS:])
