"""How many trials are handed out before others have ended: as many as run side by side, and one that waits."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.tune.search import Searcher

from gan.storage.storage import Storage
from search.cluster.nodes import trials_that_fit
from search.cluster.watch import Use
from search.plan.spec import RunSpec, make_spec
from search.run.journal import Journal
from search.run.record import SweepRecord, TrialRecord
from search.trials.planner import Planner
from search.trials.tuner import room_for_trials


def trial(number: int, state: str = "pending") -> TrialRecord:
    made = TrialRecord(f"t{number:04d}", "wgan", "wgan", "sampled", {}, {}, number)
    made.state = state
    return made


class Counting(Planner):
    def new_trial(self) -> TrialRecord | None:
        return trial(len(self.trials))


@pytest.fixture
def planner(tmp_path: Path) -> Iterator[Counting]:
    yield Counting(SweepRecord(), Journal(Storage(tmp_path)))


def test_one_more_is_handed_out_than_there_is_room_for(planner: Planner) -> None:
    planner.room = lambda: 2
    assert [planner.suggest(f"tune-{n}") is not None for n in range(5)] == [True, True, True, False, False]
    # What was refused was not begun.
    assert list(planner.trials) == ["t0000", "t0001", "t0002"]
    planner.on_trial_complete("tune-1")
    assert planner.suggest("tune-5")["trial"] == "t0003" and planner.suggest("tune-6") is None


def test_room_that_comes_with_a_node_is_used(planner: Planner) -> None:
    room = 0
    planner.room = lambda: room
    assert planner.suggest("tune-0") is not None and planner.suggest("tune-1") is None
    room = 3
    assert [planner.suggest(f"tune-{n}") is not None for n in range(1, 5)] == [True, True, True, False]


def test_a_planner_has_room_for_all_where_nobody_says_otherwise(planner: Planner) -> None:
    assert all(isinstance(planner.suggest(f"tune-{n}"), dict) for n in range(100))


def test_tune_can_pickle_it_whatever_tells_the_room(planner: Planner) -> None:
    lock = threading.Lock()
    planner.room = lambda: int(lock.locked())
    assert isinstance(pickle.loads(pickle.dumps(planner)), Searcher)


@pytest.mark.parametrize(
    ("resources", "given", "trials"),
    [
        ({"CPU": 16.0}, {}, 16),
        ({"CPU": 3.0}, {"cpus_per_trial": 2}, 1),
        ({"CPU": 1.0}, {"cpus_per_trial": 0.1}, 10),
        ({"CPU": 16.0, "GPU": 2.0}, {"gpus_per_trial": 1}, 2),
        ({"CPU": 16.0, "GPU": 4.0}, {"gpus_per_trial": 2}, 2),
        # Three do not share a GPU of which each takes 0.4; nor does a trial lie on two.
        ({"CPU": 64.0, "GPU": 4.0}, {"gpus_per_trial": 0.4}, 8),
        # As `--gpus-per-trial auto` writes a third and a seventh.
        ({"CPU": 64.0, "GPU": 2.0}, {"gpus_per_trial": 0.3333}, 6),
        ({"CPU": 64.0, "GPU": 2.0}, {"gpus_per_trial": 0.1428}, 14),
        ({"CPU": 64.0, "GPU": 1.0}, {"gpus_per_trial": 0.0625}, 16),
        ({"CPU": 16.0}, {"gpus_per_trial": 1}, 0),
        ({}, {}, 0),
    ],
)
def test_how_many_trials_a_node_holds(resources: dict[str, float], given: dict[str, Any], trials: int) -> None:
    assert trials_that_fit(resources, make_spec(given)) == trials


def room(use: Use | None, running: int, spec: RunSpec | None = None) -> int:
    trials = [trial(n, "running" if n < running else "finished") for n in range(running + 3)]
    return room_for_trials(use, trials, spec or make_spec({}))


def test_room_is_what_the_nodes_hold_less_what_others_have_taken() -> None:
    nodes = ({"CPU": 8.0}, {"CPU": 8.0}, {"CPU": 0.5})
    assert room(Use((0.0, 16.5), (0.0, 0.0), nodes), 0) == 16
    assert room(Use((16.0, 16.5), (0.0, 0.0), nodes), 16) == 16
    # Another job has 10 of them.
    assert room(Use((10.0, 16.5), (0.0, 0.0), nodes), 0) == 6
    assert room(Use((16.0, 16.5), (0.0, 0.0), nodes), 6) == 6
    # The last look is from before they began.
    assert room(Use((0.0, 16.5), (0.0, 0.0), nodes), 9) == 16


def test_where_the_cluster_does_not_answer_nothing_more_is_begun() -> None:
    assert room(None, 5) == 0


def test_a_planner_counts_tunes_trials_not_verdicts(planner: Planner) -> None:
    """A trial that is tried again has its place still."""
    planner.room = lambda: 0
    config = planner.suggest("tune-0")
    planner.conclude(cast(TrialRecord, SimpleNamespace(id=config["trial"])))
    assert planner.suggest("tune-1") is None
