"""Ray Tune, set up to run the trials of a launch."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from ray import tune

from search.cluster.lost_workers import lost_workers_are_retried
from search.cluster.nodes import trials_that_fit
from search.cluster.watch import ClusterWatch, Use
from search.plan.spec import RunSpec
from search.run.record import TrialRecord
from search.trackers.remaining_time import Later
from search.trackers.terminal import Progress
from search.trackers.trackers import trackers
from search.trials.context import RunContext
from search.trials.planner import Planner
from search.trials.recorder import Halt, Recorder
from search.trials.scheduler import AshaScheduler
from search.trials.trial import TrialContext, train_trial

_log = logging.getLogger(__name__)


def run_trials(
    context: RunContext,
    planner: Planner,
    scheduler: AshaScheduler,
    remaining: int,
    *,
    quiet: bool,
    time_left: Callable[[], float | None],
    whole_time_left: Callable[[], float | None],
    later: Later,
) -> str | None:
    """Let Tune run the remaining trials; return why it had to halt, or None.

    Args:
        remaining: how many trials are not final yet, including those that do not exist yet.
        quiet: show no progress.
        time_left: returns the seconds that are left of the time budget for the trials, or None.
        whole_time_left: the same for all of the run.
        later: what follows the trials.
    """
    spec, record = context.spec, context.record
    watch = ClusterWatch()
    # On a cluster a given number of concurrent trials is kept: an autoscaler adds nodes for those that wait.
    if spec.address is None or spec.concurrent is None:
        planner.room = lambda: room_for_trials(watch.use, planner.trials.values(), spec)
    total = remaining + sum(trial.final for trial in record.trials.values())
    progress = Progress(
        record, total, watch=watch, quiet=quiet, time_left=whole_time_left, later=later, stops=scheduler.stops
    )
    _log.info("%d trials remain; each takes %g CPUs and %g GPUs", remaining, spec.cpus_per_trial, spec.gpus)
    with (
        # Nothing is resumed from Tune's own state, so it need not outlive the launch.
        tempfile.TemporaryDirectory(prefix="gan-search-", ignore_cleanup_errors=True) as scratch,
        watch,
        progress,
        trackers(context.plan.run, record, lambda: context.owner.lost) as listeners,
        lost_workers_are_retried(),
    ):
        recorder = Recorder(context, planner, scheduler, [*listeners, progress], watch=watch, notice=progress.notice)
        tune.Tuner(
            tune.with_resources(
                tune.with_parameters(train_trial, context=_trial_context(context)),
                {"cpu": spec.cpus_per_trial, "gpu": spec.gpus},
            ),
            tune_config=tune.TuneConfig(
                search_alg=planner,
                scheduler=scheduler,
                num_samples=remaining,
                max_concurrent_trials=spec.concurrent,
                time_budget_s=time_left(),
                reuse_actors=True,
                trial_dirname_creator=_trial_name,
                trial_name_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[recorder],
                stop=Halt(recorder, context.owner),
                failure_config=tune.FailureConfig(max_failures=spec.retries),
                verbose=0,
            ),
        ).fit()
    if context.owner.lost:
        return "another driver has taken this run over"
    return recorder.halted


def _trial_context(context: RunContext) -> TrialContext:
    spec = context.spec
    return TrialContext(
        recipes=context.plan.recipes,
        data=spec.data,
        size=spec.size,
        crop=spec.crop,
        evaluator=context.evaluator,
        run=context.run,
        total_kimg=spec.kimg,
        interval_kimg=spec.interval,
        threads=spec.worker_threads,
        device=spec.worker_device,
        gpus=spec.gpus,
        precision=spec.precision,
        provenance={"run": spec.name, "command": context.record.command},
        versions=context.record.versions,
        origin=context.origin,
    )


def room_for_trials(use: Use | None, trials: Iterable[TrialRecord], spec: RunSpec) -> int:
    """Return how many trials can run at once: as many as the nodes hold, less what other jobs take of them."""
    if use is None:
        return 0
    running = sum(trial.state == "running" for trial in trials)
    free = {kind: total - taken for kind, (taken, total) in (("CPU", use.cpus), ("GPU", use.gpus))}
    return min(sum(trials_that_fit(node, spec) for node in use.nodes), running + trials_that_fit(free, spec))


def _trial_name(trial: Any) -> str:
    return str(trial.config.get("trial", trial.trial_id))
