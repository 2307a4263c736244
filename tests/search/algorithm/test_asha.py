"""Which trials ASHA lets continue."""

from __future__ import annotations

import numpy as np
import pytest

from search.algorithm.asha import Asha


def test_a_trial_goes_on_only_among_the_best_third() -> None:
    asha = Asha([1.0], 3)
    decisions = {}
    for trial, score in {"a": 50.0, "b": 40.0, "c": 60.0, "d": 30.0, "e": 45.0, "f": 31.0}.items():
        decisions[trial] = asha.report(trial, 1.0, score)
    # The first has nothing to be compared with; later ones continue if they reach the best third so far.
    assert [trial for trial, reason in decisions.items() if reason] == ["c", "e"]
    assert "worse than the cut-off" in str(decisions["c"])


def test_scores_count_once_and_at_the_highest_rung_reached() -> None:
    asha = Asha([1.0, 3.0, 9.0], 3)
    asha.report("a", 0.5, 90.0)
    assert asha.rungs == {1.0: {}, 3.0: {}, 9.0: {}}
    asha.report("a", 1.0, 80.0)
    asha.report("a", 2.0, 70.0)
    asha.report("a", 1.0, 10.0)
    assert asha.rungs[1.0] == {"a": 80.0}
    asha.report("b", 4.0, 60.0)
    assert asha.rungs == {1.0: {"a": 80.0}, 3.0: {"b": 60.0}, 9.0: {}}


def test_replaying_reports_rebuilds_the_rungs() -> None:
    random = np.random.default_rng(0)
    reports = [(f"t{n}", float(kimg), float(random.uniform(20, 200))) for kimg in range(1, 28) for n in range(20)]
    first, second = Asha([1.0, 3.0, 9.0], 3), Asha([1.0, 3.0, 9.0], 3)
    for report in reports:
        first.report(*report)
    for report in reports + reports[::3]:
        second.report(*report)
    assert first.rungs == second.rungs


def test_a_diverged_score_does_not_stretch_the_cutoff() -> None:
    asha = Asha([1.0], 3)
    for trial, score in {"a": 100.0, "b": 110.0, "c": 1e9, "d": 1e9}.items():
        asha.report(trial, 1.0, score)
    assert asha.report("e", 1.0, 5000.0) is not None


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0])
def test_about_one_in_eta_goes_on(factor: float) -> None:
    """For exchangeable scores, the share that continues tends to 1/η (plus the first few, which all continue)."""
    random = np.random.default_rng(1)
    asha = Asha([1.0], factor)
    kept = sum(asha.report(f"t{n}", 1.0, float(random.normal())) is None for n in range(3000))
    assert kept / 3000 == pytest.approx(1 / factor, abs=0.03)


def test_agrees_with_rays_own_asha_on_nearly_every_decision() -> None:
    """Ray interpolates its quantile; apart from that both are one rule."""
    from ray.tune.schedulers.async_hyperband import _Bracket

    class Stub:
        def __init__(self, name: str) -> None:
            self.trial_id = name

    random = np.random.default_rng(2)
    ours = Asha([1.0], 3)
    theirs = _Bracket(1, 10, 3, 0)
    theirs._rungs = [(1.0, {})]
    agreed = 0
    for n in range(500):
        score = float(random.normal())
        stop = ours.report(f"t{n}", 1.0, score) is not None
        # Ray's brackets maximise.
        agreed += stop == (theirs.on_result(Stub(f"t{n}"), 1.0, -score) == "STOP")
    assert agreed >= 495
