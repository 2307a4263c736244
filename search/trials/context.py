"""What the steps of a launch share."""

from __future__ import annotations

from dataclasses import dataclass

from gan.evaluation.evaluator import Evaluator
from gan.storage.storage import Storage
from search.cluster.cluster import OnShutdown
from search.plan.preflight import Plan
from search.plan.spec import RunSpec
from search.run.journal import Journal
from search.run.owner import Owner
from search.run.record import SweepRecord


@dataclass(frozen=True)
class RunContext:
    """A run that this process drives.

    Attributes:
        plan: what passed the checks.
        spec: with GPUs filled in.
        run: the run's folder; operations on it are retried.
        record: kept up to date.
        evaluator: with the reference statistics, computed once.
        on_shutdown: takes functions that are called after Ray has ended.
        origin: see `search.trials.trial.TrialContext`.
    """

    plan: Plan
    spec: RunSpec
    run: Storage
    record: SweepRecord
    journal: Journal
    evaluator: Evaluator
    owner: Owner
    on_shutdown: OnShutdown
    origin: Storage | None = None
