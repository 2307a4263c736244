"""Locks: who is kept out, and for how long."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan.storage.lock import lock, locked_file

HOLD = """
import sys, time
from pathlib import Path
from gan.storage.lock import locked_file
with locked_file(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_an_exclusive_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked_file(path), pytest.raises(BlockingIOError), locked_file(path, wait=False):
        pass
    with locked_file(path, wait=False):
        pass


def test_shared_locks_go_together_and_not_with_an_exclusive_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open("rb") as first, path.open("rb") as second:
        lock(first, shared=True)
        lock(second, shared=True, wait=False)
        with pytest.raises(BlockingIOError), locked_file(path, wait=False):
            pass


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(BlockingIOError), locked_file(path, wait=False):
            pass
        holder.send_signal(signal.SIGKILL)
        with locked_file(path):
            pass
