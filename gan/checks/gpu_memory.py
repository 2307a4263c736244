"""How much GPU memory a training takes."""

from __future__ import annotations

import torch

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.errors import OutOfMemory
from gan.evaluation.evaluator import Evaluation, Evaluator
from gan.recipe.recipe import Recipe
from gan.tensors.latents import fixed_latents
from gan.training.cuda_graph import WARM_UP
from gan.training.trainer import Trainer

CYCLES = WARM_UP + 2
"""Optimisers allocate their moments in the first cycle, and a recorded cycle has memory of its own."""


def memory_taken(
    recipes: list[Recipe], uri: str, size: int | None, crop: str | None, precision: str, evaluator: Evaluator
) -> tuple[int, int]:
    """Train and evaluate each recipe briefly on this node's GPU; return the most bytes taken, and the GPU's total.

    The device counts them, so that the CUDA context of the process is included. A recipe that does not fit takes the
    total.
    """
    data = open_data(uri, size, crop=crop)
    taken = 0
    for recipe in recipes:
        try:
            train_and_judge(recipe, data, "cuda", precision, evaluator)
        except (torch.OutOfMemoryError, OutOfMemory):
            taken = torch.cuda.mem_get_info()[1]
        free, total = torch.cuda.mem_get_info()
        taken = max(taken, total - free)
        torch.cuda.empty_cache()
    return taken, total


def train_and_judge(
    recipe: Recipe, data: DataSet, device: str, precision: str, evaluator: Evaluator
) -> tuple[Trainer, Evaluation]:
    """Train `CYCLES` cycles of a recipe and evaluate it; return the trainer and the evaluation."""
    trainer = Trainer(recipe, data, device=device, precision=precision)
    settings = recipe.training
    trainer.advance(CYCLES * settings.batch * recipe.objective.n_critic)
    latents = fixed_latents(settings.latent, evaluator.samples, settings.latent_dim, evaluator.identity.latent_seed)
    evaluation = evaluator.to(trainer.device).evaluate(
        lambda start, count: trainer.sample(latents[start : start + count])
    )
    return trainer, evaluation
