"""A real Ray cluster of three nodes on one machine: each in a network namespace, all under a token.

Needs root. `faults.py` and `tests/cluster` run sweeps on it.

The head runs no trial. Nothing outside the bridge is touched; what is started is ended by pid.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BRIDGE = "gsbr"
NAMES = ("gsn1", "gsn2", "gsn3")
SUBNET = "10.98.0"
PORT = 6379
HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


def why_not() -> str | None:
    """Return why no namespaces can be made here; None if they can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "network namespaces need Linux and the command ip"
    probe = f"gsp{os.getpid()}"  # Two test processes may ask at once.
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    bridge = subprocess.run(["ip", "link", "add", probe, "type", "bridge"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", probe], capture_output=True, check=False)
    _ip("netns", "del", probe)
    return "bridges cannot be made here" if bridge.returncode else None


@dataclass(frozen=True)
class Cluster:
    """Three nodes: the head, which runs no trial, and two workers of one core each.

    Attributes:
        environment: of every process of it.
    """

    environment: dict[str, str]

    @property
    def address(self) -> str:
        return f"{SUBNET}.1:{PORT}"

    def inside(self, node: int, *command: str) -> list[str]:
        """Return a command that runs on a node (1 is the head)."""
        return ["ip", "netns", "exec", NAMES[node - 1], *command]

    def start(self, node: int, *, without: Path | None = None) -> None:
        """Start Ray on a node.

        Args:
            without: a folder that the node does not see: something empty is in its place.
        """
        common = [
            "--node-ip-address",
            f"{SUBNET}.{node}",
            "--disable-usage-stats",
            "--object-store-memory",
            "100000000",
        ]
        role = ["--head", f"--port={PORT}", "--num-cpus=0", "--dashboard-host=127.0.0.1"]
        if node != 1:
            role = [f"--address={self.address}", "--num-cpus=1"]
        command = [str(Path(sys.executable).with_name("ray")), "start", *role, *common]
        if without is not None:
            # `ip netns exec` gives what it runs mounts of its own.
            command = ["sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(without), *command]
        done = subprocess.run(
            self.inside(node, *command),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def kill(self, node: int) -> None:
        """End every process of a node at once, as a power cut does."""
        for pid in pids(node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cut(self, node: int) -> None:
        """Take a node's link away."""
        _ip("link", "set", f"gsv{node}", "down")

    def mend(self, node: int) -> None:
        """Give a node its link back."""
        _ip("link", "set", f"gsv{node}", "up")


def pids(node: int) -> list[int]:
    """Return the processes of a node."""
    listed = subprocess.run(["ip", "netns", "pids", NAMES[node - 1]], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


@contextmanager
def three_nodes(folder: Path, **environment: str) -> Iterator[Cluster]:
    """Run a cluster, once no other process runs one; everything of it is gone afterwards.

    Args:
        folder: for the token.
        environment: further variables of every process.
    """
    token = folder / "token"
    with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), **HEALTH, **environment}
    cluster = Cluster({**os.environ, **own})
    with _alone():
        yield from _run(cluster)


@contextmanager
def _alone() -> Iterator[None]:
    with (Path(tempfile.gettempdir()) / "gan-search-three-nodes.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(cluster: Cluster) -> Iterator[Cluster]:
    _clear()
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{SUBNET}.254/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for node, name in enumerate(NAMES, 1):
            _ip("netns", "add", name)
            _ip("link", "add", f"gsv{node}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"gsv{node}", "master", BRIDGE, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{SUBNET}.{node}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        for node in (1, 2, 3):
            cluster.start(node)
        yield cluster
    finally:
        _clear()


def _clear() -> None:
    """Take away what an earlier cluster that was killed may have left."""
    for node in (1, 2, 3):
        Cluster({}).kill(node)
    time.sleep(0.5)
    links = ("gsv1", "gsv2", "gsv3", BRIDGE)
    for arguments in (*(("netns", "del", name) for name in NAMES), *(("link", "del", link) for link in links)):
        subprocess.run(["ip", *arguments], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
