"""Importance: parameters with an effect are found, others are within chance, and few trials are not trusted."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import pytest
from run_writer import Writer

from search.report.data.collect import collect
from search.report.data.report_data import Row
from search.report.page.importance import FEWEST, MOST, importance
from search.report.page.page import page

SPACE: dict[str, Any] = {
    "lr_g": {"low": 1e-5, "high": 1e-2, "log": True},
    "n_critic": {"low": 1, "high": 5, "log": False},
    "beta2": [0.9, 0.99, 0.999],
    "dropout": {"low": 0.0, "high": 0.5, "log": False},
}


def sample(chance: random.Random) -> dict[str, Any]:
    return {
        "lr_g": 10 ** chance.uniform(-5, -2),
        "n_critic": chance.randint(1, 5),
        "beta2": chance.choice(SPACE["beta2"]),
        "dropout": chance.uniform(0, 0.5),
    }


def rows(count: int, law, state: str = "finished", recipe: str = "wgan") -> list[Row]:
    chance = random.Random(1)
    trials = []
    for index in range(count):
        params = sample(chance)
        fid = law(params)
        ended = state if fid is not None else "diverged"
        trials.append(Row(f"t{index:04d}", index + 1, recipe, "wgan", "sampled", ended, params, 6.0, fid, fid, 6.0))
    return trials


def judge(writer: Writer, trials: list[Row], **options: Any):
    writer.begin(trials=1)
    data = collect(writer.write())
    identity = {"recipes": {"wgan": {"space": SPACE}, "dcgan": {"space": SPACE}}}
    return importance(replace(data, rows=trials, identity=identity), **options)


def far(params: dict[str, Any]) -> float:
    """The nearer the rate is to 3e-4, the better; nothing else matters."""
    return 50 + 40 * abs(math.log10(params["lr_g"] / 3e-4))


def test_the_decisive_parameter_is_found_and_the_rest_is_chance(writer):
    (judged,) = judge(writer, rows(200, far))
    assert (judged.recipe, judged.trials, judged.top) == ("wgan", 200, 20)
    first, *others = judged.influences
    assert first.name == "lr_g" and first.share > 0.8 and first.share > 3 * first.chance
    assert sum(known.share for known in judged.influences) == pytest.approx(1)
    assert sum(known.share > known.chance for known in others) <= 1
    low, high = (float(end) for end in first.best.split(" to "))
    assert 1e-4 < low < 3e-4 < high < 1e-3
    assert first.searched == "1e-05 to 0.01"


def test_it_goes_by_rank_alone(writer):
    (plain,) = judge(writer, rows(100, far))
    (bent,) = judge(writer, rows(100, lambda params: far(params) ** 5))
    assert plain == bent


def test_a_diverged_trial_is_the_worst(writer):
    (judged,) = judge(
        writer, rows(200, lambda params: None if params["n_critic"] == 1 else 50 + params["dropout"] / 1e6)
    )
    assert {known.name: known.best for known in judged.influences}["n_critic"][0] in "2345"
    assert judged.trials == 200


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_few_trials_are_not_trusted(writer, count):
    judged = judge(writer, rows(count, far))
    assert len(judged) == (count > 0)
    assert all(one.influences == [] and one.missing.startswith("Too few") for one in judged)


def test_where_nearly_all_are_lost_nothing_is_said(writer):
    lost = itertools.count()
    (judged,) = judge(writer, rows(100, lambda params: 50.0 if next(lost) == 0 else None))
    assert judged.influences == [] and "100, of which 1 have a result" in judged.missing


def test_values_outside_what_is_searched_do_not_count(writer):
    trials = rows(40, far)
    odd = [
        replace(row, params={**row.params, **change})
        for row in trials[:4]
        for change in (
            {"lr_g": 1.0},
            {"beta2": 0.5},
            {"n_critic": "five"},
            {"dropout": True},
        )
    ]
    (judged,) = judge(writer, [*trials, *odd])
    assert judged.trials == 40


def test_a_parameter_that_only_some_trials_have(writer):
    trials = rows(60, far)
    some = [replace(row, params={k: v for k, v in row.params.items() if k != "dropout"}) for row in trials[::2]]
    (judged,) = judge(writer, [*some, *trials[1::2]])
    assert judged.influences[0].name == "lr_g"
    assert len(judged.influences) == 4


def test_time_is_limited(writer):
    trials = [*rows(60, far), *rows(60, far, recipe="dcgan")]
    steps = itertools.count()
    first, second = judge(writer, trials, seconds=3.5, clock=lambda: next(steps))
    assert [known.chance for known in first.influences] == [None] * 4
    assert second.influences == [] and second.missing.startswith("Left out")


def test_of_too_many_trials_an_even_choice_is_judged(writer):
    steps = itertools.count()
    (judged,) = judge(writer, rows(MOST + 1, far), seconds=2.5, clock=lambda: next(steps))
    assert judged.trials == math.ceil((MOST + 1) / 2)
    assert judged.influences[0].name == "lr_g"


def test_the_page_shows_it(writer):
    writer.begin(trials=30)
    for index, row in enumerate(rows(30, far)):
        name = writer.trial(index, "wgan", "sampled", "finished", 1, row.best_fid)
        lines = writer.lines[-4:]
        assert all(name in line for line in lines)
        writer.lines[-4] = lines[0].replace('"lr_g": ', f'"lr_g": {row.params["lr_g"]}, "was": ')
    writer.run.write_bytes(
        "sweep.yaml",
        b"identity: {recipes: {wgan: {space: {lr_g: {low: 0.00001, high: 0.01, log: true}, n_critic: [5]}}}}\n"
        b"settings: {}\nversions: {}\n",
    )
    run = writer.write()
    html = page(run, collect(run), {})
    assert "Parameter importance" in html and "wgan, 30 trials" in html
    assert "middle half of the best 5" in html
    assert html.count('class="influence') == 2
