"""One driver for a run at a time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gan.errors import InputError
from gan.storage.storage import Storage
from search.run.owner import OWNER, Owner, is_alive, process_start, read_owner


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "run"))


def test_a_second_driver_is_refused_until_the_first_lets_go(run: Storage) -> None:
    owner = Owner(run)
    with pytest.raises(InputError, match=f"process {os.getpid()}"):
        Owner(run)
    owner.release()
    assert not run.exists(OWNER)
    Owner(run).release()


def test_an_owner_that_was_replaced_notices_and_leaves_the_other_alone(
    run: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.run.owner.HEARTBEAT_SECONDS", 0.05)
    owner = Owner(run)
    other = {"host": "elsewhere", "pid": 1, "started": "1", "beat": time.time(), "token": "other"}
    run.write_bytes(OWNER, json.dumps(other).encode())
    for _ in range(100):
        if owner.lost:
            break
        time.sleep(0.05)
    assert owner.lost
    owner.release()
    assert read_owner(run) == other


def test_an_owner_whose_file_cannot_be_read_for_a_while_has_lost_nothing(
    run: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.run.owner.HEARTBEAT_SECONDS", 0.02)
    owner, whole, refused = Owner(run), Storage.read_bytes, 0

    def refuse(self: Storage, path: str) -> bytes:
        nonlocal refused
        refused += 1
        if refused <= 5:
            raise OSError(5, "Input/output error")
        return whole(self, path)

    monkeypatch.setattr(Storage, "read_bytes", refuse)
    for _ in range(200):
        if refused > 8:
            break
        time.sleep(0.02)
    assert refused > 8 and not owner.lost
    owner.require_mine()
    monkeypatch.undo()
    owner.release()
    assert read_owner(run) is None


def test_an_owner_that_gave_no_sign_of_life_for_a_minute_may_not_write(
    run: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner(run)
    owner.require_mine()
    now = time.monotonic()
    monkeypatch.setattr("search.run.owner._clock", lambda: now + 1e6)
    with pytest.raises(PermissionError, match="another may have taken the run over"):
        owner.require_mine()
    owner.release()


def test_a_dead_owner_of_this_host_is_replaced_at_once(run: Storage) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    holder = {"host": socket.gethostname(), "pid": child.pid, "started": process_start(child.pid), "beat": time.time()}
    run.write_bytes(OWNER, json.dumps(holder).encode())
    assert is_alive(holder)
    with pytest.raises(InputError):
        Owner(run)
    child.kill()
    child.wait()
    Owner(run).release()


def test_a_process_that_took_over_a_pid_is_not_the_owner() -> None:
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": "1", "beat": time.time()}
    assert not is_alive(holder)


@pytest.mark.parametrize(("age", "alive"), [(30, True), (61, False)])
def test_an_owner_on_another_host_lives_by_its_heartbeat(age: float, alive: bool) -> None:
    assert is_alive({"host": "elsewhere", "pid": 1, "started": "1", "beat": time.time() - age}) is alive


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "x"}'])
def test_a_damaged_owner_file_owns_nothing(run: Storage, content: bytes) -> None:
    run.write_bytes(OWNER, content)
    assert read_owner(run) is None
