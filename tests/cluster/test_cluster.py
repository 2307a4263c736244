"""A sweep on a real cluster: its nodes are checked before it writes anything, and it lets no one in."""

from __future__ import annotations

import json
import subprocess
import sys
import time
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


@pytest.mark.parametrize("token", [None, "0" * 64])
def test_the_cluster_lets_no_one_in_without_the_token(
    cluster: Cluster, token: str | None, tiny_data: str, tmp_path: Path
) -> None:
    """A driver on the head itself, with everything but the token."""
    environment = {name: value for name, value in cluster.environment.items() if "AUTH" not in name}
    environment["HOME"] = str(tmp_path)  # The user's own token, if any, is not looked for.
    if token:
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    command = sweep(cluster, tiny_data, str(tmp_path / "results"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"gan-search: error: --address {cluster.address}: it cannot be joined")
    assert not (tmp_path / "results").exists()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that the nodes share."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def start_anew(cluster: Cluster, node: int, *, without: Path | None = None) -> None:
    cluster.kill(node)
    time.sleep(1)
    cluster.start(node, without=without)


def test_a_node_that_does_not_see_the_storage_is_named(cluster: Cluster, tiny_data: str, shared: Path) -> None:
    start_anew(cluster, 3, without=shared)
    try:
        command = sweep(cluster, tiny_data, str(shared))
        done = subprocess.run(
            command, env=cluster.environment, capture_output=True, text=True, timeout=300, check=False
        )
    finally:
        start_anew(cluster, 3)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert f"node {SUBNET}.3: --storage {shared}: it does not see" in last
    assert list(shared.iterdir()) == []


def test_a_node_that_joins_later_and_does_not_see_the_run_halts_it(
    cluster: Cluster, tiny_data: str, shared: Path
) -> None:
    """Its trials would begin anew in a folder of its own; mended, the sweep goes on with nothing lost."""
    cluster.kill(3)
    run = shared / "late"
    wanted = ["--recipe", "dcgan", "--trials", "4", "--kimg", "20", "--name", "late"]  # long enough to be joined
    command = sweep(cluster, tiny_data, str(shared), *wanted)
    try:
        driver = subprocess.Popen(command, env=cluster.environment, stderr=subprocess.PIPE, text=True)
        while not (run / "journal.jsonl").exists() or '"report"' not in (run / "journal.jsonl").read_text():
            assert driver.poll() is None
            time.sleep(0.2)
        cluster.start(3, without=shared)
        _, said = driver.communicate(timeout=300)
    finally:
        driver.kill()
        start_anew(cluster, 3)
    assert driver.returncode == 1, said
    assert f"node {SUBNET}.3: it does not see the run's folder" in said
    resumed = cluster.inside(1, sys.executable, "-m", "search", "resume", str(run), "--json")
    done = subprocess.run(resumed, env=cluster.environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert {trial["state"] for trial in json.loads(done.stdout)["trials"]} <= {"finished", "stopped", "diverged"}
