"""A cluster of another Ray is not joined: what one process sends may mean something else to the other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def older() -> Iterator[Cluster]:
    """A cluster that says it was started by an older Ray, as those do that were."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    store = GcsClient(address=cluster.address)
    said = json.loads(store.internal_kv_get(CLUSTER_METADATA_KEY, namespace=KV_NAMESPACE_CLUSTER))
    older = json.dumps(said | {"ray_version": "2.59.0"}).encode()
    store.internal_kv_put(CLUSTER_METADATA_KEY, older, overwrite=True, namespace=KV_NAMESPACE_CLUSTER)
    yield cluster
    cluster.shutdown()


def test_a_cluster_of_another_ray_is_not_joined(older: Cluster, tiny_data: str, tmp_path: Path) -> None:
    place = ["--address", older.address, "--data", tiny_data, "--storage", str(tmp_path / "results")]
    command = [sys.executable, "-m", "search", "sweep", *place, "--samples", "500", "--trials", "3"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()[-1:]
    assert line.startswith(f"gan-search: error: --address {older.address}: it cannot be joined")
    assert "Ray: 2.59.0" in line
    assert not (tmp_path / "results").exists()
