"""What Tune is told at each report: go on, or stop."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gan.training.report import DIVERGED_SCORE
from search.algorithm.asha import Asha
from search.algorithm.futility import MIN_TRIALS, Futility
from search.run.record import SweepRecord, TrialRecord
from search.trials.scheduler import AshaScheduler

LENGTH = 3


def scheduler(record: SweepRecord | None = None, *, foresees: bool = True, exempt: bool = True) -> AshaScheduler:
    """One without rungs."""
    futility = Futility(LENGTH, 2.0) if foresees else None
    return AshaScheduler(Asha([], math.inf), futility, record or SweepRecord(), LENGTH, exempt)


def told(made: AshaScheduler, trial: str, kimg: float, score: float, **more: Any) -> str:
    result = {"trial": trial, "kimg": kimg, "score": score, "source": "sampled", "outcome": "", **more}
    return made.on_trial_result(None, None, result)  # type: ignore[arg-type]


def curves() -> dict[str, list[float]]:
    """Trials that all halve their score from report to report; the best comes to 50."""
    return {f"t{number}": [200.0 + 20 * number, 100.0 + 10 * number, 50.0 + 5 * number] for number in range(MIN_TRIALS)}


def trained(foresees: bool = True, exempt: bool = True) -> AshaScheduler:
    made = scheduler(foresees=foresees, exempt=exempt)
    for trial, scores in curves().items():
        decisions = [told(made, trial, kimg, score) for kimg, score in enumerate(scores, 1)]
        assert decisions == ["CONTINUE", "CONTINUE", "STOP"] and trial not in made.stopped
    return made


def recorded() -> SweepRecord:
    record = SweepRecord()
    for trial, scores in curves().items():
        record.trials[trial] = TrialRecord(trial, "dcgan", "bce", "sampled", {}, {}, 0)
        for kimg, score in enumerate(scores, 1):
            record.trials[trial].add_report({"kimg": float(kimg), "score": score, "diverged": False})
    lost = record.trials["lost"] = TrialRecord("lost", "dcgan", "bce", "sampled", {}, {}, 0)
    lost.add_report({"kimg": 1.0, "score": 60.0, "diverged": False})
    lost.add_report({"kimg": 2.0, "score": DIVERGED_SCORE, "diverged": True})
    return record


def test_a_trial_that_will_hardly_win_is_stopped_and_the_reason_kept() -> None:
    made = trained()
    assert told(made, "likely", 1, 190.0) == "CONTINUE"
    assert told(made, "unlikely", 1, 210.0) == "STOP"
    assert made.stopped == {"unlikely": "1 kimg: 210 would hardly fall below 52.5, and 50 is reached"}


def test_without_the_rule_it_goes_on() -> None:
    assert told(trained(foresees=False), "unlikely", 1, 1000.0) == "CONTINUE"


def test_published_settings_go_on_whatever_is_foreseen() -> None:
    made = trained()
    assert told(made, "own", 1, 1000.0, source="published") == "CONTINUE"
    assert not made.stopped


def test_published_settings_that_take_much_of_a_sweep_are_stopped_like_others() -> None:
    assert told(trained(exempt=False), "own", 1, 1000.0, source="published") == "STOP"


def test_after_a_restart_the_same_is_foreseen() -> None:
    made = scheduler(recorded())
    # The lost trial had led at first, but its fall was none that others might make.
    assert told(made, "likely", 1, 190.0) == "CONTINUE"
    assert told(made, "unlikely", 1, 210.0) == "STOP"
    assert made.futility is not None
    assert made.futility._falls[1000, 2000].mean == pytest.approx(-math.log(2))


def test_a_diverged_report_ends_the_trial_and_teaches_nothing() -> None:
    made = trained()
    assert told(made, "lost", 1, DIVERGED_SCORE, outcome="diverged") == "STOP"
    assert not made.stopped
    assert made.futility is not None and "lost" not in made.futility._curves
