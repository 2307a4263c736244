"""Copies a generator out of a run."""

from __future__ import annotations

from typing import Any

from gan.bundle.files import copy_bundle
from gan.errors import InputError
from gan.metric import metric_of
from gan.storage.storage import Storage, require_empty
from search.run.record import read_record
from search.run.retention import trial_bundle

GENERATOR = "generator"
"""Folder of a run's winner, exported when a sweep ends."""

_TRIES = 5


def export_bundle(run: Storage, destination: Storage, rank: int = 1) -> dict[str, Any]:
    """Copy the bundle of the `rank`-th best trial; return {"bundle", "trial", "best_fid", "metric", "rescored"}.

    Re-scored trials come first, ranked by their new scores; `rescored` is null for the others.

    Raises:
        InputError: no such trial or its bundle was not kept, or the destination holds something.
    """
    record = read_record(run)
    ranked = record.by_evidence()
    if not ranked:
        raise InputError(f"{run.uri}: no trial has a FID yet, so there is no generator to export")
    if rank > len(ranked):
        raise InputError(f"--rank {rank}: {run.uri} has {len(ranked)} ranked trials")
    trial = ranked[rank - 1]
    rescore = record.rescored(trial)
    facts = None if rescore is None else {"rescored": rescore.as_dict()}
    require_empty(destination)
    for _ in range(_TRIES):
        bundle = trial_bundle(run, trial.id, trial.last.get("best_kimg"))
        if bundle is None:
            break
        try:
            copy_bundle(run.child(bundle), destination, facts)
        except FileNotFoundError:
            # The run goes on, and has just replaced it by a better one.
            continue
        return {
            "bundle": destination.uri,
            "trial": trial.id,
            "best_fid": trial.best_fid,
            "metric": metric_of(record.evaluation),
            "rescored": None if rescore is None else rescore.as_dict(),
        }
    raise InputError(
        f"--rank {rank}: the bundle of {trial.id} was not kept (a run keeps its best --top-k); choose a lower rank"
    )


def export_winner(run: Storage) -> dict[str, Any] | None:
    """Put the best generator so far into the run's own `generator/`; None if there is none."""
    ranked = read_record(run).by_evidence()
    if not ranked or trial_bundle(run, ranked[0].id) is None:
        return None
    run.delete(GENERATOR)
    return export_bundle(run, run.child(GENERATOR))
