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
from gan.training.run import WINDOWS
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
        for part in range(WINDOWS):
            # The same cuts as in `gan.training.run.TrainingRun`.
            window = self._trainer.advance(start + self._images * (part + 1) // WINDOWS - self._trainer.target_images)
            if len(window.history):
                stretches.append(_summary(window))
        trained = time.process_time()
        result = self._evaluator.evaluate(self._sample)
        judged = time.process_time()
        return TracedReport(result.fid, result.pixel_spread, trained - begin, judged - trained, stretches)

    def _sample(self, start: int, count: int) -> Tensor:
        return self._trainer.sample(self._latents[start : start + count])


def _summary(window: CycleStats) -> Stretch:
    return Stretch(window.mean("d_loss"), window.mean("g_loss"), window.finite)


def hopeless(reports: list[TracedReport]) -> bool:
    return len(reports) >= HOPELESS and all(report.fid is None for report in reports[-HOPELESS:])
