"""Measures a trial's share of a GPU (`--gpus-per-trial auto`), so that trials which share one fit into its memory."""

from __future__ import annotations

import math
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gan.checks.gpu_memory import memory_taken
from gan.errors import InputError
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import Recipe
from gan.settings import Choices
from gan.terminal import note
from search.cluster import mps
from search.cluster.nodes import nodes_for_trials, wait_for_answer
from search.plan.spec import RunSpec

FILLED = 0.9
"""Share of a GPU's memory that trials may fill. Measurements vary a little."""
MOST = 16
"""Most trials on a GPU that runs them side by side: their total speed grows up to there (`benchmarks/gpu.py`)."""
MOST_IN_TURNS = 2
"""Most trials on a GPU where they take turns: one trains while the other evaluates or writes."""


def with_measured_share(spec: RunSpec, recipes: dict[str, Recipe], evaluator: Evaluator) -> RunSpec:
    """Return the spec with the share of a GPU that its largest trial takes, instead of a whole GPU.

    Every node with a GPU measures. The node that fits fewest trials decides for all.

    Raises:
        InputError: a node cannot train the largest settings, for another reason than its GPU's memory; or no node with
            a GPU holds a trial.
    """
    largest = [variant for recipe in recipes.values() for variant in largest_settings(recipe)]
    nodes = [node for node in nodes_for_trials(spec) if node["Resources"].get("GPU")]
    if not nodes:
        raise InputError(
            "--gpus-per-trial auto: no node with a GPU has room for a trial; ask for fewer --cpus-per-trial"
        )
    answers = [_ask(node["NodeID"], spec, largest, evaluator) for node in nodes]
    fewest = MOST
    for node, answer in zip(nodes, answers, strict=True):
        taken, total, side_by_side = _answer(node["NodeManagerAddress"], answer)
        cores = node["Resources"].get("CPU", 0.0) / node["Resources"]["GPU"]
        with_mps = trials_in_memory(taken, total, min(cores / spec.cpus_per_trial, MOST))
        trials = with_mps if side_by_side else min(with_mps, MOST_IN_TURNS)
        note(
            f"node {node['NodeManagerAddress']}: a trial takes up to {taken / 2**30:.1f} of {total / 2**30:.0f} GiB"
            f" of a GPU: {trials} to share one"
            + (f"; {with_mps}, with CUDA MPS (nvidia-cuda-mps-control -d) there" if trials < with_mps else "")
        )
        fewest = min(fewest, trials)
    # Ray counts in ten-thousandths. Rounded up, the last trial would not fit.
    return spec.model_copy(update={"gpus_per_trial": math.floor(1e4 / fewest) / 1e4})


def _ask(node: str, spec: RunSpec, largest: list[Recipe], evaluator: Evaluator) -> Any:
    on_node = NodeAffinitySchedulingStrategy(node, soft=False)
    measure = ray.remote(_measure).options(
        num_cpus=spec.cpus_per_trial, num_gpus=spec.gpus, max_retries=0, scheduling_strategy=on_node
    )
    return measure.remote(largest, spec.data, spec.size, spec.crop, spec.precision, evaluator)


def _measure(*arguments: Any) -> tuple[int, int, bool]:
    return *memory_taken(*arguments), mps.runs()


def _answer(address: str, answer: Any) -> tuple[int, int, bool]:
    waiting = "its GPU is not measured yet; it trains the largest settings, or waits for another job to free it"
    try:
        measured: tuple[int, int, bool] = wait_for_answer(address, answer, waiting)
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise InputError(
            f"node {address}: what a trial takes of its GPU cannot be measured ({reason});"
            " give --gpus-per-trial a number"
        ) from None
    return measured


def trials_in_memory(taken: int, total: int, most: float) -> int:
    """Return how many trials share a GPU: at least one, which fails by itself if it does not fit."""
    return max(1, min(int(FILLED * total // max(1, taken)), int(most)))


def largest_settings(recipe: Recipe) -> list[Recipe]:
    """Return variants of a recipe with the highest value of every number that memory depends on (width, batch, EMA).

    There is one variant for each value of a searched parameter that is no number, such as the optimiser. Other such
    parameters have the recipe's own value.
    """
    highest: dict[str, Any] = {}
    variants: list[dict[str, Any]] = [{}]
    for name, (_, space) in recipe.searchable().items():
        if isinstance(space, Choices):
            if all(isinstance(value, (int, float)) for value in space.values):
                highest[name] = max(space.values)
            else:
                variants += [{name: value} for value in space.values if value != recipe.settings[name]]
        elif space.integer or name == "ema_kimg":
            highest[name] = int(space.high) if space.integer else space.high
    return [recipe.with_settings(variant | highest) for variant in variants]
