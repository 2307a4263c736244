"""Comparisons, and the finalists of sweeps: through the real command line, on a real local Ray, at tiny size."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driving import TINY, count, run_cli, sweep_arguments, wait_for
from PIL import Image
from verdicts import trained_after_its_verdict

from gan.storage.storage import Storage
from gan.terminal import run_app
from search.commands.app import app
from search.run.journal import read_events
from search.run.record import FINAL, read_record

LENGTH = ("--kimg", "0.4", "--interval-kimg", "0.2")
ONE = ("--concurrent", "1")
"""Trainings this short cost less than a second worker's start."""


def compare_arguments(data: str, storage: Path, *more: str) -> list[str]:
    return ["compare", "--data", data, "--storage", str(storage), *TINY, *more]


def trainings(told: dict[str, Any]) -> dict[tuple[str, int], tuple[float, float]]:
    """Return (recipe, seed) → (best FID, final FID) of a comparison as `--json` tells it."""
    return {
        (recipe["name"], trial["seed"]): (trial["best_fid"], trial["final_fid"])
        for recipe in told["comparison"]["recipes"]
        for trial in recipe["trials"]
    }


def here(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command that needs no Ray in this process; return status, stdout, stderr."""
    capsys.readouterr()
    status = run_app(app, arguments)
    return status, *capsys.readouterr()


@pytest.fixture(scope="module")
def sweep(tiny_data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A sweep of three trials with one finalist beside the published settings: (folder, what it printed)."""
    storage = tmp_path_factory.mktemp("results")
    more = ("--name", "found", "--recipe", "dcgan", "--trials", "3", *LENGTH, *ONE)
    done = run_cli(*sweep_arguments(tiny_data, storage, *more, "--finalists", "1", "--finalist-seeds", "2", "--json"))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return storage / "found", json.loads(done.stdout)


@pytest.fixture(scope="module")
def compared(
    sweep: tuple[Path, dict[str, Any]], tiny_data: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A comparison of a recipe and of the best of a sweep, two seeds each: (folder, what it printed)."""
    storage = tmp_path_factory.mktemp("results")
    more = ("--name", "fair", "--seeds", "2", "--draws", "3", *LENGTH, *ONE, "--json")
    done = run_cli(*compare_arguments(tiny_data, storage, "wgan", f"{sweep[0]}:1", *more))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return storage / "fair", json.loads(done.stdout)


@pytest.mark.slow
def test_every_recipe_is_trained_to_full_length_on_the_same_seeds(compared: tuple[Path, dict[str, Any]]) -> None:
    run, told = compared
    assert (told["state"], told["metric"], told["comparison"]["state"]) == ("finished", "best_fid", "finished")
    trials = read_record(Storage(run)).trials.values()
    found = told["trials"][1]["recipe"]
    assert [(trial.recipe, trial.seed) for trial in trials] == [("wgan", 3), (found, 3), ("wgan", 4), (found, 4)]
    for trial in trials:
        assert trial.state == "diverged" or (trial.state, trial.kimg) == ("finished", 0.4)


@pytest.mark.slow
def test_the_settings_of_a_run_are_those_of_its_best_trial(
    compared: tuple[Path, dict[str, Any]], sweep: tuple[Path, dict[str, Any]]
) -> None:
    winner = read_record(Storage(sweep[0])).ranked()[0]
    trial = read_record(Storage(compared[0])).trials["t0001"]
    assert trial.recipe == f"found:{winner.id}"
    assert trial.settings == winner.settings
    assert (trial.source, trial.params) == (winner.source, winner.params)


@pytest.mark.slow
def test_generators_are_judged_again_on_fresh_latents_and_the_journal_says_so(
    compared: tuple[Path, dict[str, Any]], tiny_data: str
) -> None:
    """The same figures as `evaluate` gives for the bundles that were kept."""
    from gan import load_bundle
    from gan.data.packed.opening import open_data
    from gan.evaluation.assessment.rejudge import judge
    from gan.evaluation.evaluator import Evaluator

    run, told = compared
    draws = [event for event in read_events(Storage(run)) if event["event"] == "draws"]
    assert sorted(event["trial"] for event in draws) == ["t0000", "t0001", "t0002", "t0003"]
    evaluator = Evaluator.prepare(open_data(tiny_data, None), samples=500)
    for event in draws[:2]:
        assert event["latent_seeds"] == [1, 2, 3]
        assert evaluator.identity.latent_seed not in event["latent_seeds"]
        bundle = load_bundle(str(run / "best" / event["trial"]))
        fids = [judge(bundle, evaluator, seed).fid for seed in (1, 2, 3)]
        assert event["fids"] == pytest.approx(fids, rel=1e-4)
        assert len(set(event["fids"])) == 3
    for recipe in told["comparison"]["recipes"]:
        assert recipe["redrawn_fid"]["seeds"] == 2
        assert recipe["redrawn_fid"]["std_over_draws"] > 0


@pytest.mark.slow
def test_a_comparison_is_a_run_like_any_other(
    compared: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, told = compared
    assert json.loads(here(capsys, "status", str(run), "--json")[1]) == told
    for name in ("compare.csv", "compare.md", "compare.json", "report.html", "leaderboard.csv", "real.png"):
        assert (run / name).is_file(), name
    shown = {"compare_fid.png", "compare_means.png", "compare_grids.png", "real_and_fake.png", "milestones.png"}
    assert shown <= {path.name for path in (run / "plots").iterdir()}
    assert {"t0000", "t0001", "t0002", "t0003"} <= {path.name for path in (run / "tensorboard").iterdir()}
    status, out, _ = here(capsys, "export", str(run), "--rank", "4", "--out", str(tmp_path / "out"), "--json")
    assert status == 0
    assert json.loads(out)["trial"] == read_record(Storage(run)).ranked()[3].id


@pytest.mark.slow
def test_a_finished_comparison_is_left_as_it_is_and_another_is_refused(
    compared: tuple[Path, dict[str, Any]],
    sweep: tuple[Path, dict[str, Any]],
    tiny_data: str,
    snapshot: Callable[[Path], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, told = compared
    more = ("--seeds", "2", "--draws", "3", "--interval-kimg", "0.2", "--json")
    recipes = ("wgan", f"{sweep[0]}:1")
    before = read_events(Storage(run))
    same = compare_arguments(tiny_data, run.parent, *recipes, *more, "--name", "fair", "--kimg", "0.4")
    assert json.loads(here(capsys, *same)[1])["comparison"] == told["comparison"]
    assert read_events(Storage(run)) == before
    tree = snapshot(run.parent)
    for wrong, said in (
        ([*recipes, "--name", "fair", "--kimg", "0.6"], "kimg is 0.4 there, 0.6 here"),
        (["wgan", "--name", "fair", "--kimg", "0.4"], "is set there, missing here"),
        ([*recipes, "--name", "fair", "--kimg", "0.4", "--set", "lr_g=1e-3"], "lr_g"),
        ([*recipes, "--name", "found", "--storage", str(sweep[0].parent), "--kimg", "0.4"], "another kind"),
    ):
        status, _, error = here(capsys, *compare_arguments(tiny_data, run.parent, *more, *wrong))
        assert status == 2
        assert len(error.strip().splitlines()) == 1
        assert said in error
    assert snapshot(run.parent) == tree


def test_finalists_are_the_best_and_the_published_settings_on_fresh_seeds(
    sweep: tuple[Path, dict[str, Any]],
) -> None:
    run, told = sweep
    record, final = read_record(Storage(run)), read_record(Storage(run / "finalists"))
    best = next(trial for trial in record.ranked() if trial.source == "sampled")
    name = f"dcgan:{best.id}"
    assert Counter(trial.recipe for trial in final.trials.values()) == {"dcgan": 2, name: 2}
    settings = {trial.recipe: trial.settings for trial in final.trials.values()}
    assert settings[name] == best.settings
    (own,) = (trial for trial in record.trials.values() if trial.source == "published")
    assert settings["dcgan"] == own.settings
    used = {trial.seed for trial in record.trials.values()}
    fresh = {trial.seed for trial in final.trials.values()}
    assert len(fresh) == 2 and not fresh & used
    assert all(trial.kimg == 0.4 for trial in final.trials.values() if trial.state == "finished")
    assert all(len(trial.draws) == 5 for trial in final.trials.values())
    assert told["finalists"]["state"] == told["state"] == "finished"
    assert {recipe["name"] for recipe in told["finalists"]["recipes"]} == {"dcgan", name}


@pytest.mark.slow
def test_the_sweeps_report_and_export_tell_which_finalist_won(
    sweep: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gan import load_bundle

    run, told = sweep
    plots = {path.name for path in (run / "plots").iterdir()}
    assert {"finalists_fid.png", "finalists_means.png", "finalists_grids.png"} <= plots
    assert (run / "finalists" / "compare.md").is_file()
    status, out, _ = here(capsys, "export", str(run), "--out", str(tmp_path / "out"), "--json")
    assert status == 0
    says = json.loads(out)
    first = told["finalists"]["recipes"][0]
    # By default still the generator of the lowest FID of the sweep itself.
    assert (says["trial"], says["best_fid"]) == (told["best"]["trial"], told["best"]["best_fid"])
    assert (says["finalist"]["name"], says["finalist"]["mean"]) == (first["name"], first["best_fid"]["mean"])
    assert load_bundle(says["finalist"]["bundle"]).config["fid"] == min(t["best_fid"] for t in first["trials"])
    assert f"{first['name']} won on mean" in here(capsys, "export", str(run), "--out", str(tmp_path / "again"))[1]


@pytest.mark.slow
def test_a_finished_sweep_with_its_finalists_is_left_as_it_is(
    sweep: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, told = sweep
    events = read_events(Storage(run)), read_events(Storage(run / "finalists"))
    status, out, _ = here(capsys, "resume", str(run), "--json")
    assert (status, json.loads(out)["finalists"]) == (0, told["finalists"])
    assert (read_events(Storage(run)), read_events(Storage(run / "finalists"))) == events


@pytest.mark.slow
def test_real_images_are_kept_beside_the_generated(sweep: tuple[Path, dict[str, Any]]) -> None:
    run, _ = sweep
    generated = next(run.glob("trials/t0000/samples/*.png"))
    with Image.open(run / "real.png") as real, Image.open(generated) as fake:
        assert real.size == fake.size


# ---- slow: whole comparisons more


@pytest.mark.slow
def test_a_killed_comparison_trains_nothing_twice_and_ends_with_the_same_figures(
    tiny_data: str, tmp_path: Path, started: Callable[..., Any]
) -> None:
    more = ("dcgan", "wgan", "--seeds", "2", "--draws", "2", "--kimg", "1.2", "--interval-kimg", "0.1")
    driver = started(*compare_arguments(tiny_data, tmp_path / "results", *more, "--name", "killed"))
    run = tmp_path / "results" / "killed"
    wait_for(run, lambda events: count(events, "verdict") >= 1 and count(events, "report") >= 18, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    verdicts = {trial.id for trial in read_record(Storage(run)).trials.values() if trial.final}
    assert 1 <= len(verdicts) < 4
    done = run_cli("resume", str(run), "--json")
    assert done.returncode == 0, done.stderr
    events = read_events(Storage(run))
    assert trained_after_its_verdict(events) == []
    assert (count(events, "trial"), count(events, "verdict"), count(events, "draws")) == (4, 4, 4)
    whole = run_cli(*compare_arguments(tiny_data, tmp_path / "whole", *more, "--name", "whole", "--json"))
    assert whole.returncode == 0, whole.stderr
    assert trainings(json.loads(done.stdout)) == trainings(json.loads(whole.stdout))


@pytest.mark.slow
def test_a_comparison_killed_among_its_draws_goes_on_with_those_that_are_missing(
    tiny_data: str, tmp_path: Path, started: Callable[..., Any]
) -> None:
    more = ("dcgan", "--seeds", "3", "--draws", "60", *LENGTH, "--name", "draws", "--concurrent", "1")
    driver = started(*compare_arguments(tiny_data, tmp_path / "results", *more))
    run = tmp_path / "results" / "draws"
    wait_for(run, lambda events: count(events, "draws") >= 1, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = [event for event in read_events(Storage(run)) if event["event"] == "draws"]
    assert json.loads(run_cli("status", str(run), "--json").stdout)["state"] == "interrupted"
    done = run_cli("resume", str(run), "--json")
    assert done.returncode == 0, done.stderr
    events = read_events(Storage(run))
    after = [event for event in events if event["event"] == "draws"]
    assert after[: len(before)] == before
    assert sorted(event["trial"] for event in after) == ["t0000", "t0001", "t0002"]
    assert count(events, "start") == 3


@pytest.mark.slow
def test_a_comparison_grows_by_seeds_and_by_recipes(tiny_data: str, tmp_path: Path) -> None:
    def compare(*more: str) -> dict[str, Any]:
        done = run_cli(*compare_arguments(tiny_data, tmp_path, "--name", "grow", *LENGTH, *more, "--json"))
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    first = trainings(compare("dcgan", "--seeds", "1"))
    second = trainings(compare("dcgan", "wgan", "--seeds", "2"))
    assert set(second) == {("dcgan", 3), ("wgan", 3), ("dcgan", 4), ("wgan", 4)}
    assert second.items() >= first.items()
    events = read_events(Storage(tmp_path / "grow"))
    assert (count(events, "start"), trained_after_its_verdict(events)) == (4, [])
    done = run_cli("resume", str(tmp_path / "grow"), "--seeds", "+1", "--json")
    assert done.returncode == 0, done.stderr
    assert trainings(json.loads(done.stdout)).items() > second.items()
    refused = run_cli("resume", str(tmp_path / "grow"), "--trials", "+1")
    assert refused.returncode == 2
    assert "--seeds +N" in refused.stderr


@pytest.mark.slow
def test_a_training_is_the_same_as_by_itself(tiny_data: str, tmp_path: Path) -> None:
    """A comparison's trial and `gan-search train` with its seed: the same numbers, to the bit."""
    told = run_cli(*compare_arguments(tiny_data, tmp_path, "wgan", "--seeds", "1", "--name", "one", *LENGTH, "--json"))
    assert told.returncode == 0, told.stderr
    out = ("--recipe", "wgan", "--data", tiny_data, *LENGTH, "--out", str(tmp_path / "alone"), "--json")
    alone = run_cli("train", *TINY, *out)
    assert alone.returncode == 0, alone.stderr
    best = json.loads(alone.stdout)
    assert trainings(json.loads(told.stdout)) == {("wgan", 3): (best["best_fid"], best["fid"])}
    assert (tmp_path / "alone" / "real.png").read_bytes() == (tmp_path / "one" / "real.png").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_ended_among_its_finalists_goes_on_with_them(
    number: signal.Signals, tiny_data: str, tmp_path: Path, started: Callable[..., Any]
) -> None:
    more = ("--name", "ended", "--recipe", "dcgan", "--trials", "2", "--kimg", "0.8", "--interval-kimg", "0.1")
    driver = started(*sweep_arguments(tiny_data, tmp_path / "results", *more, "--finalists", "1"))
    run = tmp_path / "results" / "ended"
    final = run / "finalists"
    wait_for(final, lambda events: count(events, "verdict") >= 1 and count(events, "report") >= 10, driver)
    driver.send_signal(number)
    assert driver.wait(timeout=60) == (130 if number == signal.SIGINT else -9)
    if number == signal.SIGINT:
        assert f"gan-search resume {run}" in (tmp_path / "log0").read_text().strip().splitlines()[-1]
        assert not (run / "owner.json").exists() and not (final / "owner.json").exists()
    told = json.loads(run_cli("status", str(run), "--json").stdout)
    assert (told["state"], told["finalists"]["state"]) == ("interrupted", "interrupted")
    assert {trial["state"] for trial in told["trials"]} <= set(FINAL)
    sweep_events = count(read_events(Storage(run)), "start")
    done = run_cli("resume", str(run), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["finalists"]["state"]) == ("finished", "finished")
    events = read_events(Storage(final))
    assert (count(events, "trial"), count(events, "verdict")) == (6, 6)
    assert trained_after_its_verdict(events) == []
    assert count(read_events(Storage(run)), "start") == sweep_events


@pytest.mark.slow
def test_finalists_can_be_asked_for_when_a_sweep_has_ended_and_former_ones_stay(tiny_data: str, tmp_path: Path) -> None:
    more = ("--name", "later", "--recipe", "dcgan", "--trials", "3", *LENGTH, "--json")
    done = run_cli(*sweep_arguments(tiny_data, tmp_path, *more))
    assert done.returncode == 0, done.stderr
    assert "finalists" not in json.loads(done.stdout)
    run = tmp_path / "later"
    done = run_cli("resume", str(run), "--finalists", "1", "--json")
    assert done.returncode == 0, done.stderr
    first = {recipe["name"]: recipe for recipe in json.loads(done.stdout)["finalists"]["recipes"]}
    assert len(first) == 2
    before = read_events(Storage(run / "finalists"))
    done = run_cli("resume", str(run), "--trials", "+4", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (len(told["trials"]), told["state"]) == (7, "finished")
    second = {recipe["name"]: recipe for recipe in told["finalists"]["recipes"]}
    assert {name: second[name]["trials"] for name in first} == {name: first[name]["trials"] for name in first}
    events = read_events(Storage(run / "finalists"))
    assert events[: len(before)] == before
    assert trained_after_its_verdict(events) == []


@pytest.mark.slow
def test_a_time_budget_covers_the_finalists(tiny_data: str, tmp_path: Path) -> None:
    more = ("--name", "short", "--recipe", "dcgan", "--trials", "2", *LENGTH, "--finalists", "1")
    budget = ("--finalist-seeds", "500", "--time-budget", "25s", "--json")
    done = run_cli(*sweep_arguments(tiny_data, tmp_path, *more, *budget))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == "interrupted"
    final = tmp_path / "short" / "finalists"
    # Thousands of trainings do not fit into it; on a slow machine not even the first.
    assert not final.exists() or len(read_record(Storage(final)).trials) < 1000
