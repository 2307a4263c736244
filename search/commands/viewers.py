"""`tensorboard` and `dashboard`: a run in TensorBoard and in Optuna's dashboard."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from gan.terminal import emit, say

Json = Annotated[bool, typer.Option("--json", help="print the address as JSON, and nothing else")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="a run's folder or URI, or its name in results/")]
Stored = Annotated[str, typer.Option(metavar="PLACE", help="where to look for a run named by its name")]
Port = Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: any free one")]


def tensorboard(run: Run, storage: Stored = "results", port: Port = 0, json: Json = False) -> None:
    """Show a run in TensorBoard, also while it runs, on this machine's loopback address only.

    Losses, gradients, FID, speed and sample grids of every trial, and all hyperparameters beside the
    best FID, from the run's journal.

    Example: gan-search tensorboard results/photos
    """
    from search.run.run_folder import open_run
    from search.trackers.serving import serve_tensorboard

    serve_tensorboard(open_run(run, storage), port, partial(_announce, "TensorBoard", json))


def dashboard(run: Run, storage: Stored = "results", port: Port = 0, json: Json = False) -> None:
    """Show a run's study in Optuna's dashboard, also while it runs, on the loopback address only.

    Needs an extra: pip install 'gan-search[dashboard]'.

    Example: gan-search dashboard results/photos
    """
    from search.run.run_folder import open_run
    from search.trackers.serving import serve_dashboard

    serve_dashboard(open_run(run, storage), port, partial(_announce, "optuna-dashboard", json))


def _announce(server: str, json: bool, address: str) -> None:
    """Print where a server answers."""
    if json:
        emit({"address": address})
    else:
        say(f"{server} at {address} (Ctrl-C ends it)")
