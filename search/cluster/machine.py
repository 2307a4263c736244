"""Measurements on the machine or the cluster that a run will use, as many at once as trials will train there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gan.checks.speed import Speed
from gan.data.workers import Workers, usable_cores
from gan.errors import InputError
from gan.tensors.device import gpu_count
from gan.terminal import one_line
from search.cluster.cluster import connected
from search.cluster.nodes import nodes_for_trials, trials_that_fit, wait_for_answer
from search.plan.budget import Measure
from search.plan.spec import RunSpec

NODES, PROCESSES = 4, 16
"""Most nodes of a cluster, and most processes of one machine, that measure."""


@contextmanager
def machine(spec: RunSpec) -> Iterator[tuple[int, Measure]]:
    """Yield how many trials train at once, and what runs a measurement as often at the same time.

    Raises:
        InputError: the cluster cannot be reached, lacks what a trial takes, or cannot measure.
    """
    if spec.address is not None:
        with connected(spec) as (filled, _):
            nodes = nodes_for_trials(filled)
            if not nodes:
                raise InputError(f"--address {spec.address}: no node of the cluster has what a trial takes")
            fitting = sum(trials_that_fit(node["Resources"], filled) for node in nodes)
            yield _at_once(spec, fitting), partial(_on_nodes, filled, nodes[:NODES])
        return
    gpus = 0 if spec.gpus_per_trial == 0 else gpu_count(spec.device)
    share = 0.0 if not gpus else spec.gpus or 1.0
    here = {"CPU": float(usable_cores()), "GPU": float(gpus)}
    at_once = _at_once(spec, trials_that_fit(here, spec.model_copy(update={"gpus_per_trial": share})))
    # Trials on different GPUs do not slow one another down.
    processes = at_once if not share else int(1 / min(1.0, share) + 1e-9)
    with Workers(min(processes, at_once, PROCESSES)) as workers:
        yield at_once, partial(_in_workers, workers)


def _at_once(spec: RunSpec, fitting: int) -> int:
    return max(1, fitting if spec.concurrent is None else min(spec.concurrent, fitting))


def _in_workers(workers: Workers, task: Callable[[], Speed]) -> list[Speed]:
    try:
        return list(workers.run([task] * workers.count))
    except RuntimeError as error:
        raise InputError(f"this machine could not be measured ({one_line(error)}); give --trials and --kimg") from None


def _on_nodes(spec: RunSpec, nodes: Sequence[dict[str, Any]], task: Callable[[], Speed]) -> list[Speed]:
    waiting = []
    for node in nodes:
        on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        remote = ray.remote(_run).options(
            num_cpus=spec.cpus_per_trial, num_gpus=spec.gpus, max_retries=0, scheduling_strategy=on_node
        )
        there = trials_that_fit(node["Resources"], spec)
        waiting += [(node["NodeManagerAddress"], remote.remote(task)) for _ in range(there)]
    speeds: list[Speed] = []
    for address, answer in waiting:
        try:
            speeds.append(wait_for_answer(address, answer, "it measures, or other work takes its cores"))
        except RayError as error:
            cause = getattr(error, "cause", None) or error
            raise InputError(f"node {address} could not be measured: {one_line(cause)}") from None
    return speeds


def _run(task: Callable[[], Speed]) -> Speed:
    return task()
