"""Files that earlier versions wrote are read, resumed, exported, sampled and evaluated; make_fixtures.py made them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from make_fixtures import FULL_KIMG, HERE, PACKED, TRAIN, evaluations, machine, reports, run

import search
from gan import load_bundle, load_recipe, open_data
from gan.data.packed.packed import open_file
from gan.errors import InputError
from gan.evaluation.features import make_features
from gan.evaluation.statistics import load_statistics
from gan.storage.storage import Storage
from gan.training.training_folder import TrainingFolder
from search.run.journal import JOURNAL

VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "expected.json").exists())
NUMBERS = "fid", "evaluate", "samples"


@pytest.fixture(params=VERSIONS)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one version's files."""
    shutil.copytree(HERE / request.param, tmp_path / "stored")
    return tmp_path / "stored"


@pytest.fixture
def expected(stored: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((stored / "expected.json").read_text())
    return content


def made_here(expected: dict[str, Any]) -> bool:
    return machine() == expected["machine"]


def test_the_files_are_small() -> None:
    assert VERSIONS
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 400_000


def test_a_run_is_read(stored: Path, expected: dict[str, Any]) -> None:
    data = search.open_run(str(stored / "run"))
    assert data.state == "interrupted"
    assert [row.kimg for row in data.rows[:2]] == [FULL_KIMG, pytest.approx(0.3)]
    finished = data.rows[0]
    assert finished.best_fid == min(numbers[1] for numbers in expected["run"]["t0000"])
    assert data.best is not None and load_bundle(data.best.bundle).sample(2, seed=0).shape == (2, 16, 16, 3)


def test_what_users_write_is_read(stored: Path) -> None:
    assert load_recipe(str(stored / "recipe.yaml")).name == "small"
    plan = json.loads(run(stored, "sweep", "spec.yaml", "--name", "planned", "--dry-run", "--json"))
    begun = yaml.safe_load((stored / "run" / "sweep.yaml").read_text())["identity"]["recipes"]
    planned = plan["identity"]["recipes"]
    assert list(planned) == list(begun) == ["small", "wgan"]
    for name, recipe in begun.items():
        # A later version may have settings more.
        assert recipe["settings"].items() <= planned[name]["settings"].items()
        assert recipe["space"].items() <= planned[name]["space"].items()


def test_saved_statistics_are_read(stored: Path) -> None:
    """They are those of one grey image, 16 times over; see make_fixtures.py."""
    statistics, measured = load_statistics(stored / "statistics.npz")
    assert measured is not None
    features = make_features(measured["features"], shape=tuple(measured["shape"]))
    assert (statistics.count, features.weights_sha256) == (16, measured["weights_sha256"])
    assert not statistics.covariance.any()
    (grey,) = features(torch.full((1, 16, 16, 3), 90, dtype=torch.uint8)).double()
    torch.testing.assert_close(statistics.mean, grey, rtol=1e-5, atol=1e-6)


def test_a_packed_set_is_read(stored: Path) -> None:
    rows = open_file(stored / "packed.arrow", "packed:packed.arrow").train
    images = open_data(PACKED, 16).train
    np.testing.assert_array_equal(rows.gather(np.arange(8)), images.gather(np.arange(8)))


def test_a_run_is_exported(stored: Path) -> None:
    run(stored, "export", "./run", "--out", "exported")
    ours, theirs = (load_bundle(str(stored / place)).sample(4, seed=1) for place in ("exported", "run/best/t0000"))
    np.testing.assert_array_equal(ours, theirs)


def test_a_training_resumes_to_the_bit(stored: Path, expected: dict[str, Any]) -> None:
    run(stored, "train", *TRAIN, "--kimg", str(FULL_KIMG), "--out", "train")
    found = reports(stored / "train" / "reports.jsonl")
    if not made_here(expected):
        assert len(found["train"]) == len(expected["train"]["train"])
        pytest.skip(f"bits are compared only where they were made: {expected['machine']}")
    assert found == expected["train"]


@pytest.mark.slow
def test_generators_are_sampled_and_judged_alike(stored: Path, expected: dict[str, Any]) -> None:
    found = evaluations(stored)
    assert found["evaluate"].keys() == expected["evaluate"].keys()
    if not made_here(expected):
        pytest.skip(f"bits are compared only where they were made: {expected['machine']}")
    assert {name: found[name] for name in NUMBERS} == {name: expected[name] for name in NUMBERS}


@pytest.mark.slow
def test_a_sweep_resumes_to_its_end(stored: Path, expected: dict[str, Any]) -> None:
    run(stored, "resume", "./run")
    data = search.open_run(str(stored / "run"))
    assert data.state == "finished" and len(data.rows) == 4
    found = reports(stored / "run" / JOURNAL)
    assert found["t0000"] == expected["run"]["t0000"]
    if not made_here(expected):
        pytest.skip(f"bits are compared only where they were made: {expected['machine']}")
    # The trial that was interrupted goes on from its checkpoint.
    assert found["t0001"] == expected["run"]["t0001"]


# ---- what cannot be read is refused in one line


def replace(path: Path, old: bytes, new: bytes, count: int = 1) -> None:
    content = path.read_bytes()
    assert old in content, (path, old)
    path.write_bytes(content.replace(old, new, count))


def newer_journal(stored: Path) -> None:
    replace(stored / "run" / JOURNAL, b'"format": 1', b'"format": 99')


def other_settings(stored: Path) -> None:
    replace(stored / "run" / "sweep.yaml", b"  minimum_share: 0.1\n  published", b"  minimum_share: 0.3\n  published")


def newer_bundle(stored: Path) -> None:
    replace(next(stored.glob("train/best-*/config.json")), b'"format": 1', b'"format": 99')


def newer_set(stored: Path) -> None:
    replace(stored / "packed.arrow", b'"version": 1', b'"version": 9', -1)


def newer_training(stored: Path) -> None:
    replace(stored / "train" / "train.yaml", b"format: 1", b"format: 99")


@pytest.mark.parametrize(
    ("change", "read", "message"),
    [
        (newer_journal, lambda s: search.open_run(str(s / "run")), r"newer gan-search, 0\.1\.0 \(journal format 99\)"),
        (
            newer_journal,
            lambda s: search.resume(str(s / "run")).run(),
            r"newer gan-search, 0\.1\.0 \(journal format 99\)",
        ),
        (
            other_settings,
            lambda s: search.resume(str(s / "run")),
            r"minimum_share is 0\.3 there.*gan-search 0\.1\.0 began",
        ),
        (newer_bundle, lambda s: load_bundle(str(next(s.glob("train/best-*")))), "a bundle of format 99"),
        (
            newer_training,
            lambda s: TrainingFolder(Storage(str(s / "train"))).identity(),
            r"its train\.yaml has format 99, not 1",
        ),
        (newer_set, lambda s: open_file(s / "packed.arrow", "packed"), "packed format 9, newer than 1"),
    ],
)
def test_newer_files_are_refused(
    change: Callable[[Path], None],
    read: Callable[[Path], Any],
    message: str,
    stored: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(stored)
    change(stored)
    with pytest.raises(InputError, match=message) as refused:
        read(stored)
    assert "\n" not in str(refused.value)
