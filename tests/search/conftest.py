"""What the tests of runs share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driving import command


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts commands in the background, and ends what is left of them."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        log = (tmp_path / f"log{len(processes)}").open("w")
        processes.append(
            subprocess.Popen(
                command(*arguments), stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
