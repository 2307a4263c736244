"""What a sweep does with trials: search space, Optuna, ASHA, Ray Tune, the journal. No tensor maths here.

>>> from search import open_run
>>> open_run("results/demo").best.best_fid
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.compare import Compare
    from search.plan.spec import CompareSpec, SweepSpec
    from search.report.data.report_data import ReportData
    from search.sweep import Sweep
    from search.trials.launch import Launch

__all__ = ["Compare", "CompareSpec", "Sweep", "SweepSpec", "open_run", "resume"]

_HOMES = {
    "Compare": "search.compare",
    "CompareSpec": "search.plan.spec",
    "Sweep": "search.sweep",
    "SweepSpec": "search.plan.spec",
}


def open_run(run: str, storage: str = "results") -> ReportData:
    """Read a run in whatever state it is: trials, curves, the best generator, settings.

    Args:
        run: its folder or URI, or its name in `storage`.

    Raises:
        InputError: there is no such run, or a newer version made it.
    """
    from search.report.data.collect import collect
    from search.run.run_folder import open_run

    return collect(open_run(run, storage))


def resume(run: str, storage: str = "results", **changes: Any) -> Launch:
    """Return a run, ready to go on: `resume("results/demo", more_trials=20).run()`.

    Args:
        run: its folder or URI, or its name in `storage`.
        changes: `more_trials`, `finalists` and `finish` of a sweep, `more_seeds` of a comparison.

    Raises:
        InputError: there is no such run, or it cannot change so.
    """
    from search.run.run_folder import open_run
    from search.sweep import resume

    return resume(open_run(run, storage), **changes)


def __getattr__(name: str) -> Any:
    # Imported on first use: Ray takes seconds, and `status` and `report` do without it.
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
