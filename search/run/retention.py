"""Which files stay: the bundles of the whole sweep's best K trials, and what running trials need.

After a re-scoring the winner's bundle stays too, even if the winner is not among the K by the sweep's own numbers.
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
    """Return the path, within the run, of a trial's best bundle; None if it has none.

    Args:
        kimg: when it was the best. There may be another bundle, from a process that was cut off before it reported.
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
    """After a trial's verdict: keep its bundle if it is among the best, delete what is not needed.

    The order matters: first the bundle is copied to `best/`, then the trial's own files and other bundles are deleted.
    A sweep that is killed in between has its best K, and may do this again.
    """
    finals = [final for final in record.ranked() if final.final]
    # The best by a re-scoring may not be among the best by the search's own numbers.
    rescored = {best.id for best in record.by_evidence()[:1] if record.rescored(best) is not None}
    winners = {winner.id for winner in finals[:top_k]} | rescored
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
