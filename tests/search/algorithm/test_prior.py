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
from search.algorithm.expectation import Expectation
from search.algorithm.forecast import forecast
from search.algorithm.gaussian_process import Kernel, Model, normal_quantiles
from search.algorithm.learning import Table, choose_portfolio, learn, learn_more
from search.algorithm.prior import Prior, Task, expected_quantiles, settings_key
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
        ("rows", [[10_000, 0, 0.0, 1, None]]),  # settings that are not there
        ("rows", [[0, 0, "low", 1, None]]),
        ("rows", [[0, 0, 0.0, 0, None]]),  # a score of no set
        ("rows", [[0, 0, 0.0, 1, "far"]]),
        ("rows", [[0, 0, 0.0, 1]]),
        ("histories", [["a", 0, [[9, 0.0]], {}]]),  # a recipe that is not there
        ("histories", [["a", 99, [], {}]]),
        ("histories", [["a", 0, [[0, 0.0]], {"dcgan": "near"}]]),
        ("histories", [["a", 0, [[0, math.nan]], {"dcgan": 0.0}]]),
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


def own(recipe: str = "dcgan") -> tuple[str, dict[str, Any]]:
    """Return a recipe's published settings, as a table has them."""
    return recipe, {name: RECIPES[recipe].settings[name] for name in RECIPES[recipe].searchable()}


def judged(images: str, seed: int, kind: str = "", **changes: Any) -> Table:
    """A table in which published settings are average: half of all are better."""
    entries = [own(), *settings(60, 30)]
    found = results(entries, seed)
    found[0] = np.median(found)
    return Table(images, TASK._replace(**changes), entries, found, kind)


def test_the_best_of_a_search_is_expected_from_what_one_would_have_tried_elsewhere() -> None:
    tables = [judged(name, seed) for seed, name in enumerate("abcd")]
    prior = learn(RECIPES, tables)
    assert [history.kind for history in prior.histories] == list("abcd")
    history, unseen = prior.histories[0], learn(RECIPES, tables[1:])
    assert history.published == {"dcgan": 0.0}
    # What the portfolio of a prior without the set begins with comes first. Lost trials count as very bad ones.
    keys = [settings_key(*entry) for entry in tables[0].settings]
    first = next(keys.index(settings_key(*entry)) for entry in unseen.portfolio if settings_key(*entry) in keys[1:])
    ratio = float(tables[0].results[first] / tables[0].results[0])
    assert history.trials[0] == ("dcgan", pytest.approx(math.log(ratio)))
    assert max(log for _, log in history.trials) == 3.0
    few, many = (prior.best(["dcgan"], TASK, trainings) for trainings in (1, 30))
    assert few is not None and many is not None
    assert many.low < many.ratio < few.ratio <= 1.0
    assert prior.best(["wgan"], TASK, 30) is None
    # Somewhat larger images are alike enough; much larger ones, trained for much longer, are not.
    assert prior.best(["dcgan"], TASK._replace(size=32, width=32.0, kimg=36.0), 30) is not None
    assert prior.best(["dcgan"], TASK._replace(size=64, width=64.0, kimg=500.0), 30) is None
    assert Prior.parse(prior.as_bytes()).best(["dcgan"], TASK, 30) == pytest.approx(many, abs=0.02)


def test_sets_of_one_kind_count_as_one_and_are_left_out_together() -> None:
    tables = [judged("a", 0), judged("b", 1), judged("c", 2, "photos"), judged("d", 3, "photos")]
    prior = learn(RECIPES, tables)
    assert [history.kind for history in prior.histories] == ["a", "b", "photos", "photos"]
    logs = [history.best(["dcgan"], 30) for history in prior.histories]
    assert prior.best(["dcgan"], TASK, 30) == pytest.approx(forecast(logs, [1, 1, 0.5, 0.5]))
    assert learn(RECIPES, [table for table in tables if table.kind]).histories == []


def staying(images: str, seed: int) -> list[Table]:
    """Trainings of three lengths: those of small rates are worse at first, and fall on; the others do not."""
    entries = settings(60, 40)
    rates = np.argsort(np.argsort([params["lr_g"] for _, params in entries])) / 60
    noise = 0.02 * np.random.default_rng(seed).standard_normal(60)
    start = 100 * np.exp(1.0 - rates + noise)
    fall = np.where(rates < 0.5, -1.5, -0.1)
    return [
        Table(images, TASK.at(kimg), entries, start * np.exp(fall * part))
        for kimg, part in ((3.0, 0.0), (6.0, 0.5), (12.0, 1.0))
    ]


def test_what_begins_fast_and_then_stays_where_it_was_is_not_expected_to_win_by_length() -> None:
    prior = learn(RECIPES, [table for seed, name in enumerate("abc") for table in staying(name, seed)])
    entries = sorted((params for _, params in settings(60, 40)), key=lambda params: float(params["lr_g"]))
    slow, fast = entries[12], entries[48]
    points = prior.points("dcgan", [slow, fast])
    early, late = (prior.mean(points, [TASK.at(kimg)] * 2) for kimg in (3.0, 12.0))
    assert early[0] > early[1] and late[0] < late[1]
    promises = [prior.promise("dcgan", params, TASK.at(3.0)) for params in (slow, fast)]
    assert promises[0] is not None and promises[1] is not None
    assert promises[0].ratio < 0.3 and promises[0].high < promises[1].ratio
    # It is less certain far from all that it knows.
    far = prior.promise("dcgan", slow, TASK._replace(size=256, kimg=1000.0))
    assert far is not None and far.high / far.low > promises[0].high / promises[0].low
    read = Prior.parse(prior.as_bytes())
    assert read.promise("dcgan", slow, TASK.at(3.0)) == pytest.approx(promises[0], abs=0.02)
    assert learn(RECIPES, [table("a", 1), table("b", 2)]).promise("dcgan", slow, TASK) is None


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
