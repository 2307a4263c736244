"""`gan-search` without a command: what to do next in this folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from gan.terminal import say, table

_RESULTS = "results"
_SHOWN = 5
_TAIL = 65536
"""Bytes read at a journal's end, to find its last event."""

_NEXT = {
    "running": "gan-search status {}",
    "interrupted": "gan-search resume {}",
    "finished": "gan-search report {}",
}

_START = """\
gan-search finds the best GAN that your budget can buy.

Is everything here?
  gan-search doctor

A first sweep, on faces that come with the program (some minutes):
  gan-search sweep --data faces --size 32 --trials 6 --kimg 12 --name first

Your own images, in the folder "photos" (550 at least), in the time that you have:
  gan-search sweep --data folder:photos --time-budget 30m --name photos
"""


def welcome() -> None:
    """Print how to begin, and how to go on with the runs in results/."""
    say(_START)
    runs = _runs(Path(_RESULTS))
    if runs:
        say(f"Runs in {_RESULTS}/, the latest first:")
        rows = [(f"  {run.name}", text, _NEXT[state].format(shlex.quote(str(run)))) for run, state, text in runs]
        say(table(rows) + "\n")
    say("All commands: gan-search --help; one of them, with an example: gan-search sweep --help")


def _runs(folder: Path) -> list[tuple[Path, str, str]]:
    """Return (folder, state, state in words) of the latest runs, without reading their whole journals."""
    try:
        journals = sorted(folder.glob("*/journal.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [(journal.parent, *_state(journal)) for journal in journals[:_SHOWN]]
    except OSError:
        return []


def _state(journal: Path) -> tuple[str, str]:
    """Return a run's state, as a key of `_NEXT`, and in words."""
    from gan.storage.storage import Storage
    from search.run.owner import is_driven
    from search.run.record import TIME_BUDGET

    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - _TAIL))
        last = (file.read().splitlines() or [b""])[-1]
    try:
        event = json.loads(last)
        if event["event"] == "end" and event["state"] == "finished":
            return "finished", "finished"
        if event["event"] == "end" and event.get("cause") == TIME_BUDGET:
            return "interrupted", "ended by its time budget"
    except (ValueError, KeyError, TypeError):
        pass  # The line was cut short: its driver was killed, or is writing it.
    state = "running" if is_driven(Storage(journal.parent)) else "interrupted"
    return state, state
