"""What a sweep needs of a machine, beyond what one training does: Ray, Optuna, storage, trackers, reports."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial

from gan.checks.health import Check, attempt, disk, existing, require_package
from gan.checks.health import examine as examine_training
from gan.storage.storage import Storage, writing


def examine(storage: str, address: str | None = None, *, start_ray: bool = False) -> Iterator[Check]:
    """Yield one check after the other; none of them raises.

    Args:
        storage: where runs are to be kept.
        address: of a Ray cluster to join; None for this machine alone.
        start_ray: start Ray on this machine, which takes longer than all the rest.
    """
    yield from examine_training()
    yield attempt("ray", partial(_ray, address) if start_ray or address else _ray_installed)
    yield attempt("optuna", _optuna)
    yield attempt("storage", partial(_storage, storage))
    yield attempt("report", _report)
    yield attempt("tensorboard", _tensorboard)
    yield _dashboard()


def can_run(checks: Iterable[Check]) -> bool:
    """Tell whether a sweep can run."""
    return all(check.state != "missing" for check in checks)


def _ray_installed() -> Check:
    return Check("ray", "ok", f"{require_package('ray')}, not started (--ray starts it)")


def _ray(address: str | None) -> Check:
    """Start Ray, or join the cluster: that is where it fails, not in being installed."""
    found = require_package("ray")
    import ray

    from search.cluster.cluster import connected
    from search.plan.spec import make_spec

    began = time.monotonic()
    with connected(make_spec({"address": address})):
        resources, nodes = ray.cluster_resources(), sum(node["Alive"] for node in ray.nodes())
        seconds = time.monotonic() - began
    there = ", ".join(f"{resources.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
    how = f"joined {address}" if address else f"starts in {seconds:.0f} s"
    return Check("ray", "ok", f"{found}, {how}: {there} on {nodes} node" + ("" if nodes == 1 else "s"))


def _optuna() -> Check:
    found = require_package("optuna")
    from gan.recipe.recipe import load_recipe
    from search.algorithm.space import suggest
    from search.plan.spec import DEFAULTS
    from search.trials.searcher import make_study

    recipes = {name: load_recipe(name) for name in DEFAULTS}
    suggest(make_study(recipes, seed=0).ask(), recipes)
    return Check("optuna", "ok", found)


def _storage(storage: str) -> Check:
    from search.plan.preflight import check_writable

    check_writable(storage)
    folder = Storage(storage).local_path
    if folder is None:
        return Check("storage", "ok", f"{storage} can be written")
    # To the superuser every folder looks writable: only trying tells.
    with writing(storage), tempfile.TemporaryFile(dir=existing(folder)):
        return disk("storage", folder)


def _report() -> Check:
    return Check("report", "ok", f"matplotlib {require_package('matplotlib')}")


def _tensorboard() -> Check:
    import search.trackers.tensorboard  # noqa: F401 (what a driver imports)

    return Check("tensorboard", "ok", require_package("tensorboard"))


def _dashboard() -> Check:
    try:
        return Check("optuna-dashboard", "ok", require_package("optuna-dashboard", "optuna_dashboard"))
    except ImportError:
        return Check(
            "optuna-dashboard",
            "note",
            "not installed: only 'dashboard' needs it",
            "pip install 'gan-search[dashboard]'",
        )
