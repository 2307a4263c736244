"""Running the real command line on a real local Ray, at tiny size."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gan.storage.storage import Storage
from search.run.journal import read_events

TINY = ["--set", "width_g=4", "--set", "width_d=4", "--set", "batch=16", "--samples", "500", "--seed", "3"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "search", *arguments]


def run_cli(*arguments: str, timeout: float = 480, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd)


def sweep_arguments(data: str, storage: Path, *more: str) -> list[str]:
    return ["sweep", "--data", data, "--storage", str(storage), *TINY, *more]


def wait_for(run: Path, enough: Callable[[list[dict[str, Any]]], bool], process: subprocess.Popen[str]) -> None:
    """Wait until the events of a run are enough; fail if its driver ends before."""
    for _ in range(1200):
        if (run / "journal.jsonl").exists() and enough(read_events(Storage(run))):
            return
        assert process.poll() is None, f"the driver ended: {(run.parent.parent / 'log0').read_text()}"
        time.sleep(0.1)
    pytest.fail("the sweep did not come far enough in two minutes")


def count(events: list[dict[str, Any]], kind: str) -> int:
    return sum(event["event"] == kind for event in events)
