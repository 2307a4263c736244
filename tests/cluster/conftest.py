"""A cluster of three nodes, for tests that only ask something of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from three_nodes import Cluster, three_nodes, why_not


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with three_nodes(tmp_path_factory.mktemp("cluster")) as running:
        yield running
