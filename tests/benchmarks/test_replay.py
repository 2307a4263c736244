"""Recorded trials and their replay: what is measured by it must follow from what was recorded."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import judge_divergence
import judge_rungs
import learn_prior
import numpy as np
import pytest
from contenders import ForeseeingAsha, Ours, Plain, Pool, Published, Random, expect
from emulated import DONORS, EmulatedPool, Emulator
from learn_kernel import VARIANCES, explained, learn, negative_log_likelihood
from learn_prior import tables
from live import LivePool
from record_trials import best_tenth, record, vary
from replay import History, simulate
from search_efficiency import Kept, foreseen, over_sets, published_best, ratio, reached
from simulate_scale import measure
from traces import Costs, Stretch, Trace, TracedReport, TraceSet, read_joined, read_traces, write_traces
from training import Training

from gan.data.packed.opening import open_data
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import load_recipe
from gan.training.divergence import DOMINATED_CHECKS
from search.algorithm import learning
from search.algorithm import prior as priors
from search.algorithm.prior import Constants
from search.run.outcome import Outcome

COMMON = {
    "format": 1,
    "data": "faces",
    "shape": [16, 16, 3],
    "recipes": ["dcgan", "wgan"],
    "settings": {"width_g": 16, "width_d": 16},
    "kimg": 6.0,
    "interval_kimg": 1.0,
    "single_image_fid": 200.0,
}
HEALTHY = Stretch(1.0, 1.0, True)
HEALTHY_REPORT = TracedReport(100.0, 0.5, 1.0, 0.5, [HEALTHY] * 4)
LOST_REPORT = TracedReport(None, None, 1.0, 0.5, [Stretch(None, None, False)] * 4)
REPORTS = 6


def trace(number: int, recipe: str, source: str, params: dict[str, object], final: float) -> Trace:
    """A trial whose FID falls from 400 to `final`, at a second of training and half of evaluation a report."""
    fids = np.geomspace(400.0, final, REPORTS)
    reports = [TracedReport(float(fid), 0.5, 1.0, 0.5, [HEALTHY] * 4) for fid in fids]
    return Trace(number, recipe, source, number, params, reports)


def params(recipe: str, lr: float) -> dict[str, object]:
    common: dict[str, object] = {"batch": 64, "lr_g": lr, "lr_d": 1e-3, "ema_kimg": 0.0, "dropout": 0.1}
    own: dict[str, object] = {"beta1": 0.5, "beta2": 0.99} if recipe == "dcgan" else {"rho": 0.9, "clip": 0.01}
    return {**common, **own, **({"n_critic": 2} if recipe == "wgan" else {})}


@pytest.fixture
def recorded() -> TraceSet:
    """Eighty trials, the better the nearer lr_g is to 1e-3; the published settings are bad."""
    traces = [trace(n, ("dcgan", "wgan")[n % 2], "published", {}, 300.0) for n in range(2)]
    for number in range(2, 82):
        recipe = ("dcgan", "wgan")[number % 2]
        exponent = -5 + 3 * ((number * 37) % 80) / 80
        traces.append(trace(number, recipe, "sampled", params(recipe, 10**exponent), 50 + 100 * abs(exponent + 3)))
    return TraceSet(dict(COMMON), traces)


def test_what_is_written_is_read_again(recorded: TraceSet, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl.gz"
    write_traces(path, recorded)
    first = path.read_bytes()
    found = read_traces(path)
    assert found.common == recorded.common and len(found.traces) == 82
    assert found.traces[5].params["lr_g"] == pytest.approx(recorded.traces[5].params["lr_g"], rel=1e-4)
    assert found.traces[5].best_fid == pytest.approx(recorded.traces[5].best_fid, rel=1e-4)
    write_traces(path, found)
    assert path.read_bytes() == first


def test_a_trial_is_handed_out_once_and_the_nearest_first(recorded: TraceSet) -> None:
    pool = Pool(recorded, np.random.default_rng(0))
    wanted = recorded.traces[10]
    assert pool.nearest(wanted.recipe, wanted.params) is wanted
    rest = [pool.nearest(wanted.recipe, wanted.params) for _ in range(39)]
    assert len({found.trial for found in rest} | {wanted.trial}) == 40 and pool.exhausted == 0
    steps = [abs(math.log10(found.params["lr_g"]) - math.log10(wanted.params["lr_g"])) for found in rest]
    assert np.diff(steps).min() > -1e-9
    pool.nearest(wanted.recipe, wanted.params)
    assert pool.exhausted == 1


def test_time_and_cost_of_trials_that_nobody_stops(recorded: TraceSet) -> None:
    history = simulate(Random(recorded, 0), slots=2, budget=40.0)
    # A trial takes 6 × 1.5 s; two at a time for 20 s: four are done, and two have begun.
    assert history.trials == 6 and history.spent == 40.0
    # The first report of each slot comes after 1.5 s, when both have spent 3 trial-seconds.
    assert history.seconds[0] == 3.0 and history.best[0] == pytest.approx(400.0)
    assert history.best == sorted(history.best, reverse=True)
    assert history.at(2.9) == math.inf and history.at(3.0) == history.best[0]
    assert history.reaches(history.best[-1]) == history.seconds[-1] and history.reaches(1.0) == math.inf
    assert simulate(Published(recorded, 0), slots=2, budget=1000.0).best[-1] == pytest.approx(300.0)


def test_emulated_trials_are_of_the_settings_that_were_asked_for(recorded: TraceSet) -> None:
    pool = EmulatedPool(recorded, Emulator(recorded), 0)
    asked = params("dcgan", 2e-4)
    made = [pool.nearest("dcgan", asked) for _ in range(50)]
    assert all(found.params == asked and found.recipe == "dcgan" for found in made)
    # The recordings' law, between its points: 50 + 100 × |log10(2e-4) + 3|; the best recording comes to 50.
    ends = [found.reports[-1].fid or math.inf for found in made]
    assert np.mean(ends) == pytest.approx(50 + 100 * abs(math.log10(2e-4) + 3), rel=0.1)
    # Its noise is that of several recordings.
    assert 1 < len(set(ends)) <= DONORS
    assert pool.running(made[0], None, judged=False).cost() == pytest.approx(1.5)


def test_what_was_lost_where_a_curve_comes_from_is_lost_again(recorded: TraceSet) -> None:
    lost = [dataclasses.replace(found, reports=[LOST_REPORT]) for found in recorded.traces]
    pool = EmulatedPool(TraceSet(recorded.common, lost), Emulator(TraceSet(recorded.common, lost)), 0)
    running = pool.running(pool.nearest("wgan", params("wgan", 1e-3)), None, judged=True)
    assert running.verdict is not None and running.verdict.report == 0
    assert running.trace.reports[0].fid is None


@pytest.mark.parametrize("kind", [Ours, Plain, Random])
def test_emulated_searches_repeat(kind: type[Ours], recorded: TraceSet) -> None:
    emulator = Emulator(recorded)
    first, again = (
        simulate(kind(recorded, 0, EmulatedPool(recorded, emulator, 0)), slots=2, budget=108.0) for _ in range(2)
    )
    assert first.best == again.best and first.seconds == again.seconds and first.best[-1] < 120


@pytest.mark.parametrize("kind", [Ours, Plain])
def test_what_is_trained_as_it_was_proposed_is_not_proposed_again(kind: type[Ours], recorded: TraceSet) -> None:
    contender = kind(recorded, 0, EmulatedPool(recorded, Emulator(recorded), 0))
    history = simulate(contender, slots=2, budget=108.0)
    study = contender.searcher.study if isinstance(contender, Ours) else contender._searcher._ot_study
    sampled = history.trials - 2 if isinstance(contender, Ours) else history.trials
    # Published settings lie within the space of one of the two recipes.
    assert sampled <= len(study.trials) <= history.trials


@pytest.mark.parametrize("kind", [Ours, Plain])
def test_a_search_with_a_prior_evaluates_its_portfolio_first(kind: type[Ours], recorded: TraceSet) -> None:
    prior = learning.learn(recorded.recipes, tables([recorded]))
    contender = kind(recorded, 0, EmulatedPool(recorded, Emulator(recorded), 0), prior=prior, trials=12)
    begun = [contender.begin() for _ in range(4)]
    expected = [params for _, params in expect(prior, recorded, recorded.recipes).portfolio()[0][:4]]
    assert [running.trace.params for running in begun if running] == expected
    assert all(abs(math.log10(float(params["lr_g"])) + 3) < 0.5 for params in expected[:2])


def test_priors_are_learnt_from_all_recordings_but_those_left_out(
    recorded: TraceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn_prior, "FOLDER", tmp_path)
    common = {**COMMON, "images": 700}
    for name in ("faces", "other", "horse"):
        write_traces(tmp_path / f"{name}.jsonl.gz", TraceSet(common | {"data": f"folder:{name}"}, recorded.traces))
    assert {table.images for table in tables(learn_prior.read_recordings([]))} == {"faces", "other", "horse"}
    assert [learn_prior.rounded(value) for value in (0.180663, 0.1807, 32)] == [0.1807, 0.1807, 32]
    # Horses are of the kind "cifar".
    assert learn_prior.learn_from(["other", "cifar"]).sets == ("faces",)
    right, wrong = (learn_prior.learn_from(["other", "cifar"], reverse) for reverse in (False, True))
    good = [Trace(0, "dcgan", "sampled", 0, params("dcgan", lr), []) for lr in (1e-3, 1e-5)]
    points = right.points("dcgan", [recorded.settings(trace) for trace in good])
    task = [right.rows[0].task] * 2
    assert np.diff(right.mean(points, task))[0] > 0 > np.diff(wrong.mean(points, task))[0]


def test_constants_are_judged_on_kinds_that_were_left_out(recorded: TraceSet) -> None:
    named = (TraceSet({**COMMON, "images": 700, "data": f"folder:{name}"}, recorded.traces) for name in ("one", "two"))
    found = tables(list(named))
    correlation, better, variance = learn_prior.judge(Constants(), found)
    assert correlation > 0.8 and better < 0.1 and variance > 0
    wrong = [dataclasses.replace(found[0], results=-found[0].results), *found[1:]]
    assert learn_prior.judge(Constants(), wrong)[0] < correlation
    assert len(set(learn_prior.variants(Constants()))) == 1 + 2 * (3 + 5)


def test_what_a_first_rung_loses_is_counted(recorded: TraceSet) -> None:
    """Curves fall evenly to their ends, so who is best first is best last; turned round, the best is lost."""
    listed = [dataclasses.replace(trace, source="near") for trace in recorded.traces[2:]]
    correlation, loss = judge_rungs.judge(TraceSet({**COMMON, "listed": True}, listed), 2)
    assert correlation == pytest.approx(1.0) and loss == pytest.approx(1.0)
    turned = [dataclasses.replace(each, reports=[]) for each in listed]
    for each in turned:
        end = recorded.traces[each.trial].best_fid or 0.0
        each.reports.extend(dataclasses.replace(HEALTHY_REPORT, fid=fid) for fid in (1e3 - end, 1e3 - end, end))
    correlation, loss = judge_rungs.judge(TraceSet({**COMMON, "kimg": 3.0, "listed": True}, turned), 2)
    assert correlation == pytest.approx(-1.0) and loss > 2


def test_rungs_with_foresight_let_go_on_who_ends_well(recorded: TraceSet) -> None:
    ends = {"first": 50.0, "late": 40.0, "early": 60.0}
    asha = ForeseeingAsha([1.0], 3.0, {name: trace(0, "dcgan", "sampled", {}, end) for name, end in ends.items()})
    reasons = [asha.report(name, 1.0, score) for name, score in (("first", 300.0), ("late", 900.0), ("early", 100.0))]
    assert [reason is not None for reason in reasons] == [False, False, True]


def test_a_sampler_with_foresight_is_told_of_the_end(recorded: TraceSet) -> None:
    contender = Ours(recorded, 0, EmulatedPool(recorded, Emulator(recorded), 0), foresight="sampler")
    simulate(contender, slots=2, budget=108.0)
    told = {trial.user_attrs["trial"]: trial for trial in contender.searcher.study.trials if trial.user_attrs}
    stopped = [name for name in contender.scheduler.stopped if name in told]
    assert len(stopped) > 3
    for name in stopped:
        assert told[name].intermediate_values[6000] == contender.searcher.recorded[name].best_fid


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_another_sampler_takes_the_place_of_the_search_s_own(sampler: str, recorded: TraceSet) -> None:
    contender = Ours(recorded, 0, sampler=sampler)
    assert simulate(contender, slots=2, budget=60.0).trials > 4
    assert type(contender.searcher.study.sampler).__name__.lower() == f"{sampler}sampler"


def test_the_slope_of_the_likelihood_is_its_slope() -> None:
    random = np.random.default_rng(0)
    points, values, left = random.random((12, 3)), random.standard_normal(12), random.random(12)
    squares = np.square(points.T[:, :, None] - points.T[:, None, :])
    same = (np.arange(12)[:, None] // 3 == np.arange(12)[None] // 3).astype(float)
    given = squares, np.outer(left, left), same, values
    logs = np.log([0.7, 1.3, 2.0, 0.9, 0.8, 0.1, 0.2])
    slope = negative_log_likelihood(*given, np.exp(logs))[1]
    steps = 1e-5 * np.eye(7)
    costs = [[negative_log_likelihood(*given, np.exp(logs + sign * step))[0] for sign in (1, -1)] for step in steps]
    assert slope == pytest.approx([(up - down) / 2e-5 for up, down in costs], rel=1e-4, abs=1e-5)


def test_the_constants_of_the_model_are_learnt_from_recordings(recorded: TraceSet) -> None:
    """Learning rates of the generator decide here, and nothing else does."""
    found = learn(recorded, 60, 0)
    lengths = {name: length for name, length in found.items() if name not in VARIANCES}
    assert min(lengths, key=lambda name: lengths[name]) == "lr_g" and found["noise"] < 0.1 < found["end"]
    nearest, process = explained(recorded, 0)
    assert 0.8 < nearest <= 1 and 0.8 < process <= 1


def test_a_driver_is_billed_for_each_trial(recorded: TraceSet) -> None:
    found = measure(recorded, 30, 4, 0)
    assert found["trials"] == 30 and 0 < found["share_of_full_training"] < 1
    assert 0 < found["first_tenth"] < found["last_tenth"] and found["best"] < 150


@pytest.mark.parametrize("kind", [Ours, Plain])
def test_real_searchers_stop_trials_and_learn(kind: type[Ours], recorded: TraceSet) -> None:
    budget = 12 * 9.0
    history = simulate(kind(recorded, 0), slots=2, budget=budget)
    # Trained in full it would have been twelve.
    assert history.trials > 12
    assert history.best[-1] < 80
    again = simulate(kind(recorded, 0), slots=2, budget=budget)
    assert again.best == history.best and again.seconds == history.seconds


def test_the_study_is_told_of_what_was_trained(recorded: TraceSet) -> None:
    contender = Ours(recorded, 0)
    simulate(contender, slots=2, budget=100.0)
    told = {t.user_attrs["trial"]: t for t in contender.searcher.study.trials if "trial" in t.user_attrs}
    sampled = [t for t in contender.record.trials.values() if t.source == "sampled" and t.final]
    assert len(sampled) > 5 and not any(t.outcome is Outcome.INFEASIBLE for t in sampled)
    for trial in sampled:
        trained = contender.searcher.recorded[trial.id].params
        assert {name: told[trial.id].params[f"{trial.recipe}.{name}"] for name in trained} == trained


@pytest.mark.parametrize(
    ("kind", "settings"), [("rungs", {"futility": None}), ("futility", {"reduction_factor": 1.001})]
)
def test_who_was_stopped_is_counted_and_who_would_have_won(
    kind: str, settings: dict[str, float | None], recorded: TraceSet
) -> None:
    contender = Ours(recorded, 0, **settings)
    simulate(contender, slots=2, budget=200.0)
    stopped = contender.scheduler.stopped
    for name in stopped:
        contender.searcher.recorded[name] = trace(0, "dcgan", "sampled", {}, 399.0)
    assert len(stopped) > 2 and contender.stops() == Counter({kind: len(stopped)})
    contender.searcher.recorded[next(iter(stopped))] = trace(0, "dcgan", "sampled", {}, 1.0)
    assert contender.stops()[f"{kind}, wrongly"] == 1


def test_near_settings_vary_the_best_tenth(recorded: TraceSet) -> None:
    models = best_tenth(recorded)
    assert len(models) == 8
    assert max(model.best_fid or 0 for model in models) < min(
        found.best_fid or 0 for found in recorded.traces if found not in models
    )
    drawn = [vary(index, recorded.recipes, models) for index in range(60)]
    assert drawn == [vary(index, recorded.recipes, models) for index in range(60)]
    rates = [math.log10(params["lr_g"]) for _, source, params in drawn if source == "near"]
    # The best have rates about 1e-3, of a range of three powers of ten.
    assert len(rates) == 60 and abs(np.median(rates) + 3) < 0.15 and np.std(rates) > 0.1


def dominated(fids: list[float]) -> Trace:
    reports = [TracedReport(fid, 0.5, 1.0, 0.5, [Stretch(0.001, 9.0, True)] * 4) for fid in fids]
    return Trace(0, "dcgan", "sampled", 0, params("dcgan", 1e-3), reports)


def test_the_rule_sees_what_the_trainer_would_have_shown_it(recorded: TraceSet) -> None:
    lost = recorded.verdict(dominated([400.0] + [410.0] * 5))
    # The first FID is the best there is, which ends no count: the windows since then decide.
    assert lost is not None and lost.reason.startswith("dominated")
    assert lost.report == math.ceil(DOMINATED_CHECKS / 4) and lost.judged
    assert recorded.verdict(dominated([400.0, 390.0, 380.0, 370.0, 360.0, 350.0])) is None
    # One that is better than a single image has learnt.
    assert recorded.verdict(dominated([400.0, 199.0] + [410.0] * 5)) is None
    assert recorded.verdict(recorded.traces[4]) is None
    blown = TracedReport(None, None, 1.0, 0.5, [HEALTHY, Stretch(None, None, False)])
    verdict = recorded.verdict(Trace(0, "dcgan", "sampled", 0, params("dcgan", 1e-3), [blown]))
    assert verdict is not None and (verdict.report, verdict.stretches, verdict.judged) == (0, 2, False)


def test_false_kills_are_those_that_would_have_been_among_the_best(recorded: TraceSet) -> None:
    recorded.traces.append(dominated([400.0, 410.0, 410.0, 410.0, 410.0, 20.0]))
    found = judge_divergence.judge(judge_divergence.cases(recorded, (4, 1.0)))
    assert found["ended"] == 1 and found["false_kills"]["count"] == 1
    assert 0 < found["saved"]["share"] < 0.02
    patient = judge_divergence.judge(judge_divergence.cases(recorded, (100, 1.0)))
    assert patient["ended"] == 0 and patient["false_kills"]["count"] == 0
    assert judge_divergence.shipped()[0] == DOMINATED_CHECKS


def test_ratios_and_shares() -> None:
    found = ratio([50.0, 90.0, 80.0] * 5, [100.0, 180.0, 160.0] * 5)
    assert found["ratio"] == pytest.approx(0.5) and found["low"] == pytest.approx(0.5) and found["p"] < 0.01
    share = reached([0.1, 0.2, math.inf])
    assert share["median"] == 0.2 and share["high"] is None
    assert share["within_a_quarter"] == share["reached"] == pytest.approx(2 / 3)


def test_the_mean_over_sets_has_an_interval_over_sets() -> None:
    results = [{"against": {"plain": {"ratio": ratio}}} for ratio in (0.4, 0.5, 0.8)]
    found, logs = over_sets(results, "plain"), np.log([0.4, 0.5, 0.8])
    assert found["ratio"] == pytest.approx(math.exp(logs.mean()))
    # Student's t with two degrees of freedom: 95% lie within 4.3027 standard errors.
    assert found["high"] == pytest.approx(math.exp(logs.mean() + 4.3027 * logs.std(ddof=1) / math.sqrt(3)), rel=1e-4)


def test_searches_that_have_ended_are_kept_for_the_same_question_only(tmp_path: Path) -> None:
    path, key = tmp_path / "done.jsonl", ("horse-16", "ours", 3)
    history = History([3.0], [70.5], 9.0, 8.0, 4)
    Kept(path, {"full_trials": 12}).add(key, history, Counter(rungs=2))
    again = Kept(path, {"full_trials": 12})
    assert key in again and again[key] == (history, Counter(rungs=2))
    assert ("horse-16", "random", 3) not in again
    path.write_text(path.read_text() + '\n{"data": "hor')  # Killed while it wrote.
    other = ("horse-16", "random", 3)
    Kept(path, {"full_trials": 12}).add(other, history, Counter())
    again = Kept(path, {"full_trials": 12})
    assert key in again and other in again
    assert key not in Kept(path, {"full_trials": 20})


def test_what_was_expected_is_set_beside_what_searches_came_to(recorded: TraceSet) -> None:
    history = priors.History(
        "faces", priors.Task(16, 16.0, 6.0, 3, 5000), [("dcgan", -1.0), ("wgan", -2.0)], {"dcgan": 0.0}
    )
    histories = [dataclasses.replace(history, trials=[("dcgan", -1.0 - 0.1 * n)]) for n in range(4)]
    found_elsewhere = priors.Prior({name: load_recipe(name) for name in ("dcgan", "wgan")}, histories=histories)
    assert published_best(recorded) == pytest.approx(300.0)
    found = foreseen(recorded, found_elsewhere, [300 * math.exp(-1.2), 299.0, 300 * math.exp(-1.1)], 12)
    assert found is not None and found["ratio"] == pytest.approx(math.exp(-1.15))
    assert found["within"] == pytest.approx(2 / 3) and found["found"] == pytest.approx(math.exp(-1.1))


def test_settings_of_recordings_are_those_of_the_recipes(recorded: TraceSet) -> None:
    assert recorded.recipes["wgan"].settings["clip"] == load_recipe("wgan").settings["clip"]
    assert recorded.recipes["wgan"].settings["width_d"] == 16


def test_a_live_trial_is_what_would_have_been_recorded_at_what_that_cost(recorded: TraceSet) -> None:
    data = open_data("faces?limit=600", 16)
    evaluator = Evaluator.prepare(data, samples=100)
    common = {**COMMON, "evaluation": evaluator.identity.as_dict(), "kimg": 0.4, "interval_kimg": 0.2}
    traces = TraceSet(common, recorded.traces)
    pool = LivePool(traces, "faces?limit=600", 0)
    drawn = params("dcgan", 1e-3)
    running = pool.running(pool.nearest("dcgan", drawn), None, judged=True)
    while not running.ended:
        # A second of training and half of evaluation, whatever this machine needs.
        assert running.cost() == 1.5
        running.reported += 1
    recipe = traces.recipes["dcgan"].with_settings(drawn)
    trained = record(Training(recipe, data, evaluator, running.trace.seed, traces.interval), 2)
    assert [report.fid for report in running.trace.reports] == [report.fid for report in trained]
    assert len(trained) == 2 and trained[0].fid != trained[1].fid


def test_a_live_trial_costs_what_the_most_similar_work_cost(recorded: TraceSet) -> None:
    slow = dataclasses.replace(HEALTHY_REPORT, train_seconds=5.0)
    wide = {**params("wgan", 1e-3), "batch": 32, "n_critic": 4}
    recorded.traces.append(Trace(99, "wgan", "sampled", 0, wide, [slow] * REPORTS))
    costs = Costs(recorded)
    assert costs.of("wgan", wide) == (5.0, 0.5)
    # No other was recorded with this batch, however many steps the critic takes.
    assert costs.of("wgan", {**wide, "n_critic": 1}) == (5.0, 0.5)
    assert costs.of("wgan", params("wgan", 1e-3)) == (1.0, 0.5) == costs.of("dcgan", params("dcgan", 1e-4))


def test_live_searches_train_what_they_propose_until_the_time_is_up(recorded: TraceSet) -> None:
    data = open_data("faces?limit=600", 16)
    evaluation = Evaluator.prepare(data, samples=100).identity.as_dict()
    traces = TraceSet({**COMMON, "evaluation": evaluation, "kimg": 0.4, "interval_kimg": 0.1}, recorded.traces)
    for number, kind in enumerate((Ours, Plain, Random, Published)):
        history = simulate(kind(traces, 0, LivePool(traces, "faces?limit=600", number)), slots=2, budget=14.0)
        assert history.spent == 14.0 and history.trials >= 2 and math.isfinite(history.at(14.0))
    with pytest.raises(ValueError, match="not the data"):
        LivePool(traces, "faces?limit=700", 0)


def test_recordings_of_one_kind_are_joined_at_the_costs_of_the_first(
    recorded: TraceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, strange = (str(tmp_path / f"{name}.jsonl.gz") for name in ("one", "other", "strange"))
    write_traces(Path(one), recorded)
    quicker = [
        dataclasses.replace(
            trace, reports=[dataclasses.replace(r, train_seconds=0.5, eval_seconds=0.25) for r in trace.reports]
        )
        for trace in recorded.traces
    ]
    write_traces(Path(other), TraceSet({**COMMON, "published_seeds": 0}, quicker))
    write_traces(Path(strange), TraceSet({**COMMON, "kimg": 7.0}, quicker))
    joined = read_joined(f"{one}+{other}")
    assert len(joined.traces) == 2 * len(recorded.traces)
    assert {trace.seconds for trace in joined.traces} == {1.5 * REPORTS}
    for names, problem in ((f"{one}+{strange}", "not recorded alike"), ("nowhere", "choose of automobile-16, ")):
        with pytest.raises(SystemExit, match="2"):
            read_joined(names)
        assert problem in capsys.readouterr().err
