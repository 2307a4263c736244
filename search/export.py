"""Taking a generator out of a run."""

from __future__ import annotations

from typing import Any

from gan.bundle_files import copy_bundle
from gan.errors import InputError
from gan.storage import Storage
from search.journal import read_record
from search.retention import trial_bundle

GENERATOR = "generator"
"""Folder of a run's winner, exported when a sweep ends."""

_TRIES = 5


def export_bundle(run: Storage, destination: Storage, rank: int = 1) -> dict[str, Any]:
    """Copy the bundle of the trial with the `rank`-th best FID; return {"bundle", "trial", "best_fid"}.

    Raises:
        InputError: no such trial or its bundle was not kept, or the destination holds something.
    """
    ranked = read_record(run).ranked()
    if not ranked:
        raise InputError(f"{run.uri}: no trial has a FID yet, so there is no generator to export")
    if rank > len(ranked):
        raise InputError(f"--rank {rank}: {run.uri} has {len(ranked)} ranked trials")
    trial = ranked[rank - 1]
    if destination.exists() and (not destination.is_folder() or destination.list()):
        raise InputError(f"--out {destination.uri}: is not an empty folder; choose another")
    for _ in range(_TRIES):
        bundle = trial_bundle(run, trial.id)
        if bundle is None:
            break
        try:
            copy_bundle(run.child(bundle), destination)
        except FileNotFoundError:
            # The run goes on, and has just put a better one in its place.
            continue
        return {"bundle": destination.uri, "trial": trial.id, "best_fid": trial.best_fid}
    raise InputError(
        f"--rank {rank}: the bundle of {trial.id} was not kept (a run keeps its best --top-k); choose a lower rank"
    )


def export_winner(run: Storage) -> dict[str, Any] | None:
    """Put the best generator so far into the run's own `generator/`; None if there is none."""
    ranked = read_record(run).ranked()
    if not ranked or trial_bundle(run, ranked[0].id) is None:
        return None
    run.delete(GENERATOR)
    return export_bundle(run, run.child(GENERATOR))
