"""Identity and ownership of a run's folder; which bundles stay."""

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
from search.run.record import SweepRecord, TrialRecord
from search.run.retention import settle, trial_bundle
from search.run.run_folder import (
    OWNER,
    Owner,
    is_alive,
    open_run,
    process_start,
    read_owner,
    require_same_identity,
    write_settings,
)


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "run"))


def test_another_identity_is_refused_with_the_differences(run: Storage) -> None:
    write_settings(run, {}, {"kimg": 10, "recipes": {"wgan": {"clip": 0.01}}}, {})
    require_same_identity(run, {"kimg": 10, "recipes": {"wgan": {"clip": 0.01}}})
    with pytest.raises(InputError, match=r"kimg is 10 there, 20 here; recipes\.wgan\.clip is 0\.01 there, 0\.1 here"):
        require_same_identity(run, {"kimg": 20, "recipes": {"wgan": {"clip": 0.1}}})


def test_a_run_is_found_by_folder_or_by_name(run: Storage, tmp_path: Path) -> None:
    write_settings(run, {}, {}, {})
    assert open_run(str(tmp_path / "run")).uri == open_run("run", str(tmp_path)).uri == run.uri
    with pytest.raises(InputError, match="no run"):
        open_run("other", str(tmp_path))


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
    monkeypatch.setattr("search.run.run_folder.HEARTBEAT_SECONDS", 0.05)
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
    monkeypatch.setattr("search.run.run_folder.HEARTBEAT_SECONDS", 0.02)
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
    owner.release()
    assert read_owner(run) is None


def test_an_owner_that_gave_no_sign_of_life_for_a_minute_may_not_write(
    run: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner(run)
    owner.require_mine()
    now = time.monotonic()
    monkeypatch.setattr("search.run.run_folder._clock", lambda: now + 1e6)
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


def trial(record: SweepRecord, run: Storage, name: str, fid: float, state: str = "finished") -> TrialRecord:
    made = TrialRecord(name, "dcgan", "non-saturating", "sampled", {}, {}, 0, state=state)
    made.reports = [{"kimg": 8.0, "best_fid": fid}]
    record.trials[name] = made
    run.write_bytes(f"trials/{name}/best-000008000/config.json", f'{{"fid": {fid}}}'.encode())
    for other in ("generator.safetensors", "README.md"):
        run.write_bytes(f"trials/{name}/best-000008000/{other}", b"x")
    run.write_bytes(f"trials/{name}/checkpoints/000008000.pt", b"x" * 1000)
    run.write_bytes(f"trials/{name}/samples/000008000.png", b"x")
    return made


def test_only_the_best_of_the_whole_sweep_and_running_trials_keep_their_bundles(run: Storage) -> None:
    record = SweepRecord()
    running = trial(record, run, "t9", 1.0, "running")
    for number, fid in enumerate([50.0, 40.0, 60.0, 30.0, 45.0]):
        settle(run, record, trial(record, run, f"t{number}", fid), top_k=2)
    assert sorted(run.list("best")) == ["t1", "t3"]
    assert run.read_bytes("best/t3/config.json") == b'{"fid": 30.0}'
    for number in range(5):
        assert run.list(f"trials/t{number}") == ["samples"]
    assert trial_bundle(run, "t9") == "trials/t9/best-000008000"
    assert trial_bundle(run, "t3") == "best/t3"
    assert trial_bundle(run, "t0") is None
    assert running.state == "running"


def test_the_bundle_that_is_kept_is_the_one_whose_distance_the_journal_holds(run: Storage) -> None:
    """A process that was cut off may have written another, which nobody ever heard of."""
    record = SweepRecord()
    ended = trial(record, run, "t0", 50.0)
    ended.reports[-1]["best_kimg"] = 8.0
    for name in ("config.json", "generator.safetensors", "README.md"):
        run.write_bytes(f"trials/t0/best-000009000/{name}", b'{"fid": 1.0}')
    run.write_bytes("trials/t0/best-of mine/config.json", b"{}")  # Somebody's copy is in nobody's way.
    assert trial_bundle(run, "t0", 8.0) == "trials/t0/best-000008000"
    settle(run, record, ended, top_k=1)
    assert run.read_bytes("best/t0/config.json") == b'{"fid": 50.0}'
    assert run.list("trials/t0") == ["samples"]


def test_settling_again_after_being_killed_in_between_ends_well(run: Storage) -> None:
    record = SweepRecord()
    winner = trial(record, run, "t0", 10.0)
    # Killed after half of the copy: no config.json yet, so it is not a bundle.
    run.write_bytes("best/t0/generator.safetensors", b"half")
    settle(run, record, winner, top_k=1)
    settle(run, record, winner, top_k=1)
    assert run.exists("best/t0/config.json")
    assert run.list("trials/t0") == ["samples"]
