"""Whatever happens to a cluster at a random moment of a sweep, nothing is lost; `benchmarks/faults.py` repeats it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from faults import run_one
from injections import FAULTS, Stage, stage
from three_nodes import why_not

pytestmark = pytest.mark.slow
FAR = ("node", "driver", "cut-off", "refuse", "rubbish")
"""Faults that may mean something else where the storage is not a disk."""


@pytest.fixture(scope="module", params=["shared", "s3"])
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cluster of three nodes whose storage is a folder that all of them see, or an S3 server."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    # Other moments and victims each time: the seed is shown where a test fails.
    seed = int.from_bytes(os.urandom(2))
    with stage(tmp_path_factory.mktemp("stage"), request.param, seed) as running:
        yield running


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost(on: Stage, name: str, tiny_data: str) -> None:
    if on.disk is None and name not in FAR:
        pytest.skip("the same as on a shared folder; the benchmark repeats it")
    outcome = run_one(on, name, ["--data", tiny_data], f"{name}-run")
    assert outcome.lost == [], outcome
    assert outcome.false_alarms <= 0, outcome
    assert outcome.behind <= 1, "the newest checkpoint or, if that is damaged, the one before"
    assert (outcome.noticed is not None) == FAULTS[name].loses_node
