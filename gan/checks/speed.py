"""How fast this machine trains and evaluates, measured for a moment on images of noise."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gan.data.dataset import DataSet, Rows
from gan.errors import OutOfMemory
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import Recipe
from gan.tensors.latents import fixed_latents
from gan.training.trainer import Trainer

IMAGES = 512
SAMPLES = (250, 750)
"""Numbers of samples whose evaluation is timed; from both follows what an evaluation costs beside its samples."""


@dataclass(frozen=True)
class Speed:
    """What a recipe takes on images of one shape.

    Attributes:
        rate: real images a second, in training.
        evaluation, sample: seconds that an evaluation takes, and each of its samples beside that.
    """

    rate: float
    evaluation: float
    sample: float

    def seconds(self, kimg: float, reports: float, samples: int) -> float:
        """Return how long a training takes that is evaluated so many times."""
        if not self.rate:
            return math.inf
        return kimg * 1000 / self.rate + reports * (self.evaluation + samples * self.sample)


def measure(
    recipe: Recipe,
    shape: tuple[int, ...],
    *,
    features: str = "random-conv",
    inception_weights: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    seconds: float = 0.5,
    samples: Sequence[int] = SAMPLES,
) -> Speed:
    """Train and evaluate a recipe for a moment; return how fast that was.

    Args:
        shape: of an image: height, width, channels.
        features, inception_weights, device, precision: as elsewhere.
        threads: of PyTorch, which are set for the whole process.
        seconds: that are trained at least, after a warm-up.
        samples: two numbers of samples to evaluate.

    Returns:
        A rate of 0 if a training does not fit into the memory.
    """
    try:
        return _measure(recipe, shape, features, inception_weights, device, precision, threads, seconds, samples)
    except (OutOfMemory, torch.OutOfMemoryError, MemoryError):
        return Speed(0.0, 0.0, 0.0)


def _measure(
    recipe: Recipe,
    shape: tuple[int, ...],
    features: str,
    inception_weights: Path | None,
    device: str,
    precision: str,
    threads: int,
    seconds: float,
    samples: Sequence[int],
) -> Speed:
    torch.set_num_threads(threads)
    data = _noise(shape)
    trainer = Trainer(recipe, data, device=device, precision=precision)
    cycle = recipe.training.batch * recipe.objective.n_critic

    _timed(trainer.device, partial(trainer.advance, 6 * cycle))
    shown, taken, step = 0, 0.0, cycle
    while taken < seconds:
        taken += _timed(trainer.device, partial(trainer.advance, step))
        shown, step = shown + step, min(2 * step, 64 * cycle)
    settings = recipe.training
    with tempfile.TemporaryDirectory() as cache:
        evaluator = Evaluator.prepare(
            data,
            features=features,
            samples=max(samples),
            device=trainer.device,
            inception_weights=inception_weights,
            cache_dir=Path(cache),
        )
    latents = fixed_latents(settings.latent, max(samples), settings.latent_dim, 0)
    _evaluated(trainer, evaluator, latents, samples[0])  # The first one takes longer.
    few, many = (_evaluated(trainer, evaluator, latents, count) for count in samples)
    each = max(0.0, many - few) / (samples[1] - samples[0])
    return Speed(shown / taken, max(0.0, few - each * samples[0]), each)


def _evaluated(trainer: Trainer, evaluator: Evaluator, latents: torch.Tensor, samples: int) -> float:
    evaluator.identity = dataclasses.replace(evaluator.identity, samples=samples)
    return _timed(
        trainer.device,
        lambda: evaluator.evaluate(lambda start, count: trainer.sample(latents[start : start + count])),
    )


def _timed(device: torch.device, work: Callable[[], object]) -> float:
    """Return the seconds that work takes, also on a GPU, which works on after a call has returned."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _noise(shape: tuple[int, ...]) -> DataSet:
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *shape), np.uint8)
    rows = Rows([images], np.arange(IMAGES))
    return DataSet("noise", shape, images.dtype, f"noise {shape}", "random-conv", rows, rows)
