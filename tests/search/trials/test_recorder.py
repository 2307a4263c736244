"""What Tune's events become in a run's record; whole sweeps are in `test_sweep`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray import cloudpickle
from ray.exceptions import RayActorError
from ray.tune.experiment.trial import Trial

from gan.storage.storage import Storage
from search.cluster.lost_workers import WorkerOutOfMemory
from search.run.journal import Journal, read_events
from search.run.outcome import Outcome
from search.run.record import SweepRecord, TrialRecord
from search.trials.context import RunContext
from search.trials.planner import Planner
from search.trials.recorder import REPORTED, Recorder
from search.trials.scheduler import AshaScheduler
from search.trials.trial import NoGpu

NO_GPU = "node 10.0.0.7: PyTorch finds no GPU"


@pytest.fixture
def concluded() -> list[TrialRecord]:
    """The trials that the planner was told the end of."""
    return []


@pytest.fixture
def recorder(tmp_path: Path, concluded: list[TrialRecord]) -> Recorder:
    trial = TrialRecord("t0000", "dcgan", "non-saturating", "sampled", {}, {}, 0)
    planner = cast(Planner, SimpleNamespace(trials={"t0000": trial}, conclude=concluded.append))
    scheduler = cast(AshaScheduler, SimpleNamespace(stopped={}))
    run, spec = Storage(tmp_path), SimpleNamespace(kimg=10.0, bundles_kept=1, checkpoints_kept=False)
    context = SimpleNamespace(run=run, record=SweepRecord(), journal=Journal(run), spec=spec)
    return Recorder(cast(RunContext, context), planner, scheduler, [])


def trial(failures: int) -> Trial:
    """Return a trial of Tune's that has failed so often, and may fail twice."""
    made = Trial("trial", stub=True, config={"trial": "t0000"}, max_failures=2)
    made.run_metadata.num_failures = failures
    return made


def report(kimg: float) -> dict[str, Any]:
    return {**dict.fromkeys(REPORTED, 0.0), "kimg": kimg, "outcome": None, "trial": "t0000"}


@pytest.mark.parametrize(
    ("error", "text", "outcome", "reason"),
    [
        (None, "ValueError: no such thing", Outcome.FAILED, "ValueError: no such thing"),
        (RayActorError(error_msg="SIGKILL"), "SIGKILL", Outcome.FAILED, "SIGKILL"),
        (WorkerOutOfMemory(), str(WorkerOutOfMemory()), Outcome.NODE_OUT_OF_MEMORY, str(WorkerOutOfMemory())),
        (NoGpu(NO_GPU), f"NoGpu: {NO_GPU}", Outcome.HALT, NO_GPU),
        # The error is that of an earlier attempt.
        (NoGpu(NO_GPU), "ValueError: no such thing", Outcome.FAILED, "ValueError: no such thing"),
        # The text alone decides nothing.
        (None, "ValueError: PyTorch finds no GPU", Outcome.FAILED, "ValueError: PyTorch finds no GPU"),
    ],
)
def test_a_trial_whose_process_failed_is_final_unless_no_trial_can_go_on(
    error: Exception | None,
    text: str,
    outcome: Outcome,
    reason: str,
    recorder: Recorder,
    concluded: list[TrialRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "error.txt").write_text(f"Failure # 3 (occurred at 2026-01-01_00-00-00)\nTraceback …\n{text}\n")
    (tmp_path / "error.pkl").write_bytes(b"damaged" if error is None else cloudpickle.dumps(error))
    monkeypatch.setattr(Trial, "error_file", str(tmp_path / "error.txt"))
    monkeypatch.setattr(Trial, "pickled_error_file", str(tmp_path / "error.pkl"))
    recorder.on_trial_error(1, [], trial(failures=3))
    (event,) = read_events(Storage(tmp_path))
    halts = outcome == Outcome.HALT
    assert (event["event"], event["reason"]) == ("problem" if halts else "verdict", reason)
    assert event.get("outcome") == (None if halts else outcome)
    assert [(ended.state, ended.outcome) for ended in concluded] == ([] if halts else [("failed", outcome)])
    assert recorder.halted == (reason if halts else None)


def test_settings_that_do_not_fit_are_final_at_once(
    recorder: Recorder, concluded: list[TrialRecord], tmp_path: Path
) -> None:
    given_up = {**report(0.0), "outcome": Outcome.INFEASIBLE, "reason": "out of memory: 3 GiB"}
    recorder.on_trial_result(1, [], trial(failures=0), given_up)
    (event,) = read_events(Storage(tmp_path))
    expected = {"state": "failed", "outcome": "infeasible", "reason": "out of memory: 3 GiB"}
    assert {name: event[name] for name in expected} == expected
    assert [ended.outcome for ended in concluded] == [Outcome.INFEASIBLE]


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
