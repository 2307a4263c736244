"""What a comparison is told, where its settings come from, which trials are planned; finalists chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from gan.recipe.recipe import load_recipe
from gan.storage.storage import Storage
from gan.terminal import run_app
from search.commands.app import app
from search.compare import FixedPlanner
from search.finalists import choose, compare_spec
from search.plan.contestants import resolve
from search.plan.spec import CompareSpec, make_spec, validate
from search.run.journal import Journal
from search.run.record import SweepRecord, TrialRecord, read_record
from search.run.run_folder import write_settings


def spec(*recipes: Any, **more: Any) -> CompareSpec:
    return validate(CompareSpec, {"recipes": list(recipes), **more}, "compare")


def roster(made: CompareSpec, run: Storage, record: SweepRecord | None = None) -> FixedPlanner:
    return FixedPlanner(made, made.load_recipes(), record or SweepRecord(), Journal(run))


def handed(planner: FixedPlanner) -> list[tuple[str, str, int]]:
    configs = []
    while (config := planner.suggest(f"tune-{len(configs)}")) != Searcher.FINISHED:
        configs.append((config["trial"], config["recipe"], config["seed"]))
    return configs


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    """A run of three trials, the second of them the best, the third without a FID."""
    folder = Storage(tmp_path / "there" / "demo")
    write_settings(folder, {}, {}, {})
    journal = Journal(folder)
    journal.append("sweep", format=1, command="", settings={}, evaluation={}, versions={})
    for index, lr in enumerate((1e-4, 3e-3, 2e-3)):
        journal.append(
            "trial",
            trial=f"t{index:04d}",
            recipe="l2",
            objective="l2",
            source="sampled" if index else "published",
            params={"lr_g": lr} if index else {},
            settings={"network": "dcgan", "objective": "l2", "lr_g": lr, "batch": 32, "l2_lambda": 0.5},
            seed=index,
        )
        if index < 2:
            journal.append("report", trial=f"t{index:04d}", kimg=1.0, fid=9.0 - index, best_fid=9.0 - index)
    return folder


def test_trials_are_handed_out_seed_by_seed_and_only_those_that_are_missing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    journal = Journal(storage)
    journal.append("sweep", format=1, command="", settings={}, evaluation={}, versions={})
    first = handed(roster(spec("dcgan", "wgan", seeds=2, seed=7), storage))
    assert first == [("t0000", "dcgan", 7), ("t0001", "wgan", 7), ("t0002", "dcgan", 8), ("t0003", "wgan", 8)]
    for trial in ("t0000", "t0003"):
        journal.append("verdict", trial=trial, state="finished", reason=None)
    record = read_record(storage)
    # Unfinished ones first, then what is new: a recipe and a seed more.
    assert handed(roster(spec("dcgan", "l2", "wgan", seeds=3, seed=7), storage, record)) == [
        ("t0001", "wgan", 7),
        ("t0002", "dcgan", 8),
        ("t0004", "l2", 7),
        ("t0005", "l2", 8),
        ("t0006", "dcgan", 9),
        ("t0007", "l2", 9),
        ("t0008", "wgan", 9),
    ]


@pytest.mark.parametrize(
    ("which", "trial", "lr"), [("1", "t0001", 3e-3), ("2", "t0000", 1e-4), ("t0002", "t0002", 2e-3)]
)
def test_a_run_gives_the_settings_of_a_rank_or_a_trial(run: Storage, which: str, trial: str, lr: float) -> None:
    made = resolve(spec(f"{run.uri}:{which}"))
    (recipe,) = made.load_recipes().values()
    assert recipe.name == f"demo:{trial}"
    assert (recipe.settings["lr_g"], recipe.settings["l2_lambda"]) == (lr, 0.5)
    config = roster(made, run).new_trial()
    assert config is not None
    assert (config.source, config.params) == (("published", {}) if trial == "t0000" else ("sampled", {"lr_g": lr}))


def test_a_run_is_found_by_its_name_and_what_it_gave_stays_though_it_goes_on(run: Storage) -> None:
    made = resolve(spec("demo:1", storage=str(Path(run.uri).parent)))
    Journal(run).append("report", trial="t0002", kimg=1.0, fid=0.5, best_fid=0.5)
    again = resolve(validate(CompareSpec, made.model_dump(), "sweep.yaml"))
    assert again == made
    assert list(again.load_recipes()) == ["demo:t0001"]


def test_runs_of_one_name_are_told_apart(run: Storage, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run.uri, tmp_path / "elsewhere" / "demo")
    other = f"{tmp_path}/elsewhere/demo"
    assert list(resolve(spec(f"{run.uri}:1", f"{other}:1")).load_recipes()) == ["demo:t0001", f"{other}:t0001"]


def test_a_recipe_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("settings: {lr_g: 1.0e-3}\n")
    made = resolve(spec(str(path), "dcgan", settings={"batch": "16"}))
    path.unlink()
    recipes = resolve(made).load_recipes()
    assert list(recipes) == ["mine", "dcgan"]
    assert (recipes["mine"].settings["lr_g"], recipes["mine"].settings["batch"]) == (1e-3, 16)


def test_identity_is_what_is_compared_not_how_often() -> None:
    one, two = spec("dcgan"), spec("dcgan", seeds=9, draws=2, concurrent=3, time_budget="1h")
    assert one.identity() == two.identity()
    assert one.identity() != spec("dcgan", seed=1).identity()
    assert one.rungs() == []


def trial(name: str, source: str, fid: float | None, lr: float | None, state: str = "finished") -> TrialRecord:
    """Return a trial with a learning rate of its own, or with the recipe's settings."""
    settings = dict(load_recipe("dcgan").settings) | ({} if lr is None else {"lr_g": lr})
    made = TrialRecord(name, "dcgan", "non-saturating", source, {}, settings, 0, state=state)
    made.reports = [] if fid is None else [{"kimg": 1.0, "best_fid": fid}]
    return made


def test_finalists_are_the_published_and_the_best_that_differ() -> None:
    trials = [
        trial("t0000", "published", 90.0, None),
        trial("t0001", "sampled", 30.0, None),  # the published settings once more
        trial("t0002", "sampled", 40.0, 6e-4, "diverged"),
        trial("t0003", "sampled", 35.0, 6e-4),  # the best of these settings
        trial("t0004", "sampled", 20.0, 3e-4, "failed"),
        trial("t0005", "sampled", 50.0, 4e-4, "stopped"),
        trial("t0006", "sampled", 60.0, 5e-4),
    ]
    record = SweepRecord(trials={trial.id: trial for trial in trials})
    chosen = choose({"dcgan": load_recipe("dcgan")}, record, 2)
    assert [contestant.name for contestant in chosen] == ["dcgan", "dcgan:t0003", "dcgan:t0005"]
    assert choose({"dcgan": load_recipe("dcgan")}, record, 0) == []
    # Published settings are a finalist also where the sweep did without them.
    recipes = {name: load_recipe(name).with_settings({"width_g": 8}) for name in ("dcgan", "wgan")}
    chosen = choose(recipes, record, 1)
    assert [contestant.name for contestant in chosen] == ["dcgan", "wgan", "dcgan:t0001"]
    assert chosen[1].recipe["settings"] == dict(recipes["wgan"].settings)


def test_finalists_train_as_the_sweep_did_on_seeds_that_it_cannot_have_had() -> None:
    sweep = make_spec({"seed": 4, "kimg": 12, "samples": 800, "finalists": 2, "finalist_seeds": 5, "name": "n" * 100})
    made = compare_spec(sweep, choose(sweep.load_recipes(), SweepRecord(), 1))
    assert (made.kimg, made.interval, made.samples, made.seeds) == (12, 1.0, 800, 5)
    own = range(4 * 100_003, 4 * 100_003 + 1_000_000)
    assert not set(made.training_seeds()) & set(own)
    assert len(made.training_seeds()) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare"], "Missing argument"),
        (["compare", "dcgna"], "did you mean 'dcgan'"),
        (["compare", "dcgan", "dcgan"], "named twice"),
        (["compare", "RUN:1", "RUN:t0001"], "named twice"),
        (["compare", "dcgan", "nowhere:1"], "there is no run here"),
        (["compare", "dcgan", "RUN:0"], "such as t0007"),
        (["compare", "dcgan", "RUN:best"], "such as t0007"),
        (["compare", "dcgan", "RUN:3"], "2 trials with a FID"),
        (["compare", "dcgan", "RUN:t0009"], "no trial t0009"),
        (["compare", "missing.yaml"], "missing.yaml"),
        (["compare", "list.yaml"], "list.yaml"),
        (["compare", "dcgan", "--seeds", "0"], "seeds"),
        (["compare", "dcgan", "--draws", "-1"], "draws"),
        (["compare", "dcgan", "--seed", "-1"], "seed"),
        (["compare", "dcgan", "--kimg", "0"], "kimg"),
        (["compare", "dcgan", "--interval-kimg", "400"], "interval_kimg"),
        (["compare", "dcgan", "--set", "clip=0.1"], "clip"),
        (["compare", "wgan", "--set", "clip=0"], "above 0"),
        (["compare", "dcgan", "--name", "../up"], "name"),
        (["compare", "dcgan", "--data", "folder:/nowhere", "--size", "32"], "/nowhere"),
        (["compare", "dcgan", "--gpus-per-trial", "8"], "gpus-per-trial"),
        (["sweep", "--finalists", "-1"], "finalists"),
        (["sweep", "--finalist-seeds", "0"], "finalist_seeds"),
        (["resume", "RUN", "--seeds", "+1"], "a sweep grows by --trials +N"),
        (["resume", "RUN", "--seeds", "many"], "--seeds many"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str],
    said: str,
    run: Storage,
    tiny_data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshot: Callable[[Path], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("- 1\n")
    arguments = [argument.replace("RUN", run.uri) for argument in arguments]
    if arguments[0] != "resume" and "--data" not in arguments:
        arguments = [*arguments, "--data", tiny_data]
    before = snapshot(tmp_path)
    assert run_app(app, arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    # Where the machine is slow, progress ("starting Ray …") comes before it.
    assert len([line for line in error.strip().splitlines() if not line.endswith(" …")]) == 1
    assert snapshot(tmp_path) == before


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    tiny_data: str, tmp_path: Path, snapshot: Callable[[Path], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    arguments = ["compare", "dcgan", "wgan", "--data", tiny_data, "--storage", str(tmp_path), "--dry-run", "--json"]
    assert run_app(app, [*arguments, "--seeds", "4", "--kimg", "12"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["rungs"] == []
    assert plan["trials"] == 8
    assert plan["identity"]["recipes"]["wgan"]["settings"]["clip"] == 0.01
    arguments.remove("--json")
    assert run_app(app, [*arguments, "--seeds", "4", "--kimg", "12"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "trials: 8: 2 recipes on 4 seeds each" in shown
    assert "reports: 96 at most" in shown and "no trial is stopped" in shown and "searched" not in shown
    assert snapshot(tmp_path) == {}
