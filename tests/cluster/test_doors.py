"""The Jobs API of a cluster answers to its token alone, whoever stands on the head.

It is there with `ray[default]` only, which the tests do not need otherwise: `pip install -e '.[cluster]'`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
from three_nodes import Cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("aiohttp_cors") is None, reason="needs pip install -e '.[cluster]'"),
]
JOBS = """
import sys, urllib.error, urllib.request
headers = {"Authorization": f"Bearer {sys.argv[1]}"} if len(sys.argv) > 1 else {}
try:
    print(urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8265/api/jobs/", headers=headers)).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
WRONG = "0" * 64


@pytest.fixture(scope="module")
def token(cluster: Cluster) -> str:
    return Path(cluster.environment["RAY_AUTH_TOKEN_PATH"]).read_text()


def ask(cluster: Cluster, *token: str) -> str:
    """Ask on the head, without what the cluster's own processes have in their environment; return the status."""
    bare = {name: value for name, value in cluster.environment.items() if "AUTH" not in name}
    command = cluster.inside(1, "timeout", "100", sys.executable, "-c", JOBS, *token)
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode != 124, "neither let in nor refused"
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def test_the_jobs_api(cluster: Cluster, token: str) -> None:
    for _ in range(60):  # It opens some seconds after the head.
        if ask(cluster, token) == "200":
            break
        time.sleep(1)
    assert [ask(cluster), ask(cluster, WRONG), ask(cluster, token)] == ["401", "403", "200"]
