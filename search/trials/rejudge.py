"""Judging the generators of a run again on fresh latents, once all trials have ended."""

from __future__ import annotations

from typing import Any

import ray

from gan.evaluation.assessment.rejudge import fresh_seed, rejudge_bundle
from gan.storage.storage import Storage
from gan.terminal import progress_bar
from search.run.record import SweepRecord
from search.run.retention import trial_bundle
from search.trials.launch import RunContext, SweepHalted


def bundles_to_rejudge(run: Storage, record: SweepRecord, draws: int) -> dict[str, str]:
    """Return the bundles that are still to be judged: trial → path in the run."""
    short = [trial.id for trial in record.trials.values() if trial.final and len(trial.draws) < draws]
    bundles = {trial: trial_bundle(run, trial) for trial in short}
    return {trial: path for trial, path in bundles.items() if path is not None}


def rejudge(run: Storage, context: RunContext, draws: int, *, quiet: bool) -> None:
    """Judge each trial's best generator on `draws` draws of latents, on the cluster, into the journal.

    Raises:
        SweepHalted: a bundle cannot be read, or a worker cannot judge it.
    """
    owed = bundles_to_rejudge(run, context.record, draws)
    first = fresh_seed(context.evaluator)
    seeds = list(range(first, first + draws))
    spec = context.spec
    judge = ray.remote(rejudge_bundle).options(num_cpus=spec.cpus_per_trial, num_gpus=spec.gpus)
    shared = ray.put(context.evaluator)
    waiting = list(owed)
    running: dict[Any, str] = {}
    with progress_bar("latent draws", quiet) as progress:
        while waiting or running:
            if context.owner.lost:
                raise SweepHalted("another driver has taken this run over")
            while waiting and len(running) < (spec.concurrent or len(owed)):
                trial = waiting.pop(0)
                place = run.child(owed[trial]).uri
                running[judge.remote(place, shared, seeds, spec.worker_device, spec.worker_threads)] = trial
            for ready in ray.wait(list(running), timeout=5)[0]:
                trial = running.pop(ready)
                fids = _result(ready, trial)
                context.journal.append("draws", trial=trial, latent_seeds=seeds, fids=fids)
                context.record.trials[trial].draws = fids
                progress(len(owed) - len(waiting) - len(running), len(owed))


def _result(ready: Any, trial: str) -> list[float | None]:
    try:
        fids: list[float | None] = ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        raise SweepHalted(f"{trial}: its generator could not be judged: {_reason(error.cause)}") from None
    except ray.exceptions.RayError as error:
        raise SweepHalted(f"{trial}: its generator could not be judged: {_reason(error)}") from None
    return fids


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
