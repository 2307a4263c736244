"""The sampler: what its model learns from trials, and that it finds better settings than random draws."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

import search.algorithm.sampler as sampler
from gan.recipe.recipe import Recipe, load_recipe
from gan.settings import Choices, Range
from search.algorithm.axes import DEFAULT_LENGTH_SCALE, LENGTH_SCALES, Axes, _joined
from search.algorithm.gaussian_process import Kernel, Model, normal_quantiles
from search.algorithm.sampler import Observations, curve, draw_params
from search.algorithm.space import RECIPE, suggest
from search.trials.searcher import make_study

RECIPES = {name: load_recipe(name) for name in ("dcgan", "l2", "wgan")}


def ended(scores: dict[int, float], lost: bool = False) -> FrozenTrial:
    return create_trial(
        value=1.0,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=scores,
        constraints={"lost": float(lost)},
    )


def test_a_trial_that_was_stopped_is_seen_as_far_above_the_others_as_it_was() -> None:
    # From 1 to 2 scores halve, from 2 to 4 they fall to a quarter.
    whole = [ended({1: 400.0, 2: 200.0, 4: 50.0}), ended({1: 800.0, 2: 400.0, 4: 100.0})]
    stopped = ended({1: 400.0})
    seen = Observations.of([curve(trial) for trial in (*whole, stopped)])
    assert seen.trials.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert seen.remaining.tolist() == [1.0, 0.5, 0.0, 1.0, 0.5, 0.0, 1.0]
    assert seen.scores == pytest.approx(np.log([400.0] * 3 + [800.0] * 3 + [400.0]))


def test_curves_are_seen_at_doubling_steps_and_at_their_last() -> None:
    whole, stopped = (dict.fromkeys(range(1, last + 1), 1.0) for last in (12, 7))
    seen = Observations.of([whole, stopped, {}])
    assert seen.trials.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2]
    remaining = [1.0, *(math.log(12 / step) / math.log(12) for step in (2, 4, 8)), 0.0]
    assert seen.remaining.tolist() == pytest.approx([*remaining, *remaining[:3], math.log(12 / 7) / math.log(12), 0.0])
    assert Observations.of([{5: 1.0}, {5: 2.0}]).remaining.tolist() == [0.0, 0.0]
    assert list(curve(ended({4: 1.0, 1: 3.0, 2: 2.0}))) == [1, 2, 4]
    assert len(Observations.of([]).scores) == 0


def test_a_lost_trial_is_the_worst() -> None:
    seen = Observations.of([curve(trial) for trial in (ended({1: 50.0}), ended({1: 10.0}, lost=True), ended({1: 1e6}))])
    assert seen.scores[1] == math.inf and seen.remaining[1] == 0
    quantiles = normal_quantiles(seen.scores)
    assert quantiles.argsort().tolist() == [0, 2, 1]
    assert quantiles.sum() == pytest.approx(0) and np.ptp(quantiles) == pytest.approx(1.93, abs=0.01)


def test_equal_scores_are_equally_good_whichever_came_first() -> None:
    lost = normal_quantiles(np.array([math.inf, 3.0, math.inf, 1.0, math.inf]))
    assert lost[0] == lost[2] == lost[4] > lost[1] > lost[3]
    assert not normal_quantiles(np.full(7, 2.0)).any() and not normal_quantiles(np.full(7, math.inf)).any()


def test_a_report_that_is_missing_says_nothing_of_how_scores_fall() -> None:
    seen = Observations.of([{1: 3.0, 2: 2.0, 4: 1.0}, {1: 3.0, 4: 1.5}, {1: 3.0}])
    assert seen.scores == pytest.approx([3.0, 3.0, 3.0, 3.0, 3.5, 3.0])


def test_a_perfect_score_is_the_best() -> None:
    assert Observations.of([curve(ended({1: score})) for score in (0.0, 1.0)]).scores.argmin() == 0


def test_falls_that_depend_on_settings_are_foreseen() -> None:
    """Low settings begin well and stay there; high ones begin badly and end well, as a few of each have shown."""
    points = np.array([[0.1], [0.1], [0.2], [0.8], [0.8], [0.9], [0.15], [0.85]])
    remaining = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    values = np.array([0.0, 0.5, 0.0, 1.0, -1.0, 1.0, 0.0, 1.0])
    trials = np.array([0, 0, 1, 2, 2, 3, 4, 5])
    model = Model(Kernel(np.array([0.3])), points, remaining, trials, values)
    early, late = model.mean(np.array([[0.15], [0.85]]))
    assert late < 0 < early


def test_what_runs_is_not_proposed_twice() -> None:
    """Expected improvement falls at points where a trial is pending."""
    points = np.linspace(0, 1, 4)[:, None]
    kernel = Kernel(np.array([0.15]), end=1.0, noise=0.01)
    values = (points[:, 0] - 0.45) ** 2
    model = Model(kernel, points, np.zeros(4), np.arange(4), values)
    places, best = np.linspace(0, 1, 201)[:, None], float(values.min())
    first = places[model.expected_improvement(places, best).argmax()]
    again = model.fantasize(first[None])
    assert again.expected_improvement(first[None], best) < 0.5 * model.expected_improvement(first[None], best)


def test_what_is_believed_changes_no_expectation() -> None:
    """An observation equal to its expectation changes no other expectation, also of a trial that was observed."""
    points, elsewhere = np.array([[0.1], [0.1], [0.5], [0.9]]), np.linspace(0, 1, 21)[:, None]
    kernel = Kernel(np.array([0.3]), trial=1.0)
    values = np.array([2.0, 1.0, -1.0, 0.5])
    model = Model(kernel, points, np.array([1.0, 0.0, 0.0, 0.0]), np.array([0, 0, 1, 2]), values)
    again = model.fantasize(np.array([[0.2], [0.7]]))
    assert again.mean(elsewhere) == pytest.approx(model.mean(elsewhere))


def test_two_scores_of_one_trial_tell_less_than_two_trials() -> None:
    points, values = np.array([[0.5], [0.5]]), np.array([-1.0, -1.0])
    kernel = Kernel(np.array([0.3]), trial=1.0)
    one, two = (Model(kernel, points, np.zeros(2), np.array(trials), values) for trials in ([0, 0], [0, 1]))
    assert two.mean(points)[0] < one.mean(points)[0] < 0


@pytest.mark.parametrize(
    ("name", "space", "length"),
    [
        ("lr_g", Range(1e-5, 1e-2, log=True), LENGTH_SCALES["lr_g"]),
        ("lr_g", Range(1e-4, 1e-3, log=True), 3 * LENGTH_SCALES["lr_g"]),
        ("lr_g", Range(1e-4, 1e-4, log=True), LENGTH_SCALES["lr_g"]),
        ("lr_g", Range(1e-4, 1e-3), LENGTH_SCALES["lr_g"]),
        ("lr_g", Choices((1e-4, 2e-4, 4e-4)), LENGTH_SCALES["lr_g"]),
        ("batch", Choices((32, 64)), 2 * LENGTH_SCALES["batch"]),
        ("batch", Choices((32,)), LENGTH_SCALES["batch"]),
        ("batch", Range(16, 256, log=True), LENGTH_SCALES["batch"]),
        ("width_g", Choices((32, 64)), DEFAULT_LENGTH_SCALE),
    ],
)
def test_a_part_of_the_default_range_matters_as_it_did(name: str, space: Range | Choices, length: float) -> None:
    """A decade of learning rates keeps its length in every range; spaces of different kinds are not compared."""
    axes = Axes({"dcgan": replace(RECIPES["dcgan"], space={name: space})})
    assert axes.length_scales.tolist() == pytest.approx([length]) and axes.names == [name]


def test_every_coordinate_has_a_name_and_a_length() -> None:
    axes = Axes(RECIPES)
    assert len(axes.names) == len(axes.length_scales) == len(axes.place("wgan", {}))
    assert axes.names[:4] == [RECIPE, RECIPE, RECIPE, "batch"]
    words = Axes({"dcgan": replace(RECIPES["dcgan"], space={"latent": Choices(("normal", "uniform"))})})
    assert words.names == ["latent"] * 2 and len(words.place("dcgan", {"latent": "normal"})) == 2


def test_two_words_are_as_far_apart_as_the_ends_of_a_range_and_none_lies_between() -> None:
    space = {"latent": Choices(("normal", "uniform")), "batch": Choices((16, 32, 64)), "lr_g": Range(1e-4, 1e-2)}
    axes = Axes({"dcgan": replace(RECIPES["dcgan"], space=space)})
    rest: dict[str, Any] = {"batch": 16, "lr_g": 1e-4}
    normal, uniform = (np.array(axes.place("dcgan", {"latent": word, **rest})) for word in ("normal", "uniform"))
    assert np.linalg.norm(normal - uniform) == pytest.approx(1.0)
    without = np.array(axes.place("dcgan", {}))
    assert np.linalg.norm(without - normal) == pytest.approx(np.linalg.norm(without - uniform))
    assert without[[name in rest for name in axes.names]].tolist() == [0.5, 0.5]


def test_recipes_share_their_axes() -> None:
    axes = Axes(RECIPES)
    places = np.array([axes.place(name, {"lr_g": 1e-4, "batch": 64}) for name in RECIPES])
    # They differ in which recipe they are, and in nothing else.
    assert (np.ptp(places, axis=0) > 0).sum() == len(RECIPES)
    low, high = (np.array(axes.place("wgan", {"lr_g": rate})) for rate in (1e-5, 1e-2))
    assert np.abs(high - low).sum() == pytest.approx(1.0)
    assert _joined([Choices((64, 32)), Choices((128,))]) == Choices((32, 64, 128))
    assert _joined([Range(1.0, 2.0, log=True), Choices((4.0,))]) == Range(1.0, 4.0, log=True)
    assert _joined([Choices(("adam", "sgd"))]) == Choices(("adam", "sgd"))


def fid(recipe: str, params: dict[str, Any]) -> float:
    """A score that is lowest for one recipe at certain learning rates."""
    off = (math.log10(params["lr_g"]) + 3) ** 2 + (math.log10(params["lr_d"]) + 3.5) ** 2
    return 20 * math.exp(4 * off) * {"dcgan": 1.5, "l2": 1.0, "wgan": 2.0}[recipe]


def search(study: optuna.Study, trials: int = 60, recipes: dict[str, Recipe] = RECIPES) -> list[float]:
    found = []
    for _ in range(trials):
        trial = study.ask()
        found.append(fid(*suggest(trial, recipes)))
        trial.report(found[-1], 1000)
        study.tell(trial, found[-1])
    return found


def test_it_finds_what_random_draws_do_not() -> None:
    gains = []
    for seed in range(4):
        drawn = search(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)), 100)
        proposed = search(make_study(RECIPES, seed), 100)
        # How far above the optimum, 20.
        gains.append((min(drawn) - 20) / (min(proposed) - 20))
    assert np.exp(np.mean(np.log(gains))) > 5


@pytest.mark.parametrize("names", [["dcgan"], ["dcgan", "wgan"]])
@pytest.mark.parametrize("outcome", ["lost", "constant", "nothing searched"])
def test_whatever_trials_come_to_there_is_a_proposal(names: list[str], outcome: str) -> None:
    recipes = {name: RECIPES[name] for name in names}
    if outcome == "nothing searched":
        recipes = {name: replace(recipe, space={}) for name, recipe in recipes.items()}
    study = make_study(recipes, 0)
    for _ in range(sampler.STARTUP + 6):
        trial = study.ask()
        name, params = suggest(trial, recipes)
        assert set(params) <= set(recipes[name].searchable())
        trial.report(50.0, 1000)
        trial.set_constraint("lost", float(outcome == "lost"))
        study.tell(trial, 50.0)


def test_the_model_proposes_after_the_beginning_but_for_one_in_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, asked = sampler.STARTUP, []
    improvement = Model.expected_improvement

    def watched(self: Model, points: np.ndarray, best: float, *rest: Any) -> np.ndarray:
        asked.append(len(study.get_trials(deepcopy=False)) - 1)
        return improvement(self, points, best, *rest)

    monkeypatch.setattr(Model, "expected_improvement", watched)
    study = make_study(RECIPES, 0)
    search(study, begin + 100)
    assert begin <= asked[0] < begin + 5
    assert 82 <= len(asked) <= 97


def test_every_whole_number_of_a_range_is_drawn_equally_often() -> None:
    recipe, random = replace(RECIPES["wgan"], space={"n_critic": Range(1, 5)}), np.random.default_rng(0)
    counts = Counter(draw_params(recipe.searchable(), recipe.settings, random)["n_critic"] for _ in range(4000))
    assert set(counts) == {1, 2, 3, 4, 5} and min(counts.values()) > 700


def test_what_varies_a_good_trial_stays_near_it() -> None:
    recipe, random = RECIPES["wgan"], np.random.default_rng(0)
    space = recipe.searchable(), recipe.settings
    good = draw_params(*space, random)
    drawn = [draw_params(*space, random, good) for _ in range(300)]
    near = [abs(math.log(float(each["lr_g"]) / float(good["lr_g"]))) < 0.3 * math.log(1000) for each in drawn]
    assert sampler.INHERIT - 0.1 < np.mean(near) <= 1
    assert 0.7 < np.mean([each["batch"] == good["batch"] for each in drawn]) < 1


def watch_varied(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return a list that collects the settings of the good trials that proposals vary."""
    varied: list[dict[str, Any]] = []

    def watched(searched: Any, settings: Any, random: Any, near: dict[str, Any] | None = None) -> dict[str, Any]:
        varied.extend([near] if near else [])
        return draw_params(searched, settings, random, near)

    monkeypatch.setattr(sampler, "draw_params", watched)
    return varied


def test_what_is_varied_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = {"dcgan": RECIPES["dcgan"]}
    study = make_study(recipes, 0)
    usual = float(np.median(search(study, 40, recipes)))
    varied = watch_varied(monkeypatch)
    while not varied:
        search(study, 1, recipes)
    assert len(varied) == sampler.CANDIDATES // 2
    assert len({each["lr_g"] for each in varied}) <= sampler.PARENTS
    assert max(fid("dcgan", each) for each in varied) < usual


def test_what_was_lost_is_not_varied(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = {"dcgan": RECIPES["dcgan"]}
    study = make_study(recipes, 0)
    sound = []
    for number in range(sampler.STARTUP):
        trial = study.ask()
        params = suggest(trial, recipes)[1]
        sound += [params] if number < 3 else []
        trial.report(50.0, 1000)
        trial.set_constraint("lost", float(number >= 3))
        study.tell(trial, 50.0)
    varied = watch_varied(monkeypatch)
    for _ in range(5):
        suggest(study.ask(), recipes)
    assert varied and all(each in sound for each in varied)


def test_the_newest_trials_that_run_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = {"dcgan": RECIPES["dcgan"]}
    study, axes = make_study(recipes, 0), Axes(recipes)
    search(study, sampler.STARTUP, recipes)
    monkeypatch.setattr(sampler, "MAX_PENDING", 3)
    monkeypatch.setattr(sampler, "EXPLORATION", 0.0)
    believed: list[list[list[float]]] = []
    fantasize = Model.fantasize

    def watched(self: Model, points: np.ndarray, *rest: Any) -> Model:
        believed.append(points.tolist())
        return fantasize(self, points, *rest)

    monkeypatch.setattr(Model, "fantasize", watched)
    running = [axes.place(*suggest(study.ask(), recipes)) for _ in range(6)]
    assert believed == [running[max(0, count - 3) : count] for count in range(1, 6)]


def test_the_same_seed_proposes_the_same() -> None:
    assert search(make_study(RECIPES, 3), 20) == search(make_study(RECIPES, 3), 20)


def test_proposals_lie_in_the_space_and_keep_to_a_recipe_that_is_owed() -> None:
    study = make_study(RECIPES, 0)
    search(study, 15)
    for _ in range(5):
        study.enqueue_trial({RECIPE: "wgan"})
        trial = study.ask()
        name, params = suggest(trial, RECIPES)
        assert name == "wgan"
        for key, (_, space) in RECIPES["wgan"].searchable().items():
            if key in params:
                inside = space.low <= params[key] <= space.high if isinstance(space, Range) else True
                assert inside and (isinstance(space, Range) or params[key] in space.values)
        study.tell(trial, fid(name, params))


def test_what_a_proposal_costs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(RECIPES, 0)
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    search(random, 400)
    study.add_trials(random.trials)
    seen: list[list[int]] = []
    plain = Model.__init__

    def watched(
        self: Model, kernel: Kernel, points: np.ndarray, remaining: np.ndarray, trials: np.ndarray, *rest: Any
    ) -> None:
        seen.append(trials.tolist())
        plain(self, kernel, points, remaining, trials, *rest)

    monkeypatch.setattr(Model, "__init__", watched)
    monkeypatch.setattr(sampler, "MAX_OBSERVATIONS", 100)
    values = [float(trial.value) for trial in study.trials if trial.value is not None]
    order = np.argsort(values)
    assert search(study, 5)[-1] < 3 * min(values)
    assert max(map(len, seen)) == sampler.MAX_OBSERVATIONS
    # All of the best are there, and a random selection of the others.
    assert set(order[:50]) <= set(seen[0])
    assert np.median([values[trial] for trial in set(seen[0]) - set(order[:50])]) > values[order[150]]
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 405


def test_only_a_lost_node_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that failed do not count: with fewer than `STARTUP` others, settings are drawn at random."""
    monkeypatch.setattr(sampler, "Model", None)
    study = make_study(RECIPES, 0)
    for _ in range(sampler.STARTUP + 3):
        trial = study.ask()
        suggest(trial, RECIPES)
        study.tell(trial, state=TrialState.FAIL)
