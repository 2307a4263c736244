"""What trainings take of a GPU's memory."""

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
"""Optimisers make their moments in the first: only from the second on is everything there at once. And where cycles are
recorded, the recording has memory of its own."""


def memory_taken(
    recipes: list[Recipe], uri: str, size: int | None, crop: str | None, precision: str, evaluator: Evaluator
) -> tuple[int, int]:
    """Train some cycles of each recipe on this node's GPU, evaluate, and return the bytes taken at most, and in all.

    What the device says, not PyTorch: the driver's part for each process is in it. All of it, where a recipe does not
    fit.
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
    """Train `CYCLES` of a recipe, and evaluate; return the trainer, and what was found."""
    trainer = Trainer(recipe, data, device=device, precision=precision)
    settings = recipe.training
    trainer.advance(CYCLES * settings.batch * recipe.objective.n_critic)
    latents = fixed_latents(settings.latent, evaluator.samples, settings.latent_dim, evaluator.identity.latent_seed)
    found = evaluator.to(trainer.device).evaluate(lambda start, count: trainer.sample(latents[start : start + count]))
    return trainer, found
