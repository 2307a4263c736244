"""What Tune's events become in a run's record; whole sweeps are in `test_sweep`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.tune.experiment.trial import Trial

from gan.storage.storage import Storage
from search.run.journal import Journal, read_events
from search.run.record import SweepRecord, TrialRecord
from search.trials.planner import Planner
from search.trials.recorder import REPORTED, Recorder
from search.trials.scheduler import AshaScheduler


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    trial = TrialRecord("t0000", "dcgan", "non-saturating", "sampled", {}, {}, 0)
    planner = cast(Planner, SimpleNamespace(trials={"t0000": trial}))
    scheduler = cast(AshaScheduler, SimpleNamespace(stopped={}))
    run = Storage(tmp_path)
    return Recorder(run, SweepRecord(), Journal(run), planner, scheduler, 10.0, 1, [])


def trial(failures: int) -> Trial:
    """Return a trial of Tune's that has failed so often, and may fail twice."""
    made = Trial("trial", stub=True, config={"trial": "t0000"}, max_failures=2)
    made.run_metadata.num_failures = failures
    return made


def report(kimg: float) -> dict[str, Any]:
    return {**dict.fromkeys(REPORTED, 0.0), "kimg": kimg, "outcome": "", "trial": "t0000"}


@pytest.mark.parametrize(
    ("error", "state", "halted"),
    [
        ("ValueError: no such thing", "failed", False),
        ("RuntimeError: node 10.0.0.7: PyTorch finds no GPU", "pending", True),
    ],
)
def test_a_trial_that_its_node_has_failed_is_not_final(
    error: str, state: str, halted: bool, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "error.txt").write_text(f"Traceback …\n{error}\n")
    monkeypatch.setattr(Trial, "error_file", str(tmp_path / "error.txt"))
    monkeypatch.setattr(recorder._planner, "conclude", lambda record: None, raising=False)
    recorder.on_trial_error(1, [], trial(failures=3))
    assert recorder._record.trials["t0000"].state == state
    assert recorder.halted == (error if halted else None)
    assert [event["event"] for event in read_events(Storage(tmp_path))] == ["problem" if halted else "verdict"]


def test_retries_are_counted_from_the_last_new_report(recorder: Recorder, tmp_path: Path) -> None:
    """In days, any trial loses some nodes: only one that does not get on is given up."""
    lost = trial(failures=3)
    assert not lost.should_recover()
    recorder.on_trial_result(1, [], lost, report(1.0))
    assert lost.should_recover()
    lost.run_metadata.num_failures = 1
    recorder.on_trial_result(2, [], lost, report(1.0))  # out of its checkpoint
    assert lost.run_metadata.num_failures == 1
    recorder.on_trial_result(3, [], lost, report(2.0))
    assert lost.run_metadata.num_failures == 0
    assert [event["kimg"] for event in read_events(Storage(tmp_path))] == [1.0, 1.0, 2.0]
