"""Which trials Tune is handed, and what the study learns of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from gan.storage.storage import Storage
from search.algorithm.expectation import Expectation
from search.algorithm.learning import Table, learn
from search.algorithm.prior import Task
from search.algorithm.sampler import ModelSampler, draw_params
from search.plan.spec import SweepSpec, make_spec
from search.run.journal import Journal
from search.run.outcome import Outcome
from search.run.record import SweepRecord, read_record
from search.trials.searcher import StudySearcher


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def make(run: Storage, record: SweepRecord | None = None, **settings: Any) -> tuple[SweepSpec, StudySearcher]:
    spec = make_spec({"trials": 24, "kimg": 12, **settings})
    return spec, StudySearcher(spec, spec.load_recipes(), record or SweepRecord(), Journal(run))


def finish(searcher: StudySearcher, trial: str, fid: float | None, outcome: Outcome = Outcome.FINISHED) -> None:
    record = searcher.trials[trial]
    record.reports = [] if fid is None else [{"kimg": 12.0, "score": fid, "best_fid": fid}]
    record.conclude(outcome, None)
    searcher.conclude(record)


def ask_all(searcher: StudySearcher) -> list[dict[str, Any]]:
    configs = []
    while (config := searcher.suggest(f"tune-{len(configs)}")) != Searcher.FINISHED:
        configs.append(config)
        finish(searcher, config["trial"], 100.0 + len(configs))
    return configs


def test_published_settings_come_first_then_samples_up_to_the_number_of_trials(run: Storage) -> None:
    _, searcher = make(run)
    configs = ask_all(searcher)
    assert [config["source"] for config in configs] == ["published"] * 3 + ["sampled"] * 21
    assert [config["recipe"] for config in configs[:3]] == ["dcgan", "l2", "wgan"]
    assert configs[2]["settings"]["clip"] == 0.01
    assert len({config["trial"] for config in configs}) == 24


def test_how_settings_were_chosen_is_in_the_journal(run: Storage) -> None:
    _, searcher = make(run, trials=40)
    Journal(run).append("sweep", format=1, command="", settings={}, evaluation={}, versions={})
    ask_all(searcher)
    chosen = [trial.provenance for trial in read_record(run).trials.values()]
    # Twelve ended trials are the fewest that the model is used with; later, one in ten is random.
    assert chosen[:12] == ["published"] * 3 + ["random"] * 9
    assert set(chosen[12:]) == {"model", "random"} and chosen.count("model") > 20
    assert chosen == [trial.provenance for trial in searcher.trials.values()]


POINTS = [
    {"recipe": "wgan", "clip": 0.05},
    {"recipe": "dcgan", "lr_g": 1.0e-3},
    {"recipe": "dcgan", "lr_g": 1.0e-3},  # once more, on another seed
]


def test_points_come_first_then_the_published_settings_then_samples(run: Storage) -> None:
    spec, searcher = make(run, points=POINTS, trials=8)
    configs = ask_all(searcher)
    trials = list(searcher.trials.values())
    assert [trial.provenance for trial in trials] == ["points"] * 3 + ["published"] * 3 + ["random"] * 2
    assert {config["source"] for config in configs[:3]} == {"sampled"}
    for trial, point in zip(trials[:3], POINTS, strict=True):
        recipe = spec.load_recipes()[trial.recipe]
        asked = {name: value for name, value in point.items() if name != "recipe"}
        assert (trial.recipe, trial.params | asked) == (point["recipe"], trial.params)
        assert trial.settings == recipe.settings | asked
    assert len({trial.seed for trial in trials}) == 8


def expecting(spec: SweepSpec) -> Expectation:
    """Return what a prior expects that has seen one set of images, on which large rates were best."""
    recipes, random = spec.load_recipes(), np.random.default_rng(0)
    dcgan = recipes["dcgan"]
    entries = [("dcgan", draw_params(dcgan.searchable(), dcgan.settings, random)) for _ in range(40)]
    results = np.array([-float(params["lr_g"]) for _, params in entries])
    prior = learn(recipes, [Table("some", Task(16, 64.0, 12.0, 3, 5000), entries, results)])
    return Expectation(prior, recipes, (16, 16, 3), 12.0, 5000)


def test_a_portfolio_comes_after_points_and_takes_a_third_at_most(run: Storage) -> None:
    points = [{"recipe": "wgan", "clip": 0.05}]
    spec = make_spec({"trials": 24, "kimg": 12, "points": points})
    searcher = StudySearcher(spec, spec.load_recipes(), SweepRecord(), Journal(run), expecting(spec))
    portfolio, _ = expecting(spec).portfolio()
    ask_all(searcher)
    trials = list(searcher.trials.values())
    chosen = [trial.provenance for trial in trials]
    assert len(portfolio) > 8 and chosen[:12] == ["points"] + ["portfolio"] * 8 + ["published"] * 3
    assert [(trial.recipe, trial.params) for trial in trials[1:9]] == portfolio[:8]
    # The model needs no random trials before it, as the prior's means stand in for them.
    assert chosen[12:].count("model") > chosen[12:].count("random")


@pytest.mark.parametrize("right", [True, False])
def test_a_prior_that_ranks_badly_is_left_aside(right: bool, run: Storage) -> None:
    """It expects large rates to be best."""
    spec = make_spec({"trials": 45, "kimg": 12, "recipes": ["dcgan"], "published": False})
    searcher = StudySearcher(spec, spec.load_recipes(), SweepRecord(), Journal(run), expecting(spec))
    while (config := searcher.suggest("tune")) != Searcher.FINISHED:
        rate = config["settings"]["lr_g"]
        finish(searcher, config["trial"], 200.0 - 1e4 * rate if right else 100.0 + 1e4 * rate)
    sampler = searcher.study.sampler
    assert isinstance(sampler, ModelSampler) and (sampler.trust > 0.5) == right
    rates = [float(trial.params["lr_g"]) for trial in list(searcher.trials.values())[-10:]]
    assert sum(rate > 1e-3 if right else rate < 1e-3 for rate in rates) > 5


def test_before_any_trial_has_ended_settings_are_drawn_where_the_prior_expects_much(run: Storage) -> None:
    spec = make_spec({"trials": 40, "kimg": 12, "recipes": ["dcgan"], "published": False})
    searcher = StudySearcher(spec, spec.load_recipes(), SweepRecord(), Journal(run), expecting(spec))
    for number in range(40):
        searcher.suggest(f"tune-{number}")
    drawn = [trial for trial in searcher.trials.values() if trial.provenance == "prior"]
    assert len(drawn) == 40 - spec.portfolio_trials
    assert sum(float(trial.params["lr_g"]) > 1e-3 for trial in drawn) > 0.8 * len(drawn)


def test_the_study_learns_from_points(run: Storage) -> None:
    _, searcher = make(run, points=POINTS, published=False, trials=3)
    first = searcher.suggest("x")["trial"]
    assert [trial.state for trial in searcher.study.trials] == [TrialState.RUNNING]
    finish(searcher, first, 40.0, Outcome.STOPPED)
    ask_all(searcher)
    told = searcher.study.trials
    assert [trial.params["recipe"] for trial in told] == ["wgan", "dcgan", "dcgan"]
    assert (told[0].params["wgan.clip"], told[0].intermediate_values, told[0].state.name) == (
        0.05,
        {12000: 40.0},
        "PRUNED",
    )
    assert told[1].params["dcgan.lr_g"] == 1e-3


def test_a_resumed_run_tries_the_points_that_are_left(run: Storage) -> None:
    _, first = make(run, points=POINTS, published=False, trials=5)
    journal = Journal(run)
    journal.append("sweep", format=1, command="", settings={}, evaluation={}, versions={})
    for name in (first.suggest("a")["trial"], first.suggest("b")["trial"]):
        journal.append("report", trial=name, kimg=12.0, score=50.0, best_fid=50.0)
    journal.append("verdict", trial="t0000", state="finished", reason=None)
    _, second = make(run, read_record(run), points=POINTS, published=False, trials=5)
    handed = [second.suggest("x")["trial"] for _ in range(4)]
    assert handed == ["t0001", "t0002", "t0003", "t0004"]
    origins = [(trial.recipe, trial.provenance) for trial in read_record(run).trials.values()]
    assert origins[:3] == [("wgan", "points"), ("dcgan", "points"), ("dcgan", "points")]
    assert [origin for _, origin in origins[3:]] == ["random"] * 2
    assert len(second.study.get_trials(states=(TrialState.RUNNING,))) == 4


def test_every_recipe_has_its_minimum_share_however_badly_it_does(run: Storage) -> None:
    _, searcher = make(run, minimum_share=0.5)
    while (config := searcher.suggest("x")) != Searcher.FINISHED:
        finish(searcher, config["trial"], 10.0 if config["recipe"] == "dcgan" else 500.0)
    counts = Counter(t.recipe for t in searcher.trials.values() if t.source == "sampled")
    assert min(counts[name] for name in ("dcgan", "l2", "wgan")) >= 0.5 * counts.total() // 3 > 1
    assert counts["dcgan"] == max(counts.values())


def test_each_recipe_is_tried_at_least_once(run: Storage) -> None:
    for seed in range(5):
        _, searcher = make(run, trials=3 + 3, seed=seed)
        ask_all(searcher)
        assert Counter(t.recipe for t in searcher.trials.values() if t.source == "sampled").total() == 3
        assert {t.recipe for t in searcher.trials.values() if t.source == "sampled"} == {"dcgan", "l2", "wgan"}


def test_parameters_are_conditional_on_the_recipe(run: Storage) -> None:
    _, searcher = make(run, trials=40)
    ask_all(searcher)
    for trial in searcher.trials.values():
        if trial.source == "sampled":
            assert ("clip" in trial.params) == (trial.recipe == "wgan")
            assert ("l2_lambda" in trial.params) == (trial.recipe == "l2")
            # RMSprop has no betas.
            assert ("beta1" in trial.params) == (trial.recipe != "wgan")
            assert trial.settings | trial.params == trial.settings


def test_the_study_is_told_what_became_of_each_trial(run: Storage) -> None:
    _, searcher = make(run, published=False, trials=7)
    outcomes: list[tuple[Outcome, float | None]] = [
        (Outcome.FINISHED, 50.0),
        (Outcome.STOPPED, 90.0),
        (Outcome.DIVERGED, 70.0),
        (Outcome.FAILED, None),
        (Outcome.INFEASIBLE, None),
        (Outcome.NODE_OUT_OF_MEMORY, None),
        (Outcome.NODE_OUT_OF_MEMORY, 80.0),
    ]
    for outcome, fid in outcomes:
        finish(searcher, searcher.suggest("x")["trial"], fid, outcome)
    told = searcher.study.trials
    assert [trial.state for trial in told] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.PRUNED,
    ]
    assert [bool(trial.constraints.get("worst")) for trial in told] == [False, False, True, False, True, False, False]
    assert told[1].intermediate_values == {12000: 90.0}


@pytest.mark.parametrize(
    ("verdict", "lost"),
    [
        ({"outcome": "infeasible", "reason": "out of memory: 80 GiB"}, True),
        ({"outcome": "node-out-of-memory", "reason": "out of memory: Ray ended the process"}, False),
        ({"reason": "out of memory: 80 GiB"}, True),  # of an earlier version
        ({"reason": "SIGKILL"}, False),
    ],
)
def test_a_resumed_study_counts_only_infeasible_settings_as_lost(
    verdict: dict[str, Any], lost: bool, run: Storage
) -> None:
    _, first = make(run, published=False, trials=1)
    Journal(run).append("sweep", format=1, command="", settings={}, evaluation={}, versions={})
    first.suggest("x")
    Journal(run).append("verdict", trial="t0000", state="failed", **verdict)
    _, second = make(run, read_record(run), published=False, trials=1)
    assert [bool(trial.constraints.get("worst")) for trial in second.study.trials] == ([True] if lost else [])


def test_a_resumed_study_knows_what_the_first_knew_and_unfinished_trials_go_first(run: Storage) -> None:
    _, first = make(run, trials=8)
    journal = Journal(run)
    settings = {"format": 1, "command": "", "settings": {}, "evaluation": {}, "versions": {}}
    journal.append("sweep", **settings)
    # `make` wrote nothing before this; trials are written as they are handed out.
    for index in range(8):
        config = first.suggest(f"tune-{index}")
        if index % 3:
            finish(first, config["trial"], 100.0 - index)
            journal.append("report", trial=config["trial"], kimg=12.0, score=100.0 - index, best_fid=100.0 - index)
            journal.append("verdict", trial=config["trial"], state="finished", reason=None)
    record = read_record(run)
    _, second = make(run, record, trials=10)

    def running(searcher: StudySearcher) -> list[str]:
        return [t.params["recipe"] for t in searcher.study.get_trials(states=(TrialState.RUNNING,))]

    def known(searcher: StudySearcher) -> list[tuple[Any, ...]]:
        ended = [t for t in searcher.study.trials if t.state == TrialState.COMPLETE]
        return sorted((t.user_attrs["trial"], t.value, tuple(sorted(t.params.items()))) for t in ended)

    assert known(first) == known(second) != []
    # What runs, the published settings among it, is known as running: before, and once it is to run again.
    assert running(first) == running(second) == ["dcgan", "l2", "wgan"][:1] + running(first)[1:]
    assert len(running(second)) == 3
    handed = [second.suggest(f"again-{n}")["trial"] for n in range(5)]
    assert handed == ["t0000", "t0003", "t0006", "t0008", "t0009"]
    assert second.suggest("no more") == Searcher.FINISHED


def test_it_finds_better_settings_than_chance(run: Storage) -> None:
    """On a known landscape, later samples must be better than early ones: the study is really told."""
    import math

    def landscape(settings: dict[str, Any]) -> float:
        return abs(math.log10(settings["lr_g"]) + 3.0) * 40 + abs(math.log10(settings["lr_d"]) + 3.5) * 40

    _, searcher = make(run, trials=80, recipes=["dcgan"], published=False)
    scores = []
    while (config := searcher.suggest("x")) != Searcher.FINISHED:
        scores.append(landscape(config["settings"]))
        finish(searcher, config["trial"], scores[-1])
    assert sum(scores[-30:]) / 30 < 0.6 * sum(scores[:10]) / 10
