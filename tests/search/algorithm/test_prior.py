"""The prior: scores by ranks, a model that transfers between sets of images, the portfolio, the file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from gan.errors import InputError
from gan.recipe.recipe import load_recipe
from search.algorithm.gaussian_process import Kernel, Model, normal_quantiles
from search.algorithm.learning import Table, choose_portfolio, learn, learn_more
from search.algorithm.prior import Expectation, Prior, Task, expected_quantiles
from search.algorithm.sampler import draw_params
from search.plan.spec import make_spec

RECIPES = {name: load_recipe(name) for name in ("dcgan", "wgan")}
TASK = Task(16, 16.0, 12.0, 3, 5000)
BEST_RATE = 2e-3


def settings(count: int, seed: int, recipe: str = "dcgan") -> list[tuple[str, dict[str, Any]]]:
    random = np.random.default_rng(seed)
    return [(recipe, draw_params(RECIPES[recipe].searchable(), RECIPES[recipe].settings, random)) for _ in range(count)]


def results(entries: list[tuple[str, dict[str, Any]]], seed: int, scale: float = 100.0) -> np.ndarray:
    """Distances that rise with the distance of a rate from the best one; some trials are lost."""
    random = np.random.default_rng(seed)
    apart = np.array([abs(math.log(params["lr_g"] / BEST_RATE)) for _, params in entries])
    found = scale * np.exp(0.5 * apart + 0.1 * random.standard_normal(len(entries)))
    found[:2] = math.inf
    return found


def table(images: str, seed: int, **changes: Any) -> Table:
    entries = settings(60, seed)
    return Table(images, TASK._replace(**changes), entries, results(entries, seed, 10.0 ** (seed % 3)))


@pytest.fixture(scope="module")
def prior() -> Prior:
    return learn(RECIPES, [table("a", 1), table("b", 2), table("c", 3, size=32)])


def test_scores_are_normal_quantiles_where_nothing_is_expected() -> None:
    found = np.array([3.0, math.inf, 1.0, 20.0, math.inf, 2.0])
    scores = expected_quantiles(found, np.zeros(6), 1.0)
    assert scores == pytest.approx(normal_quantiles(found), abs=0.2)
    assert scores[1] == scores[4] == max(scores)
    assert (np.argsort(scores)[:4] == [2, 5, 0, 3]).all()


def test_settings_that_were_expected_to_be_good_are_not_taken_for_average_ones() -> None:
    scores = expected_quantiles(np.array([5.0, 6.0, 7.0]), np.array([-2.0, -2.0, -2.0]), 0.5)
    assert scores.mean() == pytest.approx(-2.0, abs=0.05)
    assert (np.diff(scores) > 0).all()


def test_only_the_order_of_results_counts(prior: Prior) -> None:
    tables = [table("a", 1), table("b", 2), table("c", 3, size=32)]
    stretched = [replace(each, results=each.results**3) for each in tables]
    assert learn(RECIPES, stretched).as_bytes() == prior.as_bytes()


def test_it_ranks_settings_on_images_that_it_has_not_seen(prior: Prior) -> None:
    entries = settings(80, 9)
    means = prior.mean(prior.points("dcgan", [params for _, params in entries]), [TASK] * 80)
    assert spearmanr(means, results(entries, 10))[0] > 0.8
    assert (prior.deviation(prior.points("dcgan", [params for _, params in entries]), [TASK] * 80) > 0.6).all()


def test_it_is_less_certain_far_from_all_that_it_knows(prior: Prior) -> None:
    near = prior.points("dcgan", [prior.rows[0].params])
    far = prior.points("wgan", [settings(1, 4, "wgan")[0][1]])
    deviations = [prior.deviation(near, [TASK]), prior.deviation(far, [TASK])]
    assert deviations[0] < deviations[1]
    assert prior.deviation(near, [TASK._replace(kimg=1000.0, size=256)])[0] > deviations[0][0]


def test_the_same_recordings_give_the_same_file_which_reads_back(prior: Prior) -> None:
    again = learn(RECIPES, [table("a", 1), table("b", 2), table("c", 3, size=32)])
    content = prior.as_bytes()
    assert again.as_bytes() == content
    read = Prior.parse(content)
    points = prior.points("dcgan", [params for _, params in settings(5, 6)])
    assert read.mean(points, [TASK] * 5) == pytest.approx(prior.mean(points, [TASK] * 5), abs=2e-3)
    assert read.portfolio == prior.portfolio and read.sets == ("a", "b", "c")
    assert read.as_bytes() == content


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\xff", b'{"format": 99}', b'{"format": 1, "rows": 3}'])
def test_a_damaged_file_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):
        Prior.parse(damage)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("rows", [[10_000, 0, 0.0, 1]]),  # settings that are not there
        ("rows", [[0, 0, "low", 1]]),
        ("rows", [[0, 0, 0.0, 0]]),  # a score of no set
        ("rows", []),
        ("tasks", [[0, 16, 12, 3, 5000]] * 9),  # images without a side
        ("settings", [["dcgan", {"lr_g": "fast"}]] * 200),
        ("settings", [["unknown", {}]] * 200),
        ("portfolio", [["dcgan", 3]]),
        ("recipes", {"dcgan": 3}),
    ],
)
def test_a_file_that_a_search_could_not_use_is_refused(part: str, value: Any, prior: Prior) -> None:
    content = json.loads(prior.as_bytes()) | {part: value}
    with pytest.raises((ValueError, InputError)):
        Prior.parse(json.dumps(content).encode())


def test_the_portfolio_has_something_good_for_each_set_of_images() -> None:
    """On one half of the sets small rates are good, on the other large ones, and on none the rates between."""
    entries = settings(60, 1)
    rates = np.log([params["lr_g"] for _, params in entries])
    middle, width = rates.mean(), np.ptp(rates)
    tables = [
        Table(name, TASK, entries, np.exp(sign * (rates - middle) / width + 2 * (np.abs(rates - middle) < width / 6)))
        for name, sign in (("a", 1), ("b", -1), ("c", 1), ("d", -1))
    ]
    prior = learn(RECIPES, tables)
    first, second = (math.log(params["lr_g"]) for _, params in prior.portfolio[:2])
    assert (first - middle) * (second - middle) < 0
    assert choose_portfolio(prior, tables) == prior.portfolio


def test_earlier_sweeps_teach_by_the_order_of_their_results(prior: Prior) -> None:
    """A sweep in which small rates were best, whatever its distances were."""
    entries = settings(30, 20)
    rates = np.array([params["lr_g"] for _, params in entries])
    taught = learn_more(prior, [Table("mine", TASK, entries, 1000 + rates)])
    assert taught.as_bytes() == learn_more(prior, [Table("mine", TASK, entries, rates**3)]).as_bytes()
    points = prior.points("dcgan", [params for _, params in entries])
    before, after = (spearmanr(found.mean(points, [TASK] * 30), rates)[0] for found in (prior, taught))
    assert after > before + 0.1
    best = entries[int(rates.argmin())]
    assert best == taught.portfolio[0] and prior.portfolio[0] == taught.portfolio[1]
    assert "mine" in taught.sets


def test_a_sweep_skips_what_lies_outside_its_space_and_counts_it(prior: Prior) -> None:
    rates = [params["lr_g"] for _, params in prior.portfolio]
    recipes = make_spec({"recipes": ["dcgan"], "space": {"lr_g": {"low": min(rates), "high": sorted(rates)[3]}}})
    inside, left_out = Expectation(prior, recipes.load_recipes(), (16, 16, 3), 12.0, 5000).portfolio()
    assert [params["lr_g"] for _, params in inside] == [rate for rate in rates if rate <= sorted(rates)[3]]
    assert left_out == len(rates) - 4
    fixed = make_spec({"recipes": ["dcgan"], "settings": {"batch": 32}}).load_recipes()
    inside, _ = Expectation(prior, fixed, (16, 16, 3), 12.0, 5000).portfolio()
    assert len(inside) == sum(params["batch"] == 32 for _, params in prior.portfolio)
    assert all("batch" not in params for _, params in inside)


def test_values_that_no_recording_had_lie_between_those_that_some_had(prior: Prior) -> None:
    params = dict(settings(1, 4)[0][1])
    places = [prior.points("dcgan", [params | {"batch": batch}])[0].sum() for batch in (8, 32, 48, 64, 96, 128, 999)]
    assert places == sorted(places)
    assert (np.diff(places) > 0).tolist() == [False, True, True, True, True, False]


def test_nothing_is_expected_of_a_recipe_that_the_prior_does_not_know(prior: Prior) -> None:
    recipes = make_spec({"recipes": ["dcgan", "l2"]}).load_recipes()
    expectation = Expectation(prior, recipes, (16, 16, 3), 12.0, 5000)
    params = [prior.portfolio[0][1]] * 2
    known, unknown = expectation.means(["dcgan", "l2"], params)
    assert known < -0.5 and unknown == 0.0
    assert {name for name, _ in expectation.portfolio()[0]} == {"dcgan"}


def test_a_prior_that_ranks_badly_fades() -> None:
    random = np.random.default_rng(0)
    points = random.random((40, 3))
    scores = 2 * points[:, 0] + 0.1 * random.standard_normal(40)
    scores = (scores - scores.mean()) / scores.std()

    def trust(expected: np.ndarray) -> float:
        values = expected_quantiles(scores, expected, 0.7)
        kernel = Kernel(np.ones(3), end=0.5, fall=0.5)
        return Model(kernel, points, np.zeros(40), np.arange(40), values, expected).trust

    right, noise, wrong = scores, random.standard_normal(40), -scores
    assert trust(right) > 0.8
    assert trust(noise) < 0.5
    assert trust(wrong) == 0.0
