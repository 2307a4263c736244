"""How a trial's outcome is read from a journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan.storage.storage import Storage
from search.run.journal import FORMAT, Journal
from search.run.outcome import Outcome
from search.run.record import read_record

LAUNCH = {"format": FORMAT, "command": "gan-search sweep", "settings": {}, "evaluation": {}, "versions": {}}
TRIAL = {"recipe": "wgan", "objective": "wgan", "source": "sampled", "params": {}, "settings": {}, "seed": 3}


@pytest.mark.parametrize(
    ("verdict", "state", "outcome"),
    [
        ({"state": "failed", "outcome": "infeasible"}, "failed", Outcome.INFEASIBLE),
        ({"state": "failed", "outcome": "node-out-of-memory"}, "failed", Outcome.NODE_OUT_OF_MEMORY),
        # The reason is for people: with an outcome, nothing is read from it.
        ({"state": "failed", "outcome": "failed", "reason": "out of memory: 3 GiB"}, "failed", Outcome.FAILED),
        # Of earlier versions.
        ({"state": "failed", "reason": "out of memory: 3 GiB"}, "failed", Outcome.INFEASIBLE),
        ({"state": "failed", "reason": "ValueError: batch 0"}, "failed", Outcome.FAILED),
        ({"state": "failed"}, "failed", Outcome.FAILED),
        ({"state": "diverged", "reason": "not finite"}, "diverged", Outcome.DIVERGED),
        ({"state": "stopped", "reason": "rung 1"}, "stopped", Outcome.STOPPED),
        ({"state": "finished", "reason": None}, "finished", Outcome.FINISHED),
        # Of a later version, or damaged.
        ({"state": "failed", "outcome": "novelty", "reason": "out of memory: x"}, "failed", Outcome.FAILED),
        ({"state": "diverged", "outcome": ["x"]}, "diverged", Outcome.DIVERGED),
        ({"state": "novelty"}, "novelty", None),
    ],
)
def test_a_verdict_has_an_outcome_whichever_version_wrote_it(
    verdict: dict[str, Any], state: str, outcome: Outcome | None, tmp_path: Path
) -> None:
    journal = Journal(Storage(tmp_path))
    journal.append_all(
        [("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}), ("verdict", {"trial": "t0", **verdict})]
    )
    trial = read_record(Storage(tmp_path)).trials["t0"]
    assert (trial.state, trial.outcome) == (state, outcome)


def test_an_outcome_comes_back_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal(Storage(tmp_path))
    journal.append("sweep", **LAUNCH)
    for outcome in Outcome:
        journal.append("trial", trial=outcome.name, **TRIAL)
        journal.append("verdict", trial=outcome.name, state=outcome.state, outcome=outcome)
    assert {name: trial.outcome for name, trial in read_record(Storage(tmp_path)).trials.items()} == {
        outcome.name: outcome for outcome in Outcome
    }


def test_settings_are_at_fault_where_others_would_have_ended_better() -> None:
    assert {outcome for outcome in Outcome if outcome.is_fault_of_settings} == {Outcome.DIVERGED, Outcome.INFEASIBLE}
