"""Measurements on the machine or the cluster that a run will use, as many at once as trials will train there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gan.checks.speed import Speed
from gan.data.workers import Workers, usable_cores
from search.cluster.cluster import connected
from search.cluster.nodes import nodes_for_trials, trials_that_fit
from search.plan.budget import Measure
from search.plan.spec import RunSpec

NODES, PROCESSES = 4, 16
"""Most nodes of a cluster, and most processes of one machine, that measure."""


@contextmanager
def machine(spec: RunSpec) -> Iterator[tuple[int, Measure]]:
    """Yield how many trials train at once, and what runs a measurement as often at the same time.

    Raises:
        InputError: the cluster cannot be reached, or lacks what a trial takes.
    """
    if spec.address is not None:
        with connected(spec) as (filled, _):
            nodes = nodes_for_trials(filled)
            fitting = sum(trials_that_fit(node["Resources"], filled) for node in nodes)
            yield _at_once(spec, fitting), partial(_on_nodes, filled, nodes[:NODES])
        return
    gpus = torch.cuda.device_count() if spec.device == "auto" or spec.device.startswith("cuda") else 0
    share = spec.gpus or 1.0
    on_gpu = gpus > 0 and spec.gpus_per_trial != 0
    at_once = _at_once(spec, int(gpus / share + 1e-9) if on_gpu else usable_cores() // spec.worker_threads)
    # Trials on different GPUs do not slow one another down.
    processes = int(1 / min(1.0, share)) if on_gpu else at_once
    with Workers(min(processes, at_once, PROCESSES)) as workers:
        yield at_once, partial(_in_workers, workers)


def _at_once(spec: RunSpec, fitting: int) -> int:
    return max(1, fitting if spec.concurrent is None else min(spec.concurrent, fitting))


def _in_workers(workers: Workers, task: Callable[[], Speed]) -> list[Speed]:
    return list(workers.run([task] * workers.count))


def _on_nodes(spec: RunSpec, nodes: Sequence[dict[str, Any]], task: Callable[[], Speed]) -> list[Speed]:
    waiting = []
    for node in nodes:
        on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        remote = ray.remote(_run).options(
            num_cpus=spec.cpus_per_trial, num_gpus=spec.gpus, max_retries=0, scheduling_strategy=on_node
        )
        waiting += [remote.remote(task) for _ in range(trials_that_fit(node["Resources"], spec))]
    speeds: list[Speed] = ray.get(waiting)
    return speeds


def _run(task: Callable[[], Speed]) -> Speed:
    return task()
