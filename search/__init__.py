"""What a sweep does with trials: search space, Optuna, ASHA, Ray Tune, the journal. No tensor maths here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.compare import Compare
    from search.plan.spec import CompareSpec, SweepSpec
    from search.sweep import Sweep

__all__ = ["Compare", "CompareSpec", "Sweep", "SweepSpec"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: Ray takes seconds, and `status` and `report` do without it.
    homes = {
        "Compare": "search.compare",
        "CompareSpec": "search.plan.spec",
        "Sweep": "search.sweep",
        "SweepSpec": "search.plan.spec",
    }
    if name not in homes:
        raise AttributeError(f"module 'search' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(homes[name]), name)
