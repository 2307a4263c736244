"""Which files stay: bundles of the best K trials of the whole sweep, and what running trials need.

After a re-scoring that is the winner's as well, should it not be among the K by the sweep's own numbers.
"""

from __future__ import annotations

from gan.bundle.files import copy_bundle, is_bundle
from gan.settings import to_images
from gan.storage.storage import Storage
from search.run.record import SweepRecord, TrialRecord

BEST = "best"


def trial_folder(run: Storage, trial: str) -> Storage:
    """Return the folder of a trial."""
    return run.child(f"trials/{trial}")


def trial_bundle(run: Storage, trial: str, kimg: float | None = None) -> str | None:
    """Return the path, within the run, of a trial's best bundle; None if it keeps none.

    Args:
        kimg: after which it was the best; another may be there that was written as its process was cut off.
    """
    kept = f"{BEST}/{trial}"
    if is_bundle(run.child(kept)):
        return kept
    folder = trial_folder(run, trial)
    names = [name for name in folder.list("") if name.startswith("best-")] if folder.exists("") else []
    wanted = None if kimg is None else f"best-{to_images(kimg):09d}"
    whole = [name for name in sorted(names, key=lambda name: (name == wanted, name)) if is_bundle(folder.child(name))]
    return f"trials/{trial}/{whole[-1]}" if whole else None


def apply_retention(run: Storage, record: SweepRecord, trial: TrialRecord, top_k: int) -> None:
    """After a trial's final verdict: keep its bundle if it is among the best, drop what is not needed.

    The order matters. A bundle is copied to `best/` before the trial's own files go, and others go
    after it is there: killed at any point, a sweep has its best K, and doing this again ends well.
    """
    winners = {winner.id for winner in _finals(record)[:top_k]} | _rescored_best(record)
    bundle = trial_bundle(run, trial.id, trial.last.get("best_kimg"))
    if trial.id in winners and bundle is not None and bundle.startswith("trials/"):
        copy_bundle(run.child(bundle), run.child(f"{BEST}/{trial.id}"))
    folder = trial_folder(run, trial.id)
    for name in folder.list("") if folder.exists("") else []:
        if name == "checkpoints" or name.startswith("best-"):
            folder.delete(name)
    for name in run.list(BEST) if run.exists(BEST) else []:
        if name not in winners:
            run.delete(f"{BEST}/{name}")


def _rescored_best(record: SweepRecord) -> set[str]:
    """Return the best trial by better evidence than the search had, which its own numbers may not tell."""
    return {trial.id for trial in record.by_evidence()[:1] if record.rescored(trial) is not None}


def _finals(record: SweepRecord) -> list[TrialRecord]:
    return [trial for trial in record.ranked() if trial.final]
