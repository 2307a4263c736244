"""`doctor`: what this machine can do, and what it lacks."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gan.terminal import emit, say

if TYPE_CHECKING:
    from gan.checks.health import Check

_MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


def doctor(
    storage: Annotated[str, typer.Option(metavar="PLACE", help="where runs are to be kept")] = "results",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="look at this Ray cluster, not this machine")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="start Ray on this machine as well, which takes longer")] = False,
    json: Annotated[bool, typer.Option("--json", help="machine-readable output on stdout")] = False,
) -> None:
    """Check what a sweep needs: PyTorch, GPU, Ray, Optuna, data, weights, storage, trackers.

    Says what is missing and how to mend it. Exit status 0 if a sweep can run, 1 if not.

    \b
    Examples:
      gan-search doctor
      gan-search doctor --ray
      gan-search doctor --storage s3://bucket/runs --address 10.0.0.1:6379
    """
    from search.commands.machine import can_run, examine

    checks = []
    for check in examine(storage, address, start_ray=ray):
        checks.append(check)
        if not json:
            _show(check)
    able = can_run(checks)
    if json:
        emit({"ok": able, "checks": [asdict(check) for check in checks]})
    else:
        say("\na sweep can run" if able else "\nno sweep can run until what is MISSING is mended")
    raise typer.Exit(0 if able else 1)


def _show(check: Check) -> None:
    """Print one check as soon as it is known, for whatever width there is."""
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
