"""The bundles of a run: which of them stay, and copies of the best.

Those of the whole sweep's best K trials stay, with their checkpoints, and what running trials need. After a re-scoring
the winner's bundle stays too, even if the winner is not among the K by the sweep's own numbers.
"""

from __future__ import annotations

import math
from typing import Any

from gan.bundle.files import WEIGHTS, copy_bundle, is_bundle
from gan.errors import InputError
from gan.metric import metric_of
from gan.settings import to_images
from gan.storage.storage import Storage, require_empty
from search.run.record import LOST, SweepRecord, TrialRecord, read_extensions, read_record
from search.run.run_folder import EXTENDED

BEST = "best"
GENERATOR = "generator"
"""Folder of a run's winner, exported when a sweep ends."""

_TRIES = 5


def trial_bundle(run: Storage, trial: str, kimg: float | None = None) -> str | None:
    """Return the path, within the run, of a trial's best bundle; None if it has none.

    Args:
        kimg: when it was the best. There may be another bundle, from a process that was cut off before it reported.
    """
    folder, kept = run.child(f"trials/{trial}"), f"{BEST}/{trial}"
    wanted = None if kimg is None else f"best-{to_images(kimg):09d}"
    # A trial that is trained on has a kept one from before.
    if wanted is not None and is_bundle(folder.child(wanted)):
        return f"trials/{trial}/{wanted}"
    if is_bundle(run.child(kept)):
        return kept
    whole = [name for name in sorted(folder.list()) if name.startswith("best-") and is_bundle(folder.child(name))]
    return f"trials/{trial}/{whole[-1]}" if whole else None


def apply_retention(
    run: Storage, record: SweepRecord, trial: TrialRecord, top_k: int, *, checkpoints: bool = False
) -> None:
    """After a trial's verdict: keep its bundle if it is among the best, delete what is not needed.

    The order matters: first the bundle is copied to `best/`, then the trial's own files and other bundles are deleted.
    A sweep that is killed in between has its best K, and may do this again.

    Args:
        checkpoints: whether trials that keep their bundle keep their checkpoints too, so that they can be trained on.
    """
    finals = [final for final in record.ranked() if final.final]
    # The best by a re-scoring may not be among the best by the search's own numbers.
    rescored = {best.id for best in record.by_evidence()[:1] if record.rescored(best) is not None}
    winners = {winner.id for winner in finals[:top_k]} | rescored
    bundle = trial_bundle(run, trial.id, trial.last.get("best_kimg"))
    if trial.id in winners and bundle is not None and bundle.startswith("trials/"):
        copy_bundle(run.child(bundle), run.child(f"{BEST}/{trial.id}"))
    folder = run.child(f"trials/{trial.id}")
    goes_on = checkpoints and trial.id in winners and trial.state not in LOST
    for name in folder.list():
        if name.startswith("best-") or (name == "checkpoints" and not goes_on):
            folder.delete(name)
    for name in run.list(BEST):
        if name not in winners:
            run.delete(f"{BEST}/{name}")
            # One that is trained on may still begin with them.
            if not run.exists(f"{EXTENDED}/{name}"):
                run.delete(f"trials/{name}/checkpoints")


def by_generator(run: Storage, record: SweepRecord) -> list[tuple[Storage, TrialRecord]]:
    """Return the folder and the record of each trial's best generator, best first.

    That is the trial's own, or the one that further training came to if that is better. They are in the order of
    `SweepRecord.by_evidence`, but one from further training that is better than the first comes first.
    """
    ranked = record.by_evidence()
    if not ranked:
        return []
    found = {trial.id: (run, trial) for trial in ranked}
    for name, (folder, extended) in read_extensions(run).items():
        longer = extended.trials[name]
        # A generator that was not judged again cannot be compared with one that was.
        alike = name in found and record.rescored(found[name][1]) is None
        if alike and longer.best_fid is not None and longer.best_fid < _distance(found[name][1]):
            found[name] = folder, longer
    first = min(found.values(), key=lambda pair: (_distance(pair[1]), pair[0] is run))
    leads = record.rescoring is None and first[0] is not run and _distance(first[1]) < _distance(ranked[0])
    return sorted(found.values(), key=lambda pair: leads and pair is not first)


def _distance(trial: TrialRecord) -> float:
    return math.inf if trial.best_fid is None else trial.best_fid


def export_bundle(run: Storage, destination: Storage, rank: int = 1, *, overwrite: bool = False) -> dict[str, Any]:
    """Copy the bundle of the `rank`-th best generator; return where it is, and what it is.

    {"bundle", "trial", "best_fid", "kimg", "metric", "rescored"}: re-scored trials come first, ranked by their new
    scores; `rescored` is null for the others. See `by_generator`.

    Args:
        overwrite: whether a bundle that is there is replaced.

    Raises:
        InputError: no such trial or its bundle was not kept, or the destination holds something.
    """
    record = read_record(run)
    ranked = by_generator(run, record)
    if not ranked:
        raise InputError(f"{run.uri}: no trial has a FID yet, so there is no generator to export")
    if rank > len(ranked):
        raise InputError(f"--rank {rank}: {run.uri} has {len(ranked)} ranked trials")
    place, trial = ranked[rank - 1]
    rescore = record.rescored(trial) if place is run else None
    facts = None if rescore is None else {"rescored": rescore.as_dict()}
    if overwrite and f"{destination.uri}/".startswith(f"{run.uri}/"):
        raise InputError(f"--out {destination.uri}: lies in the run itself; choose a folder outside it")
    # One without a configuration was being replaced when its process ended.
    if not (overwrite and (is_bundle(destination) or destination.exists(WEIGHTS))):
        require_empty(destination)
    for _ in range(_TRIES):
        bundle = trial_bundle(place, trial.id, trial.last.get("best_kimg"))
        if bundle is None:
            break
        try:
            copy_bundle(place.child(bundle), destination, facts)
        except FileNotFoundError:
            # The run goes on, and has just replaced it by a better one.
            continue
        return {
            "bundle": destination.uri,
            "trial": trial.id,
            "best_fid": trial.best_fid,
            "kimg": trial.last.get("best_kimg"),
            "metric": metric_of(record.evaluation),
            "rescored": None if rescore is None else rescore.as_dict(),
        }
    raise InputError(
        f"--rank {rank}: the bundle of {trial.id} was not kept (a run keeps its best --top-k); choose a lower rank"
    )


def export_winner(run: Storage) -> dict[str, Any] | None:
    """Put the best generator so far into the run's own `generator/`; None if there is none."""
    ranked = by_generator(run, read_record(run))
    if not ranked or trial_bundle(ranked[0][0], ranked[0][1].id) is None:
        return None
    run.delete(GENERATOR)
    return export_bundle(run, run.child(GENERATOR))
