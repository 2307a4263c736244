"""`doctor`: checks of all that a sweep needs of a machine."""

from __future__ import annotations

import shutil
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from gan.checks import health
from gan.checks.health import Check, attempt, require_package
from gan.commands.options import Json
from gan.terminal import emit, say

_MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


def doctor(
    storage: Annotated[str, typer.Option(metavar="PLACE", help="where runs are to be kept")] = "results",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="look at this Ray cluster, not this machine")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="start Ray on this machine as well, which takes longer")] = False,
    json: Json = False,
) -> None:
    """Check what a sweep needs: PyTorch, GPU, Ray, Optuna, data, weights, storage, trackers.

    Says what is missing and how to fix it. Exit status 0 if a sweep can run, 1 if not.

    \b
    Examples:
      gan-search doctor
      gan-search doctor --ray
      gan-search doctor --storage s3://bucket/runs --address 10.0.0.1:6379
    """
    checks = []
    for check in examine(storage, address, start_ray=ray):
        checks.append(check)
        if not json:
            _show(check)
    can_run = all(check.state != "missing" for check in checks)
    if json:
        emit({"ok": can_run, "checks": [asdict(check) for check in checks]})
    else:
        say("\na sweep can run" if can_run else "\nno sweep can run until what is MISSING is fixed")
    raise typer.Exit(0 if can_run else 1)


def _show(check: Check) -> None:
    """Print a check, wrapped to the terminal's width."""
    indent = " " * 9
    # Addresses and commands are meant to be copied: they stay in one piece.
    wrapper = textwrap.TextWrapper(
        width=max(40, shutil.get_terminal_size((100, 24)).columns),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = wrapper.wrap(f"{_MARKS[check.state]:<9}{check.name}: {check.found}")
    if check.fix:
        wrapper.initial_indent = indent
        lines += wrapper.wrap(f"→ {check.fix}")
    for line in lines:
        say(line)


def examine(storage: str, address: str | None = None, *, start_ray: bool = False) -> Iterator[Check]:
    """Yield one check after the other; none of them raises.

    Args:
        storage: where runs are to be kept.
        address: of a Ray cluster to join; None for this machine alone.
        start_ray: start Ray on this machine, which takes longer than all the rest.
    """
    yield from health.examine()
    yield attempt("ray", partial(_ray, address) if start_ray or address else _ray_installed)
    yield attempt("optuna", _optuna)
    yield attempt("storage", partial(_storage, storage))
    yield attempt("report", lambda: Check("report", "ok", f"matplotlib {require_package('matplotlib')}"))
    yield attempt("tensorboard", _tensorboard)
    yield _dashboard()


def _ray_installed() -> Check:
    return Check("ray", "ok", f"{require_package('ray')}, not started (--ray starts it)")


def _ray(address: str | None) -> Check:
    """Start Ray, or join the cluster: that an installed Ray can be imported says little."""
    version = require_package("ray")
    import ray

    from search.cluster.cluster import connected
    from search.plan.spec import make_spec

    began = time.monotonic()
    with connected(make_spec({"address": address})):
        resources, nodes = ray.cluster_resources(), sum(node["Alive"] for node in ray.nodes())
        seconds = time.monotonic() - began
    there = ", ".join(f"{resources.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
    how = f"joined {address}" if address else f"starts in {seconds:.0f} s"
    return Check("ray", "ok", f"{version}, {how}: {there} on {nodes} node" + ("" if nodes == 1 else "s"))


def _optuna() -> Check:
    version = require_package("optuna")
    from gan.recipe.recipe import load_recipe
    from search.algorithm.space import suggest
    from search.plan.spec import DEFAULTS
    from search.trials.searcher import make_study

    recipes = {name: load_recipe(name) for name in DEFAULTS}
    suggest(make_study(recipes, seed=0).ask(), recipes)
    return Check("optuna", "ok", version)


def _storage(storage: str) -> Check:
    from gan.storage.storage import Storage, writing
    from search.plan.preflight import check_writable

    check_writable(storage)
    folder = Storage(storage).local_path
    if folder is None:
        return Check("storage", "ok", f"{storage} can be written")
    # To the superuser every folder looks writable: only trying tells.
    with writing(storage), tempfile.TemporaryFile(dir=health.existing(folder)):
        return health.disk("storage", folder)


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
