"""Fixtures of a run's folder, written without a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_writer import TRIALS, Writer

from gan.storage.storage import Storage


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "demo")


@pytest.fixture
def run(writer: Writer) -> Storage:
    """An interrupted run of 14 trials, 11 of them begun, in all states."""
    writer.begin(trials=14)
    for index, trial in enumerate(TRIALS):
        writer.trial(index, *trial)
    writer.bundle("best/t0003")
    return writer.write()
