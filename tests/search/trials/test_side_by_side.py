"""Trials begin side by side, and no more of them than there is room for: Tune and the planner together."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import run_cli, sweep_arguments
from ray._private.utils import get_num_cpus

from gan.storage.storage import Storage
from search.run.journal import read_events

ROOM = 4


@pytest.mark.slow
def test_as_many_begin_at_once_as_there_is_room_for(tmp_path: Path) -> None:
    share = get_num_cpus() / ROOM
    settings = ["--trials", "8", "--kimg", "1.2", "--cpus-per-trial", f"{share:g}", "--gpus-per-trial", "0"]
    done = run_cli(*sweep_arguments("faces", tmp_path, "--size", "16", "--name", "r", *settings))
    assert done.returncode == 0, done.stderr
    begun: set[str] = set()
    ended: set[str] = set()
    begun_at_the_first_start: int | None = None
    for event in read_events(Storage(tmp_path / "r")):
        if event["event"] == "trial":
            begun.add(event["trial"])
        elif event["event"] == "start":
            begun_at_the_first_start = begun_at_the_first_start or len(begun)
        elif event["event"] == "verdict":
            ended.add(event["trial"])
        assert len(begun - ended) <= ROOM + 1
    # Left to itself, Tune asks for the second only when the first has started.
    assert begun_at_the_first_start == ROOM + 1
    assert len(begun) == len(ended) == 8
