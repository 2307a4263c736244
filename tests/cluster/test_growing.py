"""A cluster whose first worker comes late: a sweep waits for it if told to, and is refused if not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow
TINY = ["--set", "width_g=4", "--set", "width_d=4", "--set", "batch=16", "--samples", "500", "--kimg", "0.2"]


@pytest.fixture
def empty() -> Iterator[Cluster]:
    """A head that holds no trial, and nothing else."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def sweep(cluster: Cluster, data: str, storage: Path, *more: str) -> list[str]:
    place = ["--address", cluster.address, "--data", data, "--storage", str(storage), "--name", "late"]
    return [sys.executable, "-m", "search", "sweep", *place, "--recipe", "dcgan", "--trials", "1", *TINY, *more]


def test_a_sweep_waits_for_the_first_node_if_told_to(empty: Cluster, tiny_data: str, tmp_path: Path) -> None:
    storage, said = tmp_path / "results", tmp_path / "said"
    refused = subprocess.run(sweep(empty, tiny_data, storage), capture_output=True, text=True, timeout=200, check=False)
    assert refused.returncode == 2
    assert "--cpus-per-trial 1: the cluster has 0" in refused.stderr.splitlines()[-1]
    assert "--wait-for-nodes" in refused.stderr.splitlines()[-1]
    assert not storage.exists()
    with said.open("w") as stderr:
        command = sweep(empty, tiny_data, storage, "--wait-for-nodes", "4m", "--json")
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        for _ in range(600):
            if "no node holds a trial yet: waiting up to 240 s" in said.read_text():
                break
            assert driver.poll() is None, said.read_text()
            time.sleep(0.2)
        empty.add_node(num_cpus=1)
        out, _ = driver.communicate(timeout=240)
    finally:
        driver.kill()
    assert driver.returncode == 0, said.read_text()
    assert [trial["state"] for trial in json.loads(out)["trials"]] == ["finished"]
