"""How much of a GPU a trial takes (`--gpus-per-trial auto`): measured, so that trials that share one never run out."""

from __future__ import annotations

import math
from typing import Any

import ray

from gan.gpu_memory import memory_taken
from gan.recipe import Recipe
from gan.settings import Choices, Range
from gan.terminal import note
from search.spec import RunSpec

FILLED = 0.9
"""Share of a GPU's memory that trials may fill: they do not all measure alike."""
MOST = 16
"""Trials on one GPU; beyond that its processes only wait for each other."""


def with_measured_share(spec: RunSpec, recipes: dict[str, Recipe]) -> RunSpec:
    """Return the spec with the share of a GPU that its largest trial takes; a whole one is filled in already."""
    largest = [largest_settings(recipe) for recipe in recipes.values()]
    measure = ray.remote(memory_taken).options(num_cpus=spec.cpus_per_trial, num_gpus=1, max_retries=0)
    taken, total = ray.get(measure.remote(largest, spec.data, spec.size, spec.crop, spec.precision))
    trials = trials_that_fit(taken, total, cores_per_gpu() / spec.cpus_per_trial)
    note(f"a trial takes up to {taken / 2**30:.1f} of {total / 2**30:.0f} GiB of a GPU: {trials} to share one")
    # Ray counts in ten-thousandths: rounded up, the last trial would find no room.
    return spec.model_copy(update={"gpus_per_trial": math.floor(1e4 / trials) / 1e4})


def trials_that_fit(taken: int, total: int, by_cores: float) -> int:
    """Return how many trials share a GPU: at least one, which will end with an error of its own if it does not fit."""
    return max(1, min(int(FILLED * total // max(1, taken)), int(by_cores), MOST))


def cores_per_gpu() -> float:
    """Return the cores there are for each GPU, on the node that has fewest."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    return min((node.get("CPU", 0.0) / node["GPU"] for node in nodes), default=0.0)


def largest_settings(recipe: Recipe) -> Recipe:
    """Return a recipe with the highest of every whole number that is searched: widths, latents, the batch."""
    highest: dict[str, Any] = {}
    for name, (_, space) in recipe.searchable().items():
        if isinstance(space, Range) and space.integer:
            highest[name] = int(space.high)
        elif isinstance(space, Choices) and all(isinstance(value, int) for value in space.values):
            highest[name] = max(space.values)
    return recipe.with_settings(highest)
