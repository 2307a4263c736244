"""Judging the generators of a run again on fresh latents, once all trials have ended."""

from __future__ import annotations

from typing import Any

import ray

from gan.evaluation.assessment.rejudge import fresh_seed, rejudge_bundle
from gan.storage.storage import Storage
from gan.terminal import progress_bar
from search.run.bundles import trial_bundle
from search.run.record import SweepRecord
from search.trials.context import RunContext
from search.trials.launch import SweepHalted


def bundles_to_rejudge(run: Storage, record: SweepRecord, draws: int) -> dict[str, str]:
    """Return the bundles that are still to be judged: trial → path in the run."""
    unjudged = [trial.id for trial in record.trials.values() if trial.final and len(trial.draws) < draws]
    bundles = {trial: trial_bundle(run, trial) for trial in unjudged}
    return {trial: path for trial, path in bundles.items() if path is not None}


def rejudge(context: RunContext, draws: int, *, quiet: bool) -> None:
    """Judge each trial's best generator on `draws` draws of latents, on the cluster; write the results to the journal.

    Raises:
        SweepHalted: a bundle cannot be read, or a worker cannot judge it.
    """
    bundles = bundles_to_rejudge(context.run, context.record, draws)
    first = fresh_seed(context.evaluator)
    seeds = list(range(first, first + draws))
    spec = context.spec
    judge = ray.remote(rejudge_bundle).options(num_cpus=spec.cpus_per_trial, num_gpus=spec.gpus)
    evaluator = ray.put(context.evaluator)
    waiting = list(bundles)
    running: dict[Any, str] = {}
    with progress_bar("latent draws", quiet) as progress:
        while waiting or running:
            if context.owner.lost:
                raise SweepHalted("another driver has taken this run over")
            while waiting and len(running) < (spec.concurrent or len(bundles)):
                trial = waiting.pop(0)
                uri = context.run.child(bundles[trial]).uri
                running[judge.remote(uri, evaluator, seeds, spec.worker_device, spec.worker_threads)] = trial
            for ready in ray.wait(list(running), timeout=5)[0]:
                trial = running.pop(ready)
                fids = _result(ready, trial)
                context.journal.append("draws", trial=trial, latent_seeds=seeds, fids=fids)
                context.record.trials[trial].draws = fids
                progress(len(bundles) - len(waiting) - len(running), len(bundles))


def _result(ready: Any, trial: str) -> list[float | None]:
    try:
        fids: list[float | None] = ray.get(ready)
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise SweepHalted(f"{trial}: its generator could not be judged: {reason}") from None
    return fids
