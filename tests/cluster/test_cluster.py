"""A sweep on a real cluster: its nodes are checked before it writes anything, and it lets no one in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from three_nodes import SUBNET, Cluster

pytestmark = pytest.mark.slow
TINY = ["--set", "width_g=4", "--set", "width_d=4", "--set", "batch=16", "--samples", "500", "--seed", "3"]


def sweep(cluster: Cluster, data: str, storage: str, *more: str) -> list[str]:
    place = ["--address", cluster.address, "--data", data, "--storage", storage, *TINY]
    return cluster.inside(1, sys.executable, "-m", "search", "sweep", *place, *more)


def test_a_node_that_cannot_hold_a_trial_is_no_help(cluster: Cluster, tiny_data: str, tmp_path: Path) -> None:
    """Two cores in all, one on each node: a trial of two fits nowhere, and nothing is written."""
    command = sweep(cluster, tiny_data, str(tmp_path / "results"), "--cpus-per-trial", "2")
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "no node of the cluster has as much" in done.stderr.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


ASK = "import ray; ray.init(address={address!r}, _node_ip_address={ip!r}, log_to_driver=False); print('in')"


@pytest.mark.parametrize("token", [None, "0" * 64])
def test_the_cluster_lets_no_one_in_without_the_token(cluster: Cluster, token: str | None, tmp_path: Path) -> None:
    """A driver on the head itself, with everything but the token."""
    environment = {name: value for name, value in cluster.environment.items() if "AUTH" not in name}
    environment["HOME"] = str(tmp_path)  # The user's own token, if any, is not looked for.
    if token:
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    program = ASK.format(address=cluster.address, ip=f"{SUBNET}.1")
    command = cluster.inside(1, "timeout", "60", sys.executable, "-c", program)
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode not in (0, 124), "neither let in nor left to hang"
    assert "in" not in refused.stdout.split()
    right = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
    assert right.stdout.split()[-1:] == ["in"], right.stderr
