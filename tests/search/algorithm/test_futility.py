"""Which trials futility stops."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from search.algorithm.futility import MIN_TRIALS, Futility

LENGTH = 6
FALLS = (0.5, 0.3, 0.2, 0.1, 0.1)


def curve(last: float, falls: Iterable[float] = FALLS) -> list[float]:
    """Return scores after 1 to 6 kimg that end at `last`, and whose logarithms fall by `falls`."""
    logs = [math.log(last)]
    for fall in reversed(list(falls)):
        logs.append(logs[-1] + fall)
    return [math.exp(value) for value in reversed(logs)]


def learnt(
    deviations: float = 2.0, places: int = 1, grace: float = 0.0, *, spread: float = 0.0, trials: int = 10
) -> Futility:
    """Return a `Futility` that has observed trials whose scores ended at 100, 101, …"""
    random = np.random.default_rng(0)
    futility = Futility(LENGTH, deviations, places, grace, max_trials=10_000)
    for number in range(trials):
        falls = np.array(FALLS) + spread * random.normal(size=5)
        for kimg, score in enumerate(curve(100.0 + number, falls), 1):
            futility.report(f"t{number}", float(kimg), score)
    return futility


@pytest.mark.parametrize(("last", "stopped"), [(99.0, False), (103.0, True)])
def test_where_all_curves_are_alike_the_first_report_tells_who_will_win(last: float, stopped: bool) -> None:
    reason = learnt().report("new", 1.0, curve(last)[0])
    assert (reason is not None) is stopped
    assert reason is None or reason == "1 kimg: 342 would hardly fall below 103, and 100 is reached"


def test_the_more_curves_differ_the_later_one_is_sure() -> None:
    found = []
    for spread in (0.0, 0.1, 0.15):
        futility = learnt(spread=spread)
        reasons = [futility.report("new", float(kimg), score) for kimg, score in enumerate(curve(150.0), 1)]
        found.append(next((kimg for kimg, reason in enumerate(reasons, 1) if reason), LENGTH))
    assert found == sorted(set(found)) and found[0] == 1


@pytest.mark.parametrize("deviations", [0.5, 1.0, 2.0])
def test_who_is_only_just_stopped_wins_as_rarely_as_is_said(deviations: float) -> None:
    """With independent steps, it wins with the normal probability of falling this many deviations below the mean."""
    futility = learnt(deviations, spread=0.1, trials=2000)
    futility.report("front", float(LENGTH), 50.0)
    firsts = [float(first) for first in np.geomspace(50.0, 500.0, 2000)]
    first = next(first for first in firsts if futility.report(f"n{first}", 1.0, first))
    falls = (np.array(FALLS) + 0.1 * np.random.default_rng(1).normal(size=(20_000, 5))).sum(1)
    won = np.mean(first * np.exp(-falls) < 50.0)
    assert won == pytest.approx(0.5 * math.erfc(deviations / math.sqrt(2)), rel=0.15)


def test_nothing_is_foreseen_before_enough_trials_went_the_whole_way() -> None:
    futility = Futility(LENGTH, 0.0)
    for number in range(MIN_TRIALS):
        assert futility.report("bad", 1.0, 1e6) is None
        for kimg, score in enumerate(curve(100.0), 1):
            assert futility.report(f"t{number}", float(kimg), score) is None
    assert futility.report("worse", 1.0, 2e6) is not None


def test_nothing_is_foreseen_while_nobody_has_come_to_the_end() -> None:
    futility = Futility(LENGTH, 0.0)
    for number in range(2 * MIN_TRIALS):
        for kimg, score in enumerate(curve(100.0)[:-1], 1):
            assert futility.report(f"t{number}", float(kimg), score) is None
    assert futility.report("bad", 1.0, 1e6) is None


def test_a_trial_that_has_come_to_its_end_is_not_stopped() -> None:
    assert learnt().report("new", float(LENGTH), 1e6) is None


def test_every_trial_has_its_grace() -> None:
    futility = learnt(grace=3.0)
    reasons = [futility.report("new", float(kimg), 1e6) is not None for kimg in (1, 2, 3)]
    assert reasons == [False, False, True]


def test_once_a_search_has_had_enough_trials_none_is_stopped_any_more() -> None:
    futility = Futility(LENGTH, 0.0)
    for number in range(MIN_TRIALS):
        for kimg in range(1, LENGTH + 1):
            futility.report(f"t{number}", float(kimg), 100.0 / kimg)
    stopped = [futility.report(f"late{number}", 1.0, 1e6) is not None for number in range(MIN_TRIALS, 110)]
    # As documented: the hundredth is the last.
    assert stopped == [number < 100 for number in range(MIN_TRIALS, 110)]
    # Nor is one that began before.
    assert futility.report(f"late{MIN_TRIALS}", 2.0, 1e6) is None


def test_as_many_trials_may_win_as_are_trained_again() -> None:
    beaten = curve(103.5)[0]
    assert learnt(places=1).report("new", 1.0, beaten) is not None
    assert learnt(places=5).report("new", 1.0, beaten) is None
    assert learnt(places=11).report("new", 1.0, 1e6) is None


def test_the_front_forgets_no_one_who_comes_back_better() -> None:
    futility = Futility(LENGTH, 0.0, places=2)
    for trial, kimg, score in (("a", 1, 50.0), ("b", 1, 60.0), ("c", 1, 70.0), ("c", 2, 40.0), ("a", 2, 45.0)):
        futility.report(trial, float(kimg), score)
    assert futility._front == pytest.approx({"c": math.log(40.0), "a": math.log(45.0)})


def test_replaying_reports_changes_nothing() -> None:
    first, second = learnt(spread=0.1), learnt(spread=0.1)
    random = np.random.default_rng(1)
    for number in range(10):
        for kimg in range(1, LENGTH + 1):
            second.report(f"t{number}", float(kimg), float(random.uniform(1, 1000)))
    probes = [float(score) for score in np.geomspace(100, 1000, 20)]
    assert [first.report(f"p{score}", 1.0, score) for score in probes] == [
        second.report(f"p{score}", 1.0, score) for score in probes
    ]


def test_a_score_of_nothing_is_no_error() -> None:
    futility = learnt()
    assert futility.report("perfect", 1.0, 0.0) is None
    assert futility.report("other", 1.0, 100.0) is not None
