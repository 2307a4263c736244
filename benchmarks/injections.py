"""What can go wrong with a cluster, done to it while a sweep runs: for `faults.py` and `tests/cluster`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from three_nodes import SUBNET, Cluster, pids, three_nodes

from gan.storage import Storage

WORKERS = (2, 3)
CUT_SECONDS, REFUSED_SECONDS = 20.0, 30.0
_DISK_MIB = 400


@dataclass
class Stage:
    """A cluster, a place to store runs, and the sweep that is running on them.

    Attributes:
        storage: URI under which runs lie.
        disk: the small file system that holds them; None on an object store.
        refuse: while it exists, the object store refuses writes.
        driver: of the sweep.
        rng: chooses victims.
    """

    cluster: Cluster
    storage: str
    disk: Path | None
    refuse: Path
    rng: random.Random
    driver: subprocess.Popen[str] | None = None


@contextmanager
def stage(folder: Path, kind: str, seed: int) -> Iterator[Stage]:
    """Build a cluster whose storage is a shared folder ("shared") or an S3 server ("s3")."""
    disk, refuse = folder / "disk", folder / "refuse"
    disk.mkdir(parents=True)
    if kind == "shared":
        _mount("-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", str(disk))
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    os.environ.update(credentials)
    try:
        with three_nodes(folder, GAN_SEARCH_CACHE=str(folder / "cache"), **credentials) as cluster:
            if kind == "shared":
                yield Stage(cluster, str(disk / "runs"), disk, refuse, random.Random(seed))
            else:
                with _object_store(refuse) as storage:
                    yield Stage(cluster, storage, None, refuse, random.Random(seed))
    finally:
        if kind == "shared":
            subprocess.run(["umount", "--lazy", str(disk)], check=False)


@contextmanager
def _object_store(refuse: Path) -> Iterator[str]:
    host, port = f"{SUBNET}.254", 5005
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("object_server.py")), host, str(port), str(refuse)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        import boto3

        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="runs")
        yield f"s3://runs/all?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    finally:
        server.kill()
        server.wait()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


# ---- injections: each returns when it is over; what it gives back is the node that must be started anew, if any

Inject = Callable[[Stage, list[dict[str, Any]]], int | None]


def nothing(on: Stage, events: list[dict[str, Any]]) -> None:
    """Nothing goes wrong: whatever is lost then is a false alarm."""


def kill_trial(on: Stage, events: list[dict[str, Any]]) -> None:
    os.kill(on.rng.choice(_training(events)), signal.SIGKILL)


def kill_raylet(on: Stage, events: list[dict[str, Any]]) -> int:
    node = on.rng.choice(WORKERS)
    (raylet,) = (pid for pid in pids(node) if Path(f"/proc/{pid}/comm").read_text().strip() == "raylet")
    os.kill(raylet, signal.SIGKILL)
    return node


def kill_node(on: Stage, events: list[dict[str, Any]]) -> int:
    node = on.rng.choice(WORKERS)
    on.cluster.kill(node)
    return node


def kill_driver(on: Stage, events: list[dict[str, Any]]) -> None:
    assert on.driver is not None
    on.driver.kill()
    on.driver.wait()


def cut_for_a_while(on: Stage, events: list[dict[str, Any]]) -> int:
    """A node is out of reach for 20 s: Ray has given it up by then, and what ran there ends as it comes back."""
    node = cut_for_ever(on, events)
    time.sleep(CUT_SECONDS)
    on.cluster.mend(node)
    return node


def cut_for_ever(on: Stage, events: list[dict[str, Any]]) -> int:
    node = on.rng.choice(WORKERS)
    on.cluster.cut(node)
    return node


def fill_disk(on: Stage, events: list[dict[str, Any]]) -> None:
    """Nothing is left of the disk until the sweep has halted, or for as long as it may wait."""
    assert on.disk is not None and on.driver is not None
    ballast = on.disk / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    with suppress(subprocess.TimeoutExpired):
        on.driver.wait(120)
    ballast.unlink()


def refuse_writes(on: Stage, events: list[dict[str, Any]]) -> None:
    """The storage can be read, but takes nothing for 30 s."""
    if on.disk is None:
        on.refuse.touch()
        time.sleep(REFUSED_SECONDS)
        on.refuse.unlink()
        return
    for _ in range(200):  # Refused for as long as a file is open for writing.
        with suppress(subprocess.CalledProcessError):
            _mount("-o", "remount,ro", str(on.disk))
            break
        time.sleep(0.02)
    else:
        raise RuntimeError("the file system is never free to be made read-only")
    time.sleep(REFUSED_SECONDS)
    _mount("-o", "remount,rw", str(on.disk))


def damage(change: Callable[[bytes, random.Random], bytes]) -> Inject:
    """Kill the driver, and damage the newest checkpoint of every trial before it goes on."""

    def inject(on: Stage, events: list[dict[str, Any]]) -> None:
        kill_driver(on, events)
        time.sleep(5)  # Its workers end after it, and may yet write.
        trials = Storage(on.storage).child(f"{events[0]['settings']['name']}/trials")
        damaged = 0
        for trial in trials.list():
            folder = trials.child(f"{trial}/checkpoints")
            newest = max((name for name in folder.list() if name.endswith(".pt")), default=None)
            if newest is not None:
                folder.write_bytes(newest, change(folder.read_bytes(newest), on.rng))
                damaged += 1
        assert damaged, "no trial had a checkpoint"

    return inject


def _cut_short(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _rubbish(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(len(content))


def _training(events: list[dict[str, Any]]) -> list[int]:
    """Return the processes of trials that have reported and have no verdict."""
    ended = {event["trial"] for event in events if event["event"] == "verdict"}
    last = {event["trial"]: event["pid"] for event in events if event["event"] == "report"}
    return [pid for trial, pid in last.items() if trial not in ended and Path(f"/proc/{pid}").exists()]


@dataclass(frozen=True)
class Fault:
    """One kind of trouble.

    Attributes:
        inject: does it.
        says: what is done, for a table.
        ends_driver: the sweep must be gone on with by `resume`.
        loses_node: Ray must notice that a node is gone.
        shared_only: it needs a disk.
    """

    inject: Inject
    says: str
    ends_driver: bool = False
    loses_node: bool = False
    shared_only: bool = False


FAULTS = {
    "load": Fault(nothing, "four busy processes on two cores, and no fault"),
    "trial": Fault(kill_trial, "SIGKILL of a trial's process"),
    "raylet": Fault(kill_raylet, "SIGKILL of a raylet", loses_node=True),
    "node": Fault(kill_node, "SIGKILL of a whole node", loses_node=True),
    "driver": Fault(kill_driver, "SIGKILL of the driver, then resume", ends_driver=True),
    "cut": Fault(cut_for_a_while, "link cut for 20 s; Ray is started anew there", loses_node=True),
    "cut-off": Fault(cut_for_ever, "link cut for ever", loses_node=True),
    "refuse": Fault(refuse_writes, "storage refuses writes for 30 s"),
    "full": Fault(fill_disk, "disk full until the sweep halts, then resume", ends_driver=True, shared_only=True),
    "cut-short": Fault(damage(_cut_short), "driver killed, newest checkpoints truncated, resume", ends_driver=True),
    "rubbish": Fault(damage(_rubbish), "driver killed, newest checkpoints overwritten, resume", ends_driver=True),
}
