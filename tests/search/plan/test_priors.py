"""Where a sweep's prior comes from: what `--prior` names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan.errors import InputError
from gan.recipe.recipe import load_recipe
from gan.storage.storage import Storage
from search.algorithm.learning import Table, learn
from search.algorithm.prior import Prior, Task
from search.algorithm.sampler import draw_params
from search.plan.priors import identity_of, load_prior, tables_of
from search.run.journal import Journal
from search.run.outcome import Outcome
from search.run.run_folder import PRIOR, write_settings

DCGAN = load_recipe("dcgan")
SPACE = DCGAN.searchable(), DCGAN.settings


def small_prior(seed: int = 0) -> Prior:
    random = np.random.default_rng(seed)
    entries = [("dcgan", draw_params(*SPACE, random)) for _ in range(20)]
    return learn({"dcgan": DCGAN}, [Table("some", Task(16, 16.0, 12.0, 3, 5000), entries, random.random(20))])


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    """Write a run of ten trials: of whole length, stopped, diverged, out of memory, and of a foreign recipe."""
    run = Storage(tmp_path / "earlier")
    run.make_dirs()
    settings = {"kimg": 8.0, "kind": "sweep"}
    write_settings(run, settings, {}, {})
    journal = Journal(run)
    evaluation = {"data_hash": "0123456789abcdef0123", "size": 24}
    about = {"command": "", "settings": settings, "evaluation": evaluation, "versions": {}}
    journal.append("sweep", format=1, **about, shape=[24, 24, 1], images=700)
    random = np.random.default_rng(0)
    for number in range(10):
        params = draw_params(*SPACE, random)
        recipe = load_recipe("wgan") if number == 9 else DCGAN.with_settings(params)
        name = f"t{number:04d}"
        about = {"recipe": recipe.name, "objective": "", "source": "sampled", "params": params, "seed": 0}
        journal.append("trial", trial=name, **about, settings=dict(recipe.settings))
        for kimg in (2.0, 8.0) if number < 6 else (2.0,):
            journal.append("report", trial=name, kimg=kimg, best_fid=100.0 - 10 * number - kimg)
        outcomes = {6: Outcome.STOPPED, 7: Outcome.DIVERGED, 8: Outcome.INFEASIBLE}
        outcome = outcomes.get(number, Outcome.FINISHED)
        journal.append("verdict", trial=name, state=outcome.state, reason=None, outcome=outcome)
    return run


def test_none_is_none_and_the_shipped_one_is_small_and_known(tmp_path: Path) -> None:
    run = Storage(tmp_path / "new")
    assert load_prior(None, run, "results") is None and load_prior("none", run, "results") is None
    shipped = load_prior("shipped", run, "results")
    assert shipped is not None and {"dcgan", "l2", "wgan"} == set(shipped.recipes)
    assert len(shipped.as_bytes()) <= 200_000 and len(shipped.portfolio) >= 12
    assert identity_of(None) == "none" and identity_of(shipped) != identity_of(small_prior())


def test_earlier_runs_are_compared_at_lengths_that_trials_reached(run: Storage) -> None:
    tables = {table.task.kimg: table for table in tables_of(small_prior(), run.uri, "results")}
    assert set(tables) == {2.0, 4.0, 8.0}
    assert tables[2.0].results.tolist() == [98.0, 88.0, 78.0, 68.0, 58.0, 48.0, 38.0, 28.0, 18.0]
    assert tables[8.0].results.tolist() == [92.0, 82.0, 72.0, 62.0, 52.0, 42.0, math.inf]
    assert tables[8.0].task == Task(24, 64.0, 8.0, 1, 700)
    assert {table.images for table in tables.values()} == {"0123456789abcdef"}


def test_a_run_adds_to_the_shipped_prior_or_to_a_file(run: Storage, tmp_path: Path) -> None:
    new, file = Storage(tmp_path / "new"), tmp_path / "own.json"
    file.write_bytes(small_prior().as_bytes())
    added = load_prior(f"{file}, {run.uri}", new, "results")
    assert added is not None and added.sets == ("0123456789abcdef", "some")
    best = dict(added.portfolio[0][1])
    assert best == tables_of(small_prior(), run.uri, "")[-1].settings[5][1]
    shipped = load_prior("shipped", new, "results")
    with_shipped = load_prior("earlier", new, str(tmp_path))
    assert shipped is not None and with_shipped is not None
    assert set(with_shipped.sets) == {*shipped.sets, "0123456789abcdef"}


def test_a_run_goes_on_with_the_prior_that_it_began_with(tmp_path: Path) -> None:
    run = Storage(tmp_path / "run")
    run.make_dirs()
    begun = small_prior(5)
    write_settings(run, {"prior": "shipped"}, {"prior": identity_of(begun)}, {})
    run.write_bytes(PRIOR, begun.as_bytes())
    assert identity_of(load_prior("shipped", run, "results")) == identity_of(begun)
    assert load_prior("none", run, "results") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "there is no run here"),
        ("missing.json", "missing.json: cannot be read"),
        ("damaged.json", "damaged.json is no prior of this version"),
        ("earlier,none", "'none' stands alone"),
        ("empty", "fewer than 4 trials"),
        ("broken", "its journal is damaged or empty"),
    ],
)
def test_what_teaches_nothing_is_refused_in_one_line(
    name: str, said: str, run: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.json").write_bytes(b'{"format": 1, "recipes": {"x": 3}}')
    for folder in ("empty", "broken"):
        write_settings(Storage(tmp_path / folder), {"kimg": 8.0}, {}, {})
    about: dict[str, Any] = {"command": "", "settings": {"kimg": 8.0}, "evaluation": {}, "versions": {}}
    Journal(Storage(tmp_path / "empty")).append("sweep", format=1, **about)
    Path("broken/journal.jsonl").write_bytes(b"{]\n" * 3)
    with pytest.raises(InputError, match=said) as refused:
        load_prior(name, Storage(tmp_path / "new"), str(tmp_path))
    assert "\n" not in str(refused.value)
