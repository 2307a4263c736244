"""A sweep on a real cluster: its nodes are checked before it writes anything, and one that dies loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import trained_after_its_verdict
from three_nodes import SUBNET, Cluster, three_nodes, why_not

from gan import load_bundle
from gan.storage import Storage
from search.journal import FINAL, read_events, read_record

pytestmark = pytest.mark.slow
TINY = ["--set", "width_g=4", "--set", "width_d=4", "--set", "batch=16", "--samples", "500", "--seed", "3"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with three_nodes(tmp_path_factory.mktemp("cluster")) as running:
        yield running


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


def test_a_node_that_dies_loses_nothing(cluster: Cluster, tiny_data: str, tmp_path: Path) -> None:
    more = ["--name", "node", "--recipe", "dcgan", "--trials", "4", "--kimg", "6", "--interval-kimg", "0.4", "--json"]
    said = tmp_path / "said"
    with said.open("w") as stderr:
        command = sweep(cluster, tiny_data, str(tmp_path / "results"), *more)
        driver = subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
    run = Storage(tmp_path / "results" / "node")
    try:
        for _ in range(1200):
            if run.exists("journal.jsonl") and sum(e["event"] == "report" for e in read_events(run)) >= 6:
                break
            assert driver.poll() is None, said.read_text()
            time.sleep(0.1)
        else:
            pytest.fail(f"no six reports in two minutes: {said.read_text()}")
        before = {trial.id: trial.state for trial in read_record(run).trials.values() if trial.final}
        cluster.kill(3)
        out, _ = driver.communicate(timeout=300)
    finally:
        driver.kill()
    assert driver.returncode == 0, said.read_text()
    told, events = json.loads(out), read_events(run)
    assert told["state"] == "finished"
    assert [trial["state"] in FINAL for trial in told["trials"]] == [True] * 4
    assert {trial["id"]: trial["state"] for trial in told["trials"] if trial["id"] in before} == before
    verdicts = [event["trial"] for event in events if event["event"] == "verdict"]
    assert len(verdicts) == len(set(verdicts)) == 4
    assert trained_after_its_verdict(events) == []
    assert load_bundle(told["best"]["bundle"]).config["fid"] == told["best"]["best_fid"]
    lost = [event["node"] for event in events if event["event"] == "node" and event["state"] == "lost"]
    assert lost == [f"{SUBNET}.3"]
