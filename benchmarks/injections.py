"""What can go wrong with a cluster, done to it while a sweep runs: for `faults.py` and `tests/cluster`."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from three_nodes import SUBNET, Cluster, pids, three_nodes

from gan.storage.storage import Storage
from search.run.journal import read_events

WORKERS = (2, 3)
CUT_SECONDS, REFUSED_SECONDS, OVERLOAD_SECONDS = 20.0, 30.0, 60.0
_DISK_MIB = 400


@dataclass
class Stage:
    """A cluster, a place to store runs, and the sweep that is running on them.

    Attributes:
        storage: URI under which runs lie.
        disk: the small file system that holds them; None on an object store.
        refuse: while it exists, the object store refuses writes.
        driver, run: of the sweep.
        rng: chooses moments and victims.
    """

    cluster: Cluster
    storage: str
    disk: Path | None
    refuse: Path
    rng: random.Random
    driver: subprocess.Popen[str] | None = None
    run: Storage | None = None

    def training(self) -> list[int]:
        """Wait until a trial trains that has reported; return the processes of all such."""
        assert self.run is not None
        for _ in range(300):
            events = read_events(self.run)
            ended = {event["trial"] for event in events if event["event"] == "verdict"}
            last = {event["trial"]: event["pid"] for event in events if event["event"] == "report"}
            found = [pid for trial, pid in last.items() if trial not in ended and Path(f"/proc/{pid}").exists()]
            if found:
                return found
            time.sleep(0.1)
        raise RuntimeError("no trial trains")

    def busy_node(self) -> int:
        """Return a node on which a trial trains."""
        busy = set(self.training())
        return self.rng.choice([node for node in WORKERS if busy & set(pids(node))])


@contextmanager
def stage(folder: Path, kind: str, seed: int) -> Iterator[Stage]:
    """Build a cluster whose storage is a shared folder ("shared") or an S3 server ("s3")."""
    disk, refuse = folder / "disk", folder / "refuse"
    disk.mkdir(parents=True)
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    with ExitStack() as stack:
        for name, value in credentials.items():
            stack.callback(_restore, name, os.environ.get(name))
            os.environ[name] = value
        if kind == "shared":
            # Before the nodes, which then see it.
            _mount("-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", str(disk))
            stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
        cluster = stack.enter_context(three_nodes(folder, GAN_SEARCH_CACHE=str(folder / "cache"), **credentials))
        storage = str(disk / "runs") if kind == "shared" else stack.enter_context(_object_store(refuse))
        yield Stage(cluster, storage, disk if kind == "shared" else None, refuse, random.Random(seed))


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


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

        for _ in range(300):
            with suppress(OSError):
                socket.create_connection((host, port), timeout=1).close()
                break
            if server.poll() is not None:
                raise RuntimeError(f"no S3 server can be started at {host}:{port}")
            time.sleep(0.1)
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="runs")
        yield f"s3://runs/all?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    finally:
        server.kill()
        server.wait()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


# ---- injections


@dataclass(frozen=True)
class Injected:
    """A fault that is over.

    Attributes:
        when: it came, in seconds since 1970.
        node: that Ray must notice as lost, and that must be started again.
    """

    when: float
    node: int | None = None


Inject = Callable[[Stage], Injected]


def overload(on: Stage) -> Injected:
    """Keep every core busy twice over: nothing goes wrong, and whatever is given up then is a false alarm.

    Ray runs trials at a low priority, so that they all but stand still meanwhile.
    """
    on.training()
    when = time.time()
    with ExitStack() as stack:
        for _ in range(2 * (os.cpu_count() or 1)):
            process = multiprocessing.Process(target=_burn, daemon=True)
            process.start()
            stack.callback(process.kill)
        time.sleep(OVERLOAD_SECONDS)
    return Injected(when)


def _burn() -> None:
    while True:
        pass


def kill_trial(on: Stage) -> Injected:
    victim = on.rng.choice(on.training())
    when = time.time()
    os.kill(victim, signal.SIGKILL)
    return Injected(when)


def kill_raylet(on: Stage) -> Injected:
    node = on.busy_node()
    (raylet,) = (pid for pid in pids(node) if Path(f"/proc/{pid}/comm").read_text().strip() == "raylet")
    when = time.time()
    os.kill(raylet, signal.SIGKILL)
    return Injected(when, node)


def kill_node(on: Stage) -> Injected:
    node, when = on.busy_node(), time.time()
    on.cluster.kill(node)
    return Injected(when, node)


def kill_driver(on: Stage) -> Injected:
    assert on.driver is not None
    on.training()
    when = time.time()
    on.driver.kill()
    on.driver.wait()
    return Injected(when)


def cut_off(on: Stage) -> Injected:
    node, when = on.busy_node(), time.time()
    on.cluster.cut(node)
    return Injected(when, node)


def cut_for_a_while(on: Stage) -> Injected:
    """A node is out of reach for 20 s: Ray has given it up by then, and what ran there ends as it comes back."""
    injected = cut_off(on)
    assert injected.node is not None
    time.sleep(CUT_SECONDS)
    on.cluster.mend(injected.node)
    return injected


def fill_disk(on: Stage) -> Injected:
    """Nothing is left of the disk until the sweep has halted, or for as long as it may wait."""
    assert on.disk is not None and on.driver is not None
    on.training()
    ballast, when = on.disk / "ballast", time.time()
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        on.driver.wait(120)
    finally:
        ballast.unlink()
    return Injected(when)


def refuse_writes(on: Stage) -> Injected:
    """The storage can be read, but takes nothing for 30 s."""
    with _read_only(on.disk) if on.disk is not None else _refusing(on.refuse):
        when = time.time()
        time.sleep(REFUSED_SECONDS)
    return Injected(when)


@contextmanager
def _refusing(flag: Path) -> Iterator[None]:
    flag.touch()
    try:
        yield
    finally:
        flag.unlink()


@contextmanager
def _read_only(disk: Path) -> Iterator[None]:
    for _ in range(200):  # Refused for as long as a file is open for writing.
        with suppress(subprocess.CalledProcessError):
            _mount("-o", "remount,ro", str(disk))
            break
        time.sleep(0.02)
    else:
        raise RuntimeError("the file system is never free to be made read-only")
    try:
        yield
    finally:
        _mount("-o", "remount,rw", str(disk))


def damage(change: Callable[[bytes, random.Random], bytes]) -> Inject:
    """Kill the driver, and damage the newest checkpoint of every trial before it goes on."""

    def inject(on: Stage) -> Injected:
        assert on.run is not None
        injected = kill_driver(on)
        time.sleep(5)  # Its workers end after it, and may yet write.
        trials, damaged = on.run.child("trials"), 0
        for trial in trials.list():
            folder = trials.child(f"{trial}/checkpoints")
            newest = max((name for name in folder.list() if name.endswith(".pt")), default=None)
            if newest is not None:
                folder.write_bytes(newest, change(folder.read_bytes(newest), on.rng))
                damaged += 1
        assert damaged, "no trial had a checkpoint"
        return injected

    return inject


def _cut_short(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _rubbish(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(len(content))


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
    "load": Fault(overload, "every core busy twice over for 60 s, and no fault"),
    "trial": Fault(kill_trial, "SIGKILL of a trial's process"),
    "raylet": Fault(kill_raylet, "SIGKILL of a raylet", loses_node=True),
    "node": Fault(kill_node, "SIGKILL of a whole node", loses_node=True),
    "driver": Fault(kill_driver, "SIGKILL of the driver, then resume", ends_driver=True),
    "cut": Fault(cut_for_a_while, "link cut for 20 s; Ray is started anew there", loses_node=True),
    "cut-off": Fault(cut_off, "link cut for ever", loses_node=True),
    "refuse": Fault(refuse_writes, "storage refuses writes for 30 s"),
    "full": Fault(fill_disk, "disk full until the sweep halts, then resume", ends_driver=True, shared_only=True),
    "cut-short": Fault(damage(_cut_short), "driver killed, newest checkpoints truncated, resume", ends_driver=True),
    "rubbish": Fault(damage(_rubbish), "driver killed, newest checkpoints overwritten, resume", ends_driver=True),
}
