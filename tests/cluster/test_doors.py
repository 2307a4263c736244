"""What listens on a cluster's head answers to its token alone, whoever stands on the head."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
from three_nodes import Cluster

pytestmark = pytest.mark.slow
JOBS = """
import sys, urllib.error, urllib.request
headers = {"Authorization": f"Bearer {sys.argv[1]}"} if len(sys.argv) > 1 else {}
try:
    print(urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8265/api/jobs/", headers=headers)).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
CLIENT = """
import sys, grpc
from ray.core.generated.ray_client_pb2 import ClusterInfoRequest, ClusterInfoType
from ray.core.generated.ray_client_pb2_grpc import RayletDriverStub
metadata = [("client_id", "test"), *[("authorization", f"Bearer {token}") for token in sys.argv[1:]]]
with grpc.insecure_channel("127.0.0.1:10001") as channel:
    try:
        RayletDriverStub(channel).ClusterInfo(ClusterInfoRequest(type=ClusterInfoType.PING), metadata=metadata)
        print("OK")
    except grpc.RpcError as error:
        print(error.code().name)
"""
"""As `ray.init("ray://…")` begins, which itself takes half a minute to give up where it is refused."""

WRONG = "0" * 64


@pytest.fixture(scope="module")
def token(cluster: Cluster) -> str:
    return Path(cluster.environment["RAY_AUTH_TOKEN_PATH"]).read_text()


def ask(cluster: Cluster, program: str, *token: str) -> str:
    """Ask on the head, without what the cluster's own processes have in their environment; return the status."""
    bare = {name: value for name, value in cluster.environment.items() if "AUTH" not in name}
    command = cluster.inside(1, "timeout", "100", sys.executable, "-c", program, *token)
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode != 124, "neither let in nor refused"
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def answers(cluster: Cluster, program: str, token: str, welcome: str) -> list[str]:
    """Return the statuses with no token, a wrong one and the right one, once the door is open."""
    for _ in range(60):  # Some open seconds after the head.
        if ask(cluster, program, token) == welcome:
            break
        time.sleep(1)
    return [ask(cluster, program), ask(cluster, program, WRONG), ask(cluster, program, token)]


@pytest.mark.skipif(importlib.util.find_spec("aiohttp_cors") is None, reason="needs pip install -e '.[cluster]'")
def test_the_jobs_api(cluster: Cluster, token: str) -> None:
    assert answers(cluster, JOBS, token, "200") == ["401", "403", "200"]


def test_the_client_port(cluster: Cluster, token: str) -> None:
    assert answers(cluster, CLIENT, token, "OK") == ["UNAUTHENTICATED", "UNAUTHENTICATED", "OK"]
