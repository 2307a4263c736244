"""What trainings take of a GPU's memory."""

from __future__ import annotations

import torch

from gan.data import open_data
from gan.recipe import Recipe
from gan.trainer import Trainer


def memory_taken(
    recipes: list[Recipe], uri: str, size: int | None, crop: str | None, precision: str
) -> tuple[int, int]:
    """Train two cycles of each recipe on this node's GPU, sample, and return the bytes taken at most, and in all.

    What the device says, not PyTorch: the driver's part for each process is in it.
    """
    data = open_data(uri, size, crop=crop)
    taken = 0
    for recipe in recipes:
        trainer = Trainer(recipe, data, device="cuda", precision=precision)
        for _ in range(2):
            trainer.advance(1)
        trainer.sample(torch.zeros(500, recipe.training.latent_dim))
        free, total = torch.cuda.mem_get_info()
        taken = max(taken, total - free)
        del trainer
        torch.cuda.empty_cache()
    return taken, total
